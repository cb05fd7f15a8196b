//! What a key of the policy is: one row of the table in [`keys`](super::keys), and the values that it takes.

use std::{borrow::Cow, time::Duration};

use serde::{Serialize, Serializer};
use smtp_filter_common::{action::Action, policy::Policy, reason::Reason};

use super::{
    fault::{Fault, Located},
    read::{action, bits, flag, ports, time, word},
    value::Value,
};

/// Ports that one policy may name: a gateway has a handful.
pub const PORTS: usize = 1024;

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
