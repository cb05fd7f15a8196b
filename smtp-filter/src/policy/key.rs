//! What a key of the policy is: one row of the table in [`keys`](super::keys), and the values that it takes.

use std::{borrow::Cow, time::Duration};

use serde::{Serialize, Serializer};
use smtp_filter_common::{action::Action, policy::Policy, reason::Reason};

use super::{
    fault::{Fault, Located},
    read::{action, bits, flag, number, ports, time, word},
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
    /// A number with its unit.
    Number {
        /// The largest.
        most: u64,
        /// What is counted.
        unit: Unit,
    },
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

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things: written as a number.
    Things,
    /// Bytes: written as a number, or with KB, MB or GB of a thousand each.
    Bytes,
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
    /// Of [`Kind::Number`].
    Number(u64, Unit),
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
            (Datum::Number(number, _), _) => *number,
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
            Self::Number { most, unit } => number(value, key, *most, *unit).map(|number| Datum::Number(number, *unit)),
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
            Self::Number { most, unit } => return format!("0 to {}", unit.written(*most)),
            Self::Time { most } => return format!("0s to {}", humantime::format_duration(*most)),
            Self::Flag => vec!["true", "false"],
            Self::Ports => return format!("1 to {PORTS} TCP ports"),
        };
        all.join(" ")
    }
}

impl Unit {
    /// Names of units and how many each is, the largest first.
    pub(super) const fn names(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::Things => &[],
            Self::Bytes => &[("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)],
        }
    }

    /// A number in the largest unit that it is a multiple of.
    pub(super) fn written(self, number: u64) -> String {
        let fits = self.names().iter().find(|(_, each)| number != 0 && number.is_multiple_of(*each));
        fits.map_or_else(|| number.to_string(), |(name, each)| format!("{}{name}", number / each))
    }
}

impl Datum {
    /// As it is written in a policy file.
    pub fn to_toml(&self) -> String {
        match self {
            Self::Action(action) => format!("\"{}\"", action.name()),
            Self::Word(word) => format!("\"{word}\""),
            Self::Bits(bits) => format!("{bits:#x}"),
            Self::Number(number, unit) => match unit.written(*number) {
                plain if plain.bytes().all(|byte| byte.is_ascii_digit()) => plain,
                with_unit => format!("\"{with_unit}\""),
            },
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
            Self::Number(number, _) => serializer.serialize_u64(*number),
            Self::Time(time) => serializer.collect_str(&humantime::format_duration(*time)),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Ports(ports) => serializer.collect_seq(ports.iter()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::value::{Value, parse_value},
        *,
    };

    fn read(kind: &Kind, text: &str) -> Result<Datum, String> {
        let value = parse_value(text).unwrap_or(Located { span: 0..0, value: Value::Text(text.to_owned()) });
        kind.read(&value, "limits.size").map_err(|fault| fault.message)
    }

    #[test]
    fn numbers_are_read_with_their_unit_and_written_in_the_largest() {
        let bytes = Kind::Number { most: 5_000_000_000, unit: Unit::Bytes };
        for (text, number, written) in [
            ("50MB", 50_000_000, "\"50MB\""),
            ("\"1500KB\"", 1_500_000, "\"1500KB\""),
            ("2 gb", 2_000_000_000, "\"2GB\""),
            ("512", 512, "512"),
            ("3000000", 3_000_000, "\"3MB\""),
            ("0", 0, "0"),
        ] {
            let value = read(&bytes, text).unwrap();
            assert_eq!((&value, value.to_toml().as_str()), (&Datum::Number(number, Unit::Bytes), written));
            assert_eq!(read(&bytes, written).as_ref(), Ok(&value));
        }
        assert_eq!(bytes.values(), "0 to 5GB");
        for (text, found) in
            [("6GB", "`6GB`"), ("-1", "`-1`"), ("50TB", "`50TB`"), ("99999999999GB", "`99999999999GB`")]
        {
            let said = format!("limits.size: {found} is out of range; expected 0 to 5GB");
            let no_number =
                format!("limits.size: {found} is no number of bytes; expected one such as 512, \"50KB\" or \"5MB\"");
            let refused = read(&bytes, text).unwrap_err();
            assert!([said, no_number].contains(&refused), "{refused}");
        }
    }

    #[test]
    fn numbers_without_a_unit_are_plain() {
        let things = Kind::Number { most: 100, unit: Unit::Things };
        assert_eq!(read(&things, "100"), Ok(Datum::Number(100, Unit::Things)));
        assert_eq!(read(&things, "101").unwrap_err(), "limits.size: `101` is out of range; expected 0 to 100");
        assert_eq!(read(&things, "5MB").unwrap_err(), "limits.size: expected a number, 0 to 100, found a string");
        assert_eq!(read(&things, "true").unwrap_err(), "limits.size: expected a number, 0 to 100, found true or false");
    }
}
