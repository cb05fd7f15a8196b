//! The effective policy as a policy file, and for reading.

use std::{
    collections::BTreeMap,
    fmt::{Arguments, Write as _},
};

use ipnet::IpNet;
use smtp_filter_common::action::Action;

use super::{
    announced::Effective,
    document::{ByName, Document, WordName},
    keys,
    scope::Scope,
    section::{SECTIONS, Section, Shown},
    values::Values,
};

/// Prefixes of one list that are shown in full for reading.
const SHOWN: usize = 16;
/// Of a longer list only so many.
const FIRST: usize = 4;

/// The policy as a file that `policy load` takes and that gives the same policy.
pub fn to_toml(document: &Document) -> String {
    render(document, false)
}

/// The policy for reading: as [`to_toml`], but of long lists of prefixes only the beginning, which no file can have.
pub fn to_text(document: &Document) -> String {
    render(document, true)
}

/// Lines of text.
#[derive(Default)]
struct Out(String);

impl Out {
    fn line(&mut self, text: Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn key(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(format_args!("{name} = \"{value}\""));
        }
    }

    /// The keys at the top of the file or of a scope.
    fn top(&mut self, values: &Values) {
        for key in keys::top() {
            if let Some(value) = values.get(key.path) {
                self.line(format_args!("{} = {}", key.path, value.to_toml()));
            }
        }
    }

    /// The keys of a section.
    fn entries(&mut self, section: &'static Section, values: &Values) {
        for (name, shown) in section.shown(values) {
            match shown {
                Shown::One(value) => self.line(format_args!("{name} = {}", value.to_toml())),
                Shown::Parts(parts) => {
                    let parts: Vec<String> =
                        parts.iter().map(|(part, value)| format!("{part} = {}", value.to_toml())).collect();
                    self.line(format_args!("{name} = {{ {} }}", parts.join(", ")));
                }
            }
        }
    }

    /// Actions by word.
    fn words(&mut self, other: Option<Action>, named: &BTreeMap<WordName, Action>) {
        self.key("other", other.map(Action::name));
        for (word, action) in named {
            self.key(&key(word.as_str()), Some(action.name()));
        }
    }
}

fn render(document: &Document, short: bool) -> String {
    let mut out = Out::default();
    out.key("profile", Some(document.profile.name()));
    out.top(&document.values);
    for section in SECTIONS {
        out.line(format_args!("\n[{}]", section.name));
        match section.name {
            "commands" => whole_commands(&mut out, document, &document.commands),
            _ => match document.words(section) {
                Some(words) => out.words(Some(words.other), &words.named),
                None => out.entries(section, &document.values),
            },
        }
    }
    for scope in &document.scopes {
        self::scope(&mut out, scope, short);
    }
    out.0
}

fn whole_commands(out: &mut Out, document: &Document, commands: &ByName) {
    let verbs = document.effective_verbs();
    let masked_with = |verb: &WordName| verbs.get(verb).and_then(|verb: &Effective| verb.masked_with.as_ref());
    out.key("other", Some(commands.other.name()));
    for (verb, action) in &commands.named {
        let remark = masked_with(verb).map(|keyword| format!(" # masked with the extension {keyword}"));
        out.line(format_args!("{} = \"{}\"{}", key(verb.as_str()), action.name(), remark.unwrap_or_default()));
    }
    for verb in verbs.keys().filter(|verb| !commands.named.contains_key(*verb)) {
        if let Some(keyword) = masked_with(verb) {
            out.line(format_args!("# {verb} is masked with the extension {keyword}"));
        }
    }
}

/// A scope: what it sets, and nothing else.
fn scope(out: &mut Out, scope: &Scope, short: bool) {
    out.line(format_args!("\n[[scope]]"));
    out.key("name", Some(scope.name.as_str()));
    for (key, prefixes) in scope.sides() {
        if let Some(prefixes) = prefixes {
            self::prefixes(out, key, prefixes, short);
        }
    }
    let settings = &scope.settings;
    out.top(&settings.values);
    for section in SECTIONS {
        match settings.words(section) {
            Some(words) if !words.is_empty() => {
                out.line(format_args!("[scope.{}]", section.name));
                out.words(words.other, &words.named);
            }
            None if !section.shown(&settings.values).is_empty() => {
                out.line(format_args!("[scope.{}]", section.name));
                out.entries(section, &settings.values);
            }
            Some(_) | None => {}
        }
    }
}

fn prefixes(out: &mut Out, key: &str, prefixes: &[IpNet], short: bool) {
    if short && prefixes.len() > SHOWN {
        let first: Vec<String> = prefixes.iter().take(FIRST).map(|prefix| format!("\"{prefix}\"")).collect();
        let more = prefixes.len() - first.len();
        out.line(format_args!("{key} = [{}, ... {more} more, which --toml lists]", first.join(", ")));
    } else if let [one] = prefixes {
        out.line(format_args!("{key} = [\"{one}\"]"));
    } else {
        out.line(format_args!("{key} = ["));
        for prefix in prefixes {
            out.line(format_args!("  \"{prefix}\","));
        }
        out.line(format_args!("]"));
    }
}

/// A key, bare where TOML allows it.
fn key(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
