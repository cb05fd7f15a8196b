//! What a key of the policy is: one row of the table in [`keys`](super::keys), and the values that it takes.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use serde::{Serialize, Serializer};
use smtp_filter_common::{action::Action, policy::Policy, reason::Reason};

use super::{
    fault::{Fault, Located, one_of, quoted},
    value::Value,
};

/// Ports that one policy may name: a gateway has a handful.
pub const PORTS: usize = 1024;
/// TLS from the first byte (RFC 8314 section 3.3): there are no commands to read.
const SUBMISSIONS: i64 = 465;

/// One key of the policy.
#[derive(Debug)]
pub struct Key {
    /// Where it is in the file: `mode`, `banner.show`, or `guards.unknown_connection.grace` for what is set beside the
    /// action of `guards.unknown_connection`.
    pub path: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// Its value unless the profile or the policy says otherwise.
    pub default: Datum,
    /// What it is about, in one sentence.
    pub meaning: &'static str,
    /// Who sets it, and for which connections.
    pub reach: Reach,
    /// Where its value goes in the compiled policy.
    pub(super) goes: Goes,
}

/// Who sets a key, and for which connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One value for all connections; a profile has its own.
    WholeByProfile,
    /// One value for all connections; profiles leave it alone.
    Whole,
    /// A scope may have its own; so has a profile.
    ScopeByProfile,
    /// A scope may have its own; profiles leave it alone.
    Scope,
}

/// Which values a key takes.
#[derive(Debug)]
pub enum Kind {
    /// One of these actions.
    Action(&'static [Action]),
    /// One of a few words.
    Word {
        /// The words.
        words: &'static [Word],
        /// What one of them is called where there is no such word; empty where they are only listed.
        noun: &'static str,
    },
    /// 32 bits, as a number.
    Bits,
    /// A length of time, written as `10m`.
    Time {
        /// The longest.
        most: Duration,
    },
    /// True or false.
    Flag,
    /// A list of TCP ports.
    Ports,
}

/// One of the words that a key takes.
#[derive(Debug)]
pub struct Word {
    /// As it is written.
    pub name: &'static str,
    /// As the datapath reads it.
    pub number: u8,
    /// What it does.
    pub meaning: &'static str,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// Of [`Kind::Action`].
    Action(Action),
    /// Of [`Kind::Word`].
    Word(&'static str),
    /// Of [`Kind::Bits`].
    Bits(u32),
    /// Of [`Kind::Time`].
    Time(Duration),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Ports`], in ascending order.
    Ports(Cow<'static, [u16]>),
}

/// Where a value goes in the compiled policy.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goes {
    /// The action of this guard.
    Guard(Reason),
    /// A field that holds the value as a number: of an action or a word its own, of a time nanoseconds.
    Field(fn(&mut Policy, u64)),
    /// The set of ports.
    Ports,
    /// By name, with the word that is named: `by_name` sees to it.
    ByName,
}

impl Key {
    /// Section, name, and part of the path; the section of a key at the top is empty.
    fn pieces(&self) -> (&'static str, &'static str, Option<&'static str>) {
        match self.path.split_once('.') {
            None => ("", self.path, None),
            Some((section, rest)) => match rest.split_once('.') {
                None => (section, rest, None),
                Some((name, part)) => (section, name, Some(part)),
            },
        }
    }

    /// The section of the file that it is in; empty at the top.
    pub fn section(&self) -> &'static str {
        self.pieces().0
    }

    /// Its name there.
    pub fn name(&self) -> &'static str {
        self.pieces().1
    }

    /// The name of what it sets beside an action.
    pub fn part(&self) -> Option<&'static str> {
        self.pieces().2
    }

    /// Whether it holds for all connections alike.
    pub fn is_whole(&self) -> bool {
        matches!(self.reach, Reach::Whole | Reach::WholeByProfile)
    }

    /// Whether profiles have a value for it.
    pub fn is_of_profile(&self) -> bool {
        matches!(self.reach, Reach::WholeByProfile | Reach::ScopeByProfile)
    }

    /// The actions that are legal; none where its value is no action.
    pub fn legal(&self) -> &'static [Action] {
        match self.kind {
            Kind::Action(legal) => legal,
            _ => &[],
        }
    }

    /// Puts a value into the compiled policy.
    pub(super) fn compile(&self, policy: &mut Policy, value: &Datum) {
        match (self.goes, value) {
            (Goes::Guard(reason), Datum::Action(action)) => {
                if let Some(guard) = policy.guards.get_mut(usize::from(reason.number())) {
                    *guard = *action as u8;
                }
            }
            (Goes::Field(put), value) => put(policy, self.number(value)),
            (Goes::Ports, Datum::Ports(ports)) => ports.iter().for_each(|port| policy.add_port(*port)),
            (Goes::Guard(_) | Goes::Ports | Goes::ByName, _) => {}
        }
    }

    /// A value as a number of the datapath.
    fn number(&self, value: &Datum) -> u64 {
        match (value, &self.kind) {
            (Datum::Action(action), _) => *action as u64,
            (Datum::Word(name), Kind::Word { words, .. }) => {
                words.iter().find(|word| word.name == *name).map_or(0, |word| word.number.into())
            }
            (Datum::Word(_) | Datum::Ports(_), _) => 0,
            (Datum::Bits(bits), _) => (*bits).into(),
            (Datum::Time(time), _) => u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            (Datum::Flag(flag), _) => (*flag).into(),
        }
    }
}

impl Kind {
    /// Reads a value of the file. `key` is the key's path in messages.
    pub(super) fn read(&self, value: &Located<Value>, key: &str) -> Result<Datum, Fault> {
        match self {
            Self::Action(legal) => action(value, key, legal).map(Datum::Action),
            Self::Word { words, noun } => word(value, key, words, noun).map(Datum::Word),
            Self::Bits => bits(value, key).map(Datum::Bits),
            Self::Time { most } => time(value, key, *most).map(Datum::Time),
            Self::Flag => flag(value, key).map(Datum::Flag),
            Self::Ports => ports(value, key).map(|ports| Datum::Ports(ports.into())),
        }
    }

    /// The values, in a few words.
    pub fn values(&self) -> String {
        let all: Vec<&str> = match self {
            Self::Action(legal) => legal.iter().map(|action| action.name()).collect(),
            Self::Word { words, .. } => words.iter().map(|word| word.name).collect(),
            Self::Bits => vec!["0 to 0xffffffff"],
            Self::Time { most } => return format!("0s to {}", humantime::format_duration(*most)),
            Self::Flag => vec!["true", "false"],
            Self::Ports => return format!("1 to {PORTS} TCP ports"),
        };
        all.join(" ")
    }
}

impl Datum {
    /// As it is written in a policy file.
    pub fn to_toml(&self) -> String {
        match self {
            Self::Action(action) => format!("\"{}\"", action.name()),
            Self::Word(word) => format!("\"{word}\""),
            Self::Bits(bits) => format!("{bits:#x}"),
            Self::Time(time) => format!("\"{}\"", humantime::format_duration(*time)),
            Self::Flag(flag) => flag.to_string(),
            Self::Ports(ports) => format!("{ports:?}"),
        }
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Action(action) => serializer.serialize_str(action.name()),
            Self::Word(word) => serializer.serialize_str(word),
            Self::Bits(bits) => serializer.serialize_u32(*bits),
            Self::Time(time) => serializer.collect_str(&humantime::format_duration(*time)),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Ports(ports) => serializer.collect_seq(ports.iter()),
        }
    }
}

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

fn word(value: &Located<Value>, key: &str, words: &[Word], noun: &str) -> Result<&'static str, Fault> {
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

fn bits(value: &Located<Value>, key: &str) -> Result<u32, Fault> {
    const EXPECTED: &str = "expected 0 to 0xffffffff";
    match &value.value {
        Value::Number(number) => {
            u32::try_from(*number).map_err(|_| value.fault(format!("{key}: {number} has no 32 bits; {EXPECTED}")))
        }
        found => Err(value.fault(format!("{key}: {EXPECTED}, found {}", found.kind()))),
    }
}

fn time(value: &Located<Value>, key: &str, most: Duration) -> Result<Duration, Fault> {
    let text = text(value, key, "a time such as \"10m\"")?;
    let time = humantime::parse_duration(text)
        .map_err(|_| value.fault(format!("{key}: {} is no time; expected one such as \"10m\"", quoted(text))))?;
    if time > most {
        let most = humantime::format_duration(most);
        return Err(value.fault(format!("{key}: {} is too long; expected at most \"{most}\"", quoted(text))));
    }
    Ok(time)
}

fn flag(value: &Located<Value>, key: &str) -> Result<bool, Fault> {
    match &value.value {
        Value::Flag(flag) => Ok(*flag),
        found => Err(value.fault(format!("{key}: expected true or false, found {}", found.kind()))),
    }
}

fn ports(value: &Located<Value>, key: &str) -> Result<Vec<u16>, Fault> {
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
            return Err(item.fault(format!("{key}: {port} stands there twice; expected each port once")));
        }
    }
    Ok(ports.into_iter().collect())
}
