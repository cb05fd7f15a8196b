//! Laying a table of settings over a policy: the same for a file and for `policy set`.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use smtp_filter_common::{
    action::Action,
    limits::{NAMED_KEYWORDS, NAMED_VERBS},
    reason::Reason,
};

use super::{
    document::{ByName, Document, Fill, Mode, Show, WordName},
    fault::{Fault, Located, one_of, quoted},
    profiles::Profile,
    rules::{self, COMMANDS, EHLO, EXTENSIONS, GUARDS, Guard, LATER_GUARDS, LATER_SECTIONS},
    value::{Table, Value},
};

/// Ports that one policy may name: a gateway has a handful.
pub const PORTS: usize = 1024;
/// Longest grace. Connections that live longer without a segment are gone from every table anyway.
const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);
/// TLS from the first byte (RFC 8314 section 3.3): there are no commands to read.
const SUBMISSIONS: i64 = 465;

const KEYS: &str =
    "profile, ports, mode, capture_envelope, [commands], [extensions], [banner], [mask], [guards] or [mark]";

/// The profile that a table starts from, if it names one.
pub(super) fn profile(table: &Table) -> Result<Option<Profile>, Fault> {
    let Some((_, value)) = table.iter().find(|(key, _)| key.value == "profile") else { return Ok(None) };
    let name = text(value, "profile", "a profile's name")?;
    if let Some(profile) = Profile::find(name) {
        return Ok(Some(profile));
    }
    let expected = one_of(Profile::ALL.map(Profile::name));
    Err(value.fault(format!("profile: there is no profile {}; expected {expected}", quoted(name))))
}

/// Lays the table over the policy; its key `profile` has been followed already.
pub(super) fn apply(document: &mut Document, table: &Table) -> Result<(), Fault> {
    let plain = document.profile.document();
    let mut named = Named::default();
    for (key, value) in table {
        match key.value.as_str() {
            "profile" => {}
            "ports" => document.ports = ports(value)?,
            "mode" => document.mode = mode(value)?,
            "capture_envelope" => document.capture_envelope = flag(value, "capture_envelope")?,
            "commands" => {
                named.verbs = by_name(&COMMANDS_SECTION, &mut document.commands, &plain.commands, value)?;
                named.spans[0] = Some(value.span.clone());
            }
            "extensions" => {
                named.keywords = by_name(&EXTENSIONS_SECTION, &mut document.extensions, &plain.extensions, value)?;
                named.spans[1] = Some(value.span.clone());
            }
            "banner" => banner(document, value)?,
            "mask" => mask(document, value)?,
            "guards" => guards(document, value)?,
            "mark" => mark(document, value)?,
            name if LATER_SECTIONS.contains(&name) => {
                let section = if name == "scope" { "[[scope]]".to_owned() } else { format!("[{name}]") };
                return Err(key.fault(format!("this version does not have {section}; expected {KEYS}")));
            }
            name => return Err(key.fault(format!("unknown key {}; expected {KEYS}", quoted(name)))),
        }
    }
    named.fit(document)
}

fn text<'a>(value: &'a Located<Value>, key: &str, expected: &str) -> Result<&'a str, Fault> {
    match &value.value {
        Value::Text(text) => Ok(text),
        found => Err(value.fault(format!("{key}: expected {expected}, found {}", found.kind()))),
    }
}

fn flag(value: &Located<Value>, key: &str) -> Result<bool, Fault> {
    match &value.value {
        Value::Flag(flag) => Ok(*flag),
        found => Err(value.fault(format!("{key}: expected true or false, found {}", found.kind()))),
    }
}

fn table<'a>(value: &'a Located<Value>, key: &str, expected: &str) -> Result<&'a Table, Fault> {
    match &value.value {
        Value::Table(table) => Ok(table),
        found => Err(value.fault(format!("{key}: expected {expected}, found {}", found.kind()))),
    }
}

fn mode(value: &Located<Value>) -> Result<Mode, Fault> {
    let name = text(value, "mode", "\"monitor\" or \"enforce\"")?;
    Mode::find(name)
        .ok_or_else(|| value.fault(format!("mode: there is no mode {}; expected monitor or enforce", quoted(name))))
}

fn ports(value: &Located<Value>) -> Result<Vec<u16>, Fault> {
    let Value::List(items) = &value.value else {
        return Err(
            value.fault(format!("ports: expected a list of TCP ports such as [25], found {}", value.value.kind()))
        );
    };
    if items.is_empty() || items.len() > PORTS {
        return Err(value.fault(format!("ports: expected 1 to {PORTS} TCP ports, found {}", items.len())));
    }
    let mut ports = BTreeSet::new();
    for item in items {
        let port = match item.value {
            Value::Number(SUBMISSIONS) => {
                return Err(item.fault(
                    "ports: 465 is TLS from the first byte and has no commands to read; expected ports of plain SMTP \
                     such as 25 or 587",
                ));
            }
            Value::Number(number) => u16::try_from(number)
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| item.fault(format!("ports: {number} is no TCP port; expected 1 to 65535")))?,
            ref found => {
                return Err(item.fault(format!("ports: expected a TCP port, 1 to 65535, found {}", found.kind())));
            }
        };
        if !ports.insert(port) {
            return Err(item.fault(format!("ports: {port} stands there twice; expected each port once")));
        }
    }
    Ok(ports.into_iter().collect())
}

/// An action that is legal at this key.
fn action(value: &Located<Value>, key: &str, legal: &[Action]) -> Result<Action, Fault> {
    let expected = one_of(legal.iter().map(|action| action.name()));
    let name = text(value, key, &format!("an action ({expected})"))?;
    match rules::action(name) {
        Some(action) if legal.contains(&action) => Ok(action),
        Some(_) => Err(value.fault(format!("{key}: {} is not legal here; expected {expected}", quoted(name)))),
        None => Err(value.fault(format!("{key}: there is no action {}; expected {expected}", quoted(name)))),
    }
}

/// What distinguishes `[commands]` from `[extensions]`.
struct Section {
    name: &'static str,
    /// What stands in it.
    word: &'static str,
    /// What a word of it is.
    expected: &'static str,
    /// What else makes a word one of it.
    is_word: fn(&str) -> bool,
    /// Words that one policy may name.
    most: usize,
    /// Actions that are legal for a word, in upper case, and for `other`.
    legal: fn(&str) -> &'static [Action],
}

const COMMANDS_SECTION: Section = Section {
    name: "commands",
    word: "verb",
    expected: "a word of 1 to 16 characters",
    is_word: |_| true,
    most: NAMED_VERBS,
    legal: |verb| if verb == "EHLO" { EHLO } else { COMMANDS },
};

const EXTENSIONS_SECTION: Section = Section {
    name: "extensions",
    word: "keyword",
    expected: "a word of 1 to 16 characters without `=`, for `AUTH=LOGIN` is AUTH",
    is_word: |word| !word.contains('='),
    most: NAMED_KEYWORDS,
    legal: |_| EXTENSIONS,
};

/// Words and actions of `[commands]` or `[extensions]`; `plain` is what the profile says there. Returns the words that
/// are named.
fn by_name(
    section: &Section,
    rules: &mut ByName,
    plain: &ByName,
    value: &Located<Value>,
) -> Result<BTreeSet<WordName>, Fault> {
    let Section { name: section_name, word, expected, is_word, most, legal } = section;
    let entries = table(value, section_name, &format!("a table of {word}s and actions"))?;
    let mut named = BTreeSet::new();
    let mut other = None;
    let mut settings = Vec::new();
    for (key, value) in entries {
        let name = format!("{section_name}.{}", key.value.escape_debug());
        let action = action(value, &name, legal(&key.value.to_ascii_uppercase()))?;
        let twice = if key.value.eq_ignore_ascii_case("other") {
            other.replace(action).is_some()
        } else {
            let entry = WordName::new(&key.value).filter(|entry| is_word(entry.as_str())).ok_or_else(|| {
                key.fault(format!("{section_name}: {} is no {word}; expected {expected}", quoted(&key.value)))
            })?;
            settings.push((entry.clone(), action));
            !named.insert(entry)
        };
        if twice {
            return Err(key.fault(format!("{name}: named twice, for case does not count; expected each {word} once")));
        }
        if named.len() > *most {
            return Err(key.fault(format!("{name}: the {word} after the {most}th; expected at most {most}")));
        }
    }
    if let Some(action) = other {
        set_other(rules, plain, action);
    }
    rules.named.extend(settings);
    Ok(named)
}

/// Gives `other` an action. Words that the profile names only to count them apart, with the action of its `other`,
/// are then no longer named: who says `other = "drop"` means every verb that he does not name himself.
fn set_other(rules: &mut ByName, plain: &ByName, action: Action) {
    let before = rules.other;
    if action != before {
        rules.named.retain(|word, action| *action != before || plain.named.get(word) != Some(&plain.other));
    }
    rules.other = action;
}

/// Where the profile's words and the file's are too many together, those that the profile names only to count them
/// apart make room.
fn make_room(rules: &mut ByName, named: &BTreeSet<WordName>) {
    let other = rules.other;
    rules.named.retain(|word, action| *action != other || named.contains(word));
}

/// What a table says of `[commands]` and `[extensions]`, which have to fit together: a masked extension names verbs.
#[derive(Default)]
struct Named {
    verbs: BTreeSet<WordName>,
    keywords: BTreeSet<WordName>,
    /// The bytes of either section.
    spans: [Option<Range<usize>>; 2],
}

impl Named {
    fn fit(&self, document: &mut Document) -> Result<(), Fault> {
        let profile = document.profile.name();
        let [commands, extensions] = &self.spans;
        let fault = |span: &Option<Range<usize>>, message| {
            let span = span.as_ref().or(commands.as_ref()).or(extensions.as_ref()).cloned().unwrap_or_default();
            Fault { span, message }
        };
        if document.extensions.named.len() > NAMED_KEYWORDS {
            make_room(&mut document.extensions, &self.keywords);
        }
        let keywords = document.extensions.named.len();
        if keywords > NAMED_KEYWORDS {
            return Err(fault(
                extensions,
                format!(
                    "extensions: {keywords} keywords together with those that profile {profile} names; expected at \
                     most {NAMED_KEYWORDS}"
                ),
            ));
        }
        if document.effective_verbs().len() > NAMED_VERBS {
            make_room(&mut document.commands, &self.verbs);
        }
        let verbs = document.effective_verbs().len();
        if verbs > NAMED_VERBS {
            let announced = if verbs > document.commands.named.len() { " and masked extensions announce" } else { "" };
            return Err(fault(
                commands,
                format!(
                    "commands: {verbs} verbs together with those that profile {profile} names{announced}; expected at \
                     most {NAMED_VERBS}"
                ),
            ));
        }
        Ok(())
    }
}

/// One of a few words, for a key that has no action.
fn choice<T: Copy>(
    value: &Located<Value>,
    key: &str,
    all: impl IntoIterator<Item = T>,
    name: fn(T) -> &'static str,
) -> Result<T, Fault> {
    let all: Vec<T> = all.into_iter().collect();
    let expected = one_of(all.iter().map(|choice| name(*choice)));
    let found = text(value, key, &expected)?;
    all.into_iter()
        .find(|choice| name(*choice) == found)
        .ok_or_else(|| value.fault(format!("{key}: expected {expected}, found {}", quoted(found))))
}

fn banner(document: &mut Document, value: &Located<Value>) -> Result<(), Fault> {
    for (key, value) in table(value, "banner", "a table with show")? {
        match key.value.as_str() {
            "show" => document.banner.show = choice(value, "banner.show", Show::ALL, Show::name)?,
            other => return Err(key.fault(format!("banner: unknown key {}; expected show", quoted(other)))),
        }
    }
    Ok(())
}

fn mask(document: &mut Document, value: &Located<Value>) -> Result<(), Fault> {
    for (key, value) in table(value, "mask", "a table with fill")? {
        match key.value.as_str() {
            "fill" => document.mask.fill = choice(value, "mask.fill", Fill::ALL, Fill::name)?,
            other => return Err(key.fault(format!("mask: unknown key {}; expected fill", quoted(other)))),
        }
    }
    Ok(())
}

fn guards(document: &mut Document, value: &Located<Value>) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    for (key, value) in table(value, "guards", "a table of guards and actions")? {
        let Some(guard) = Guard::find(&key.value) else { return Err(unknown_guard(key)) };
        let name = guard.reason.name();
        if !seen.insert(guard.slot()) {
            return Err(key.fault(format!("{name}: named twice, for case does not count; expected each guard once")));
        }
        if guard.reason == Reason::UnknownConnection && matches!(value.value, Value::Table(_)) {
            unknown_connection(document, guard, value)?;
        } else {
            document.guards.set(guard, action(value, name, guard.legal)?);
        }
    }
    Ok(())
}

fn unknown_guard(key: &Located<String>) -> Fault {
    let expected = one_of(GUARDS.iter().map(Guard::key));
    let name = key.value.to_ascii_lowercase();
    key.fault(if LATER_GUARDS.contains(&name.as_str()) {
        format!("this version does not have the guard {}; expected {expected}", quoted(&name))
    } else {
        format!("unknown guard {}; expected {expected}", quoted(&key.value))
    })
}

fn unknown_connection(document: &mut Document, guard: &Guard, value: &Located<Value>) -> Result<(), Fault> {
    let name = guard.reason.name();
    for (key, value) in table(value, name, "a table")? {
        match key.value.as_str() {
            "action" => document.guards.set(guard, action(value, &format!("{name}.action"), guard.legal)?),
            "grace" => document.guards.grace = grace(value, &format!("{name}.grace"))?,
            other => {
                return Err(key.fault(format!("{name}: unknown key {}; expected action or grace", quoted(other))));
            }
        }
    }
    Ok(())
}

fn grace(value: &Located<Value>, key: &str) -> Result<Duration, Fault> {
    let text = text(value, key, "a time such as \"10m\"")?;
    let grace = humantime::parse_duration(text)
        .map_err(|_| value.fault(format!("{key}: {} is no time; expected one such as \"10m\"", quoted(text))))?;
    if grace > GRACE {
        return Err(value.fault(format!("{key}: {} is too long; expected at most \"7days\"", quoted(text))));
    }
    Ok(grace)
}

fn mark(document: &mut Document, value: &Located<Value>) -> Result<(), Fault> {
    for (key, value) in table(value, "mark", "a table with value and mask")? {
        let bits = match key.value.as_str() {
            "value" => &mut document.mark.value,
            "mask" => &mut document.mark.mask,
            other => return Err(key.fault(format!("mark: unknown key {}; expected value or mask", quoted(other)))),
        };
        let key = &key.value;
        *bits = match value.value {
            Value::Number(number) => u32::try_from(number)
                .map_err(|_| value.fault(format!("mark.{key}: {number} has no 32 bits; expected 0 to 0xffffffff")))?,
            ref found => {
                return Err(value.fault(format!("mark.{key}: expected 0 to 0xffffffff, found {}", found.kind())));
            }
        };
    }
    let mark = document.mark;
    if mark.mask == 0 {
        return Err(value.fault("mark: mask 0x0 would set nothing; expected at least one bit"));
    }
    if mark.value & !mark.mask != 0 {
        return Err(value.fault(format!(
            "mark: value {:#x} has bits that mask {:#x} leaves alone; expected a value within the mask",
            mark.value, mark.mask
        )));
    }
    Ok(())
}
