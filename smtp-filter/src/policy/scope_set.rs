//! Scopes from the command line: `scope.NAME.KEY=VALUE` and `scope.NAME=none`.

use super::{
    assign::top,
    document::WordName,
    fault::{Fault, Located, one_of, quoted},
    key::Key,
    scope::{SCOPE_NAME, Scope, ScopeName},
    scope_text::{ScopePlaces, entry},
    section::{Section, table},
    settings::{Settings, Words},
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

/// The position of the scope with this name. `otherwise` ends the list of those that are there.
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
    if let [name] = path
        && let Some(key) = top(name).filter(|key| !key.is_whole())
    {
        settings.values.forget(key);
        return Some(());
    }
    let (name, rest) = path.split_first()?;
    let section = Section::find(name)?;
    match (settings.words_mut(section), rest) {
        (Some(words), []) => *words = Words::default(),
        (Some(words), [word]) if word.eq_ignore_ascii_case("other") => words.other = None,
        (Some(words), [word]) => {
            words.named.remove(&WordName::new(word)?);
        }
        (Some(_), _) => return None,
        (None, []) => {
            for key in section.keys() {
                forget_whole(settings, section, key);
            }
        }
        (None, [name]) => forget_whole(settings, section, section.key(name)?),
        (None, path) => settings.values.forget(section.at(path)?),
    }
    Some(())
}

/// Takes back what is set of a key and of its parts.
fn forget_whole(settings: &mut Settings, section: &Section, key: &Key) {
    settings.values.forget(key);
    for part in section.parts(key.name()) {
        settings.values.forget(part);
    }
}
