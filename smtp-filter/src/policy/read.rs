//! Values of keys, read from a policy: each with what was expected where it is none. `key` is the key's path in
//! messages.

use std::{collections::BTreeSet, time::Duration};

use smtp_filter_common::action::Action;

use super::{
    fault::{Fault, Located, one_of, quoted},
    key::{PORTS, Unit, Word},
    value::Value,
};

/// TLS from the first byte (RFC 8314 section 3.3): there are no commands to read.
const SUBMISSIONS: i64 = 465;

/// A text.
pub(super) fn text<'a>(value: &'a Located<Value>, key: &str, expected: &str) -> Result<&'a str, Fault> {
    match &value.value {
        Value::Text(text) => Ok(text),
        found => Err(value.fault(format!("{key}: expected {expected}, found {}", found.kind()))),
    }
}

/// An action that is legal at this key.
pub(super) fn action(value: &Located<Value>, key: &str, legal: &[Action]) -> Result<Action, Fault> {
    let expected = one_of(legal.iter().map(|action| action.name()));
    let name = text(value, key, &format!("an action ({expected})"))?;
    match Action::ALL.into_iter().find(|action| action.name() == name) {
        Some(action) if legal.contains(&action) => Ok(action),
        Some(_) => Err(value.fault(format!("{key}: {} is not legal here; expected {expected}", quoted(name)))),
        None => Err(value.fault(format!("{key}: there is no action {}; expected {expected}", quoted(name)))),
    }
}

/// One of a few words. `noun` is what one of them is called where there is no such word; empty where they are only
/// listed.
pub(super) fn word(value: &Located<Value>, key: &str, words: &[Word], noun: &str) -> Result<&'static str, Fault> {
    let expected = one_of(words.iter().map(|word| word.name));
    let found = match noun {
        "" => text(value, key, &expected)?,
        _ => {
            let quotes: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.name)).collect();
            text(value, key, &one_of(quotes.iter().map(String::as_str)))?
        }
    };
    words.iter().find(|word| word.name == found).map(|word| word.name).ok_or_else(|| {
        let found = quoted(found);
        value.fault(match noun {
            "" => format!("{key}: expected {expected}, found {found}"),
            _ => format!("{key}: there is no {noun} {found}; expected {expected}"),
        })
    })
}

/// 32 bits.
pub(super) fn bits(value: &Located<Value>, key: &str) -> Result<u32, Fault> {
    const EXPECTED: &str = "expected 0 to 0xffffffff";
    match &value.value {
        Value::Number(number) => {
            u32::try_from(*number).map_err(|_| value.fault(format!("{key}: {number} has no 32 bits; {EXPECTED}")))
        }
        found => Err(value.fault(format!("{key}: {EXPECTED}, found {}", found.kind()))),
    }
}

/// A number, in its unit where it has some.
pub(super) fn number(value: &Located<Value>, key: &str, most: u64, unit: Unit) -> Result<u64, Fault> {
    let expected = format!("0 to {}", unit.written(most));
    let (shown, number) = match (&value.value, unit) {
        (Value::Number(number), _) => (number.to_string(), u64::try_from(*number).ok()),
        (Value::Text(text), Unit::Bytes) => match with_unit(text, unit) {
            Some(number) => (text.clone(), number),
            None => {
                let problem = format!("{key}: {} is no number of bytes", quoted(text));
                return Err(value.fault(format!("{problem}; expected one such as 512, \"50KB\" or \"5MB\"")));
            }
        },
        (found, _) => {
            return Err(value.fault(format!("{key}: expected a number, {expected}, found {}", found.kind())));
        }
    };
    number
        .filter(|number| *number <= most)
        .ok_or_else(|| value.fault(format!("{key}: {} is out of range; expected {expected}", quoted(&shown))))
}

/// What a text with a unit comes to; nothing within where that is too large, nothing where it is none.
fn with_unit(text: &str, unit: Unit) -> Option<Option<u64>> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let name = &text[digits.len()..];
    let each = match name {
        "" => 1,
        _ => unit.names().iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1,
    };
    let digits = digits.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse::<u64>().ok()?.checked_mul(each))
}

/// A length of time.
pub(super) fn time(value: &Located<Value>, key: &str, most: Duration) -> Result<Duration, Fault> {
    let text = text(value, key, "a time such as \"10m\"")?;
    let time = humantime::parse_duration(text)
        .map_err(|_| value.fault(format!("{key}: {} is no time; expected one such as \"10m\"", quoted(text))))?;
    if time > most {
        let most = humantime::format_duration(most);
        return Err(value.fault(format!("{key}: {} is too long; expected at most \"{most}\"", quoted(text))));
    }
    Ok(time)
}

/// True or false.
pub(super) fn flag(value: &Located<Value>, key: &str) -> Result<bool, Fault> {
    match &value.value {
        Value::Flag(flag) => Ok(*flag),
        found => Err(value.fault(format!("{key}: expected true or false, found {}", found.kind()))),
    }
}

/// TCP ports.
pub(super) fn ports(value: &Located<Value>, key: &str) -> Result<Vec<u16>, Fault> {
    let Value::List(items) = &value.value else {
        let found = value.value.kind();
        return Err(value.fault(format!("{key}: expected a list of TCP ports such as [25], found {found}")));
    };
    if items.is_empty() || items.len() > PORTS {
        return Err(value.fault(format!("{key}: expected 1 to {PORTS} TCP ports, found {}", items.len())));
    }
    let mut ports = BTreeSet::new();
    for item in items {
        let port = match item.value {
            Value::Number(SUBMISSIONS) => {
                return Err(item.fault(format!(
                    "{key}: 465 is TLS from the first byte and has no commands to read; expected ports of plain SMTP \
                     such as 25 or 587"
                )));
            }
            Value::Number(number) => u16::try_from(number)
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| item.fault(format!("{key}: {number} is no TCP port; expected 1 to 65535")))?,
            ref found => {
                return Err(item.fault(format!("{key}: expected a TCP port, 1 to 65535, found {}", found.kind())));
            }
        };
        if !ports.insert(port) {
            return Err(item.fault(format!("{key}: {port} is listed twice; expected each port once")));
        }
    }
    Ok(ports.into_iter().collect())
}
