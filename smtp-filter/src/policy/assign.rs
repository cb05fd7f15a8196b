//! Laying a table of settings over a policy: the same for a file and for `policy set`.

use std::{collections::BTreeSet, time::Duration};

use smtp_filter_common::action::Action;

use super::{
    by_name::{COMMANDS, EXTENSIONS, by_name},
    document::{Document, Fill, Mode, Show},
    fault::{Fault, Located, one_of, quoted},
    fit::Places,
    profiles::Profile,
    rules::{self, GUARDS, Guard, LATER_GUARDS, LATER_SECTIONS},
    settings::Settings,
    value::{Table, Value},
};

/// Ports that one policy may name: a gateway has a handful.
pub const PORTS: usize = 1024;
/// Longest grace. Connections that live longer without a segment are gone from every table anyway.
const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);
/// TLS from the first byte (RFC 8314 section 3.3): there are no commands to read.
const SUBMISSIONS: i64 = 465;

/// Sections and keys that a scope may set, too.
pub(super) const SETTINGS: &str = "capture_envelope, [commands], [extensions], [banner], [mask], [guards] or [mark]";

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

/// Lays the table over the policy; its keys `profile` and `scope` are followed elsewhere. Returns where it speaks of what
/// has to fit together.
pub(super) fn apply(document: &mut Document, table: &Table) -> Result<Places, Fault> {
    let mut settings = Settings::default();
    let mut places = Places::default();
    for (key, value) in table {
        match key.value.as_str() {
            "profile" | "scope" => {}
            "ports" => document.ports = ports(value)?,
            "mode" => document.mode = mode(value)?,
            name if setting(&mut settings, "", key, value)? => places.note(name, value),
            name => {
                let problem = if LATER_SECTIONS.contains(&name) {
                    format!("this version does not have [{name}]")
                } else {
                    format!("unknown key {}", quoted(name))
                };
                return Err(key.fault(format!("{problem}; expected profile, ports, mode, [[scope]], {SETTINGS}")));
            }
        }
    }
    settings.lay_over(document);
    Ok(places)
}

/// Sets what a scope may set, too; `false` where the key is none of that. `prefix` is what stands in front of the key in
/// messages.
pub(super) fn setting(
    settings: &mut Settings,
    prefix: &str,
    key: &Located<String>,
    value: &Located<Value>,
) -> Result<bool, Fault> {
    match key.value.as_str() {
        "capture_envelope" => settings.capture_envelope = Some(flag(value, &format!("{prefix}capture_envelope"))?),
        "commands" => settings.commands = by_name(&COMMANDS, prefix, value)?,
        "extensions" => settings.extensions = by_name(&EXTENSIONS, prefix, value)?,
        "banner" => banner(settings, prefix, value)?,
        "mask" => mask(settings, prefix, value)?,
        "guards" => guards(settings, prefix, value)?,
        "mark" => mark(settings, prefix, value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn text<'a>(value: &'a Located<Value>, key: &str, expected: &str) -> Result<&'a str, Fault> {
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

pub(super) fn table<'a>(value: &'a Located<Value>, key: &str, expected: &str) -> Result<&'a Table, Fault> {
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
pub(super) fn action(value: &Located<Value>, key: &str, legal: &[Action]) -> Result<Action, Fault> {
    let expected = one_of(legal.iter().map(|action| action.name()));
    let name = text(value, key, &format!("an action ({expected})"))?;
    match rules::action(name) {
        Some(action) if legal.contains(&action) => Ok(action),
        Some(_) => Err(value.fault(format!("{key}: {} is not legal here; expected {expected}", quoted(name)))),
        None => Err(value.fault(format!("{key}: there is no action {}; expected {expected}", quoted(name)))),
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

fn banner(settings: &mut Settings, prefix: &str, value: &Located<Value>) -> Result<(), Fault> {
    let name = format!("{prefix}banner");
    for (key, value) in table(value, &name, "a table with show")? {
        match key.value.as_str() {
            "show" => settings.banner.show = Some(choice(value, &format!("{name}.show"), Show::ALL, Show::name)?),
            other => return Err(key.fault(format!("{name}: unknown key {}; expected show", quoted(other)))),
        }
    }
    Ok(())
}

fn mask(settings: &mut Settings, prefix: &str, value: &Located<Value>) -> Result<(), Fault> {
    let name = format!("{prefix}mask");
    for (key, value) in table(value, &name, "a table with fill")? {
        match key.value.as_str() {
            "fill" => settings.mask.fill = Some(choice(value, &format!("{name}.fill"), Fill::ALL, Fill::name)?),
            other => return Err(key.fault(format!("{name}: unknown key {}; expected fill", quoted(other)))),
        }
    }
    Ok(())
}

fn guards(settings: &mut Settings, prefix: &str, value: &Located<Value>) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    for (key, value) in table(value, &format!("{prefix}guards"), "a table of guards and actions")? {
        let Some(guard) = Guard::find(&key.value) else { return Err(unknown_guard(key)) };
        let name = format!("{prefix}{}", guard.reason.name());
        if !seen.insert(guard.slot()) {
            return Err(key.fault(format!("{name}: named twice, for case does not count; expected each guard once")));
        }
        if guard.has_grace() && matches!(value.value, Value::Table(_)) {
            unknown_connection(settings, guard, &name, value)?;
        } else {
            settings.guards.set(guard, Some(action(value, &name, guard.legal)?));
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

fn unknown_connection(settings: &mut Settings, guard: &Guard, name: &str, value: &Located<Value>) -> Result<(), Fault> {
    for (key, value) in table(value, name, "a table")? {
        match key.value.as_str() {
            "action" => settings.guards.set(guard, Some(action(value, &format!("{name}.action"), guard.legal)?)),
            "grace" => settings.guards.grace = Some(grace(value, &format!("{name}.grace"))?),
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

fn mark(settings: &mut Settings, prefix: &str, value: &Located<Value>) -> Result<(), Fault> {
    let name = format!("{prefix}mark");
    for (key, value) in table(value, &name, "a table with value and mask")? {
        let bits = match key.value.as_str() {
            "value" => &mut settings.mark.value,
            "mask" => &mut settings.mark.mask,
            other => return Err(key.fault(format!("{name}: unknown key {}; expected value or mask", quoted(other)))),
        };
        let key = &key.value;
        *bits = match value.value {
            Value::Number(number) => Some(u32::try_from(number).map_err(|_| {
                value.fault(format!("{name}.{key}: {number} has no 32 bits; expected 0 to 0xffffffff"))
            })?),
            ref found => {
                return Err(value.fault(format!("{name}.{key}: expected 0 to 0xffffffff, found {}", found.kind())));
            }
        };
    }
    Ok(())
}
