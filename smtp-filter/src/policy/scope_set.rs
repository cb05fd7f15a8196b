//! Scopes from the command line: `scope.NAME.KEY=VALUE` and `scope.NAME=none`.

use super::{
    assign::table,
    document::WordName,
    fault::{Fault, Located, one_of, quoted},
    rules::Guard,
    scope::{SCOPE_NAME, Scope, ScopeName},
    scope_text::{ScopePlaces, entry},
    settings::Settings,
    value::{Table, Value},
};

/// Removes a scope.
pub(super) const NONE: &str = "none";
/// Lifts what a scope says of clients or servers.
pub(super) const ANY: &str = "any";
/// Has a scope follow the whole policy again.
const INHERIT: &str = "inherit";

/// Which of the settings of one command comes first: a removal, then what makes a scope.
pub(super) fn rank(path: &[&str]) -> u8 {
    match path {
        ["scope", _] => 0,
        ["scope", _, "clients" | "servers"] => 1,
        _ => 2,
    }
}

/// Follows one setting of scopes.
pub(super) fn set(scopes: &mut Vec<Scope>, value: &Located<Value>) -> Result<(), Fault> {
    const EXPECTED: &str = "scope.NAME.KEY=VALUE such as scope.inside.commands.ehlo=drop, or scope.NAME=none";
    let Value::Table(named) = &value.value else {
        return Err(value.fault(format!("scope: the name of a scope is missing; expected {EXPECTED}")));
    };
    for (name, value) in named {
        match &value.value {
            Value::Table(entries) => set_in(scopes, name, entries)?,
            Value::Text(text) if text == NONE => {
                let at = position(scopes, name, "")?;
                scopes.remove(at);
            }
            _ => return Err(value.fault(format!("scope.{}: expected {EXPECTED}", name.value.escape_debug()))),
        }
    }
    Ok(())
}

/// Where a scope of this name stands. `otherwise` ends the list of those that are there.
fn position(scopes: &[Scope], name: &Located<String>, otherwise: &str) -> Result<usize, Fault> {
    scopes.iter().position(|scope| scope.name.as_str() == name.value).ok_or_else(|| {
        let there = one_of(scopes.iter().map(|scope| scope.name.as_str()));
        let there = if there.is_empty() { "no scope, for there is none".to_owned() } else { there };
        name.fault(format!("scope: there is no scope {}; expected {there}{otherwise}", quoted(&name.value)))
    })
}

fn set_in(scopes: &mut Vec<Scope>, name: &Located<String>, entries: &Table) -> Result<(), Fault> {
    let makes = entries.iter().any(|(key, _)| ["clients", "servers"].contains(&key.value.as_str()));
    if makes && scopes.iter().all(|scope| scope.name.as_str() != name.value) {
        let new = ScopeName::new(&name.value).ok_or_else(|| {
            name.fault(format!(
                "scope: {} is no name of a scope; expected 1 to {SCOPE_NAME} letters, digits, `-` and `_`",
                quoted(&name.value)
            ))
        })?;
        scopes.push(Scope::new(new));
    }
    let at = position(scopes, name, &format!("; scope.{}.clients=... makes a new one", name.value.escape_debug()))?;
    let scope = &mut scopes[at];
    for (key, value) in entries {
        match (key.value.as_str(), leaf(value)) {
            ("clients", Some(ANY)) => scope.clients = None,
            ("servers", Some(ANY)) => scope.servers = None,
            (section, Some(INHERIT)) => {
                let path: Vec<&str> = [section].into_iter().chain(path(value)).collect();
                forget(&mut scope.settings, &path).ok_or_else(|| {
                    key.fault(format!(
                        "scope.{}.{}: a scope inherits no such key; expected one such as commands.ehlo, or a whole \
                         section",
                        scope.name,
                        path.join(".").escape_debug()
                    ))
                })?;
            }
            _ => entry(scope, &mut ScopePlaces::default(), key, value)?,
        }
    }
    Ok(())
}

/// The text at the end of a path of keys.
fn leaf(value: &Located<Value>) -> Option<&str> {
    match &value.value {
        Value::Text(text) => Some(text),
        Value::Table(entries) => match entries.as_slice() {
            [(_, value)] => leaf(value),
            _ => None,
        },
        _ => None,
    }
}

/// The keys on the way there.
fn path(value: &Located<Value>) -> Vec<&str> {
    match table(value, "", "").map(Vec::as_slice) {
        Ok([(key, value)]) => [key.value.as_str()].into_iter().chain(path(value)).collect(),
        _ => Vec::new(),
    }
}

/// Takes a setting back; `None` where there is no such key.
fn forget(settings: &mut Settings, path: &[&str]) -> Option<()> {
    let plain = Settings::default();
    match path {
        ["capture_envelope"] => settings.capture_envelope = None,
        ["commands"] => settings.commands = plain.commands,
        ["extensions"] => settings.extensions = plain.extensions,
        [section @ ("commands" | "extensions"), word] => {
            let words = if *section == "commands" { &mut settings.commands } else { &mut settings.extensions };
            if word.eq_ignore_ascii_case("other") {
                words.other = None;
            } else {
                words.named.remove(&WordName::new(word)?);
            }
        }
        ["banner"] | ["banner", "show"] => settings.banner = plain.banner,
        ["mask"] | ["mask", "fill"] => settings.mask = plain.mask,
        ["guards"] => settings.guards = plain.guards,
        ["guards", guard] => {
            let guard = Guard::find(guard)?;
            settings.guards.set(guard, None);
            if guard.has_grace() {
                settings.guards.grace = None;
            }
        }
        ["guards", guard, part] => {
            let guard = Guard::find(guard).filter(|guard| guard.has_grace())?;
            match *part {
                "action" => settings.guards.set(guard, None),
                "grace" => settings.guards.grace = None,
                _ => return None,
            }
        }
        ["mark"] => settings.mark = plain.mark,
        ["mark", "value"] => settings.mark.value = None,
        ["mark", "mask"] => settings.mark.mask = None,
        _ => return None,
    }
    Some(())
}
