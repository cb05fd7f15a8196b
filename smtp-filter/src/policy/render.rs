//! The effective policy as a policy file, and for reading.

use std::fmt::{Arguments, Write as _};

use ipnet::IpNet;

use super::{
    announced::Effective,
    document::{ByName, Document, Guards, WordName},
    rules::GUARDS,
    scope::Scope,
    settings::{GuardSettings, Words},
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
}

fn render(document: &Document, short: bool) -> String {
    let Document { profile, ports, mode, capture_envelope, commands, extensions, banner, mask, guards, mark, scopes } =
        document;
    let mut out = Out::default();
    out.key("profile", Some(profile.name()));
    out.line(format_args!("ports = {ports:?}"));
    out.key("mode", Some(mode.name()));
    out.line(format_args!("capture_envelope = {capture_envelope}"));
    whole_commands(&mut out, document, commands);
    out.line(format_args!("\n[extensions]"));
    out.key("other", Some(extensions.other.name()));
    for (keyword, action) in &extensions.named {
        out.key(&key(keyword.as_str()), Some(action.name()));
    }
    out.line(format_args!("\n[banner]"));
    out.key("show", Some(banner.show.name()));
    out.line(format_args!("\n[mask]"));
    out.key("fill", Some(mask.fill.name()));
    out.line(format_args!("\n[guards]"));
    whole_guards(&mut out, guards);
    out.line(format_args!("\n[mark]"));
    out.line(format_args!("value = {:#x}", mark.value));
    out.line(format_args!("mask = {:#x}", mark.mask));
    for scope in scopes {
        self::scope(&mut out, scope, short);
    }
    out.0
}

fn whole_commands(out: &mut Out, document: &Document, commands: &ByName) {
    let verbs = document.effective_verbs();
    let masked_with = |verb: &WordName| verbs.get(verb).and_then(|verb: &Effective| verb.masked_with.as_ref());
    out.line(format_args!("\n[commands]"));
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

fn whole_guards(out: &mut Out, guards: &Guards) {
    for guard in GUARDS {
        let action = guards.action(guard).name();
        if guard.has_grace() {
            let grace = humantime::format_duration(guards.grace);
            out.line(format_args!("{} = {{ action = \"{action}\", grace = \"{grace}\" }}", guard.key()));
        } else {
            out.key(guard.key(), Some(action));
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
    if let Some(captures) = settings.capture_envelope {
        out.line(format_args!("capture_envelope = {captures}"));
    }
    words(out, "commands", &settings.commands);
    words(out, "extensions", &settings.extensions);
    if let Some(show) = settings.banner.show {
        out.line(format_args!("[scope.banner]"));
        out.key("show", Some(show.name()));
    }
    if let Some(fill) = settings.mask.fill {
        out.line(format_args!("[scope.mask]"));
        out.key("fill", Some(fill.name()));
    }
    scope_guards(out, &settings.guards);
    let mark = settings.mark;
    if mark != Default::default() {
        out.line(format_args!("[scope.mark]"));
        for (key, bits) in [("value", mark.value), ("mask", mark.mask)] {
            if let Some(bits) = bits {
                out.line(format_args!("{key} = {bits:#x}"));
            }
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

fn words(out: &mut Out, section: &str, words: &Words) {
    if *words == Words::default() {
        return;
    }
    out.line(format_args!("[scope.{section}]"));
    out.key("other", words.other.map(|action| action.name()));
    for (word, action) in &words.named {
        out.key(&key(word.as_str()), Some(action.name()));
    }
}

fn scope_guards(out: &mut Out, guards: &GuardSettings) {
    if *guards == GuardSettings::default() {
        return;
    }
    out.line(format_args!("[scope.guards]"));
    for guard in GUARDS {
        let action = guards.action(guard).map(|action| action.name());
        match guards.grace {
            Some(grace) if guard.has_grace() => {
                let grace = humantime::format_duration(grace);
                let action = action.map(|action| format!("action = \"{action}\", ")).unwrap_or_default();
                out.line(format_args!("{} = {{ {action}grace = \"{grace}\" }}", guard.key()));
            }
            _ => out.key(guard.key(), action),
        }
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
