//! A section of the policy file: which keys it has, and what is shown of it.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use smtp_filter_common::{
    action::Action,
    bounds::{NAMED_KEYWORDS, NAMED_VERBS},
};

use super::{
    document::WordName,
    fault::{Fault, Located, one_of, quoted},
    key::{Datum, Key},
    keys::{BY_NAME, KEYS, LATER},
    value::{Table, Value},
    values::Values,
};

/// The key of an action that has something beside it.
pub(super) const ACTION: &str = "action";

/// A section of the file.
pub(super) struct Section {
    pub name: &'static str,
    /// What it is about, as a sentence.
    #[cfg_attr(not(test), expect(dead_code, reason = "the schema has it, which the tests make"))]
    pub meaning: &'static str,
    /// What one of its keys is called; such keys are written in any case. Empty where they are plain keys.
    pub noun: &'static str,
    /// Whether its keys say what is done, rather than how.
    pub acts: bool,
    /// Where the policy names the keys.
    pub names: Option<Names>,
}

/// What a policy may name in a section.
pub(super) struct Names {
    /// What a word of it is.
    pub expected: &'static str,
    /// What else makes a word one of it.
    pub takes: fn(&str) -> bool,
    /// Words that one policy may name.
    pub most: usize,
    /// The placeholder for any of them in the table of keys.
    pub any: &'static str,
}

/// What a section has under one name: a value, or a table of parts.
pub(super) enum Shown<'a> {
    One(&'a Datum),
    Parts(Vec<(&'static str, &'a Datum)>),
}

/// The sections of the file, in the order in which they are shown.
pub(super) static SECTIONS: &[Section] = &[
    Section {
        name: "commands",
        meaning: "What is done with commands.",
        noun: "verb",
        acts: true,
        names: Some(Names {
            expected: "a word of 1 to 16 characters",
            takes: |_| true,
            most: NAMED_VERBS,
            any: "VERB",
        }),
    },
    Section {
        name: "extensions",
        meaning: "What is done with the keywords in the reply to EHLO.",
        noun: "keyword",
        acts: true,
        names: Some(Names {
            expected: "a word of 1 to 16 characters without `=`, for `AUTH=LOGIN` is AUTH",
            takes: |word| !word.contains('='),
            most: NAMED_KEYWORDS,
            any: "KEYWORD",
        }),
    },
    Section { name: "banner", meaning: "What is done with the server's banner.", noun: "", acts: true, names: None },
    Section { name: "mask", meaning: "How commands are masked.", noun: "", acts: false, names: None },
    Section { name: "guards", meaning: "What is done at each guard.", noun: "guard", acts: true, names: None },
    Section { name: "mark", meaning: "What action `mark` sets.", noun: "", acts: false, names: None },
];

impl Section {
    /// The section of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SECTIONS.iter().find(|section| section.name == name)
    }

    /// Whether this is a word that a policy may name here, in whatever case.
    pub fn takes(&self, word: &str) -> bool {
        self.names.as_ref().is_some_and(|names| WordName::new(word).is_some() && (names.takes)(word))
    }

    /// Actions that are legal for a word, in whatever case.
    pub fn legal(&self, word: &str) -> &'static [Action] {
        let any = self.names.as_ref().map_or("", |names| names.any);
        let rows = || BY_NAME.iter().filter(|key| key.section() == self.name);
        let own = rows().find(|key| key.name().eq_ignore_ascii_case(word));
        own.or_else(|| rows().find(|key| key.name() == any)).map_or(&[], Key::legal)
    }

    /// Its keys, those without parts and the actions of those with some.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(|key| key.section() == self.name && key.part().is_none())
    }

    /// What is set beside the value of one of them.
    pub fn parts(&self, name: &str) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.section() == self.name && key.name() == name && key.part().is_some())
    }

    /// One of its keys.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        let is = |key: &&Key| key.name() == name || !self.noun.is_empty() && key.name().eq_ignore_ascii_case(name);
        self.keys().find(is)
    }

    /// The key of a path within the section, of a name, or of a name and a part.
    pub fn at(&self, path: &[&str]) -> Option<&'static Key> {
        match path {
            [name] => self.key(name),
            [name, part] => {
                let key = self.key(name)?;
                let mut parts = self.parts(key.name()).peekable();
                parts.peek()?;
                if *part == ACTION { Some(key) } else { parts.find(|key| key.part() == Some(part)) }
            }
            _ => None,
        }
    }

    /// Reads the section. `prefix` is what comes before its key in messages.
    pub fn read(&self, values: &mut Values, prefix: &str, value: &Located<Value>) -> Result<(), Fault> {
        let mut seen = BTreeSet::new();
        for (written, value) in table(value, &format!("{prefix}{}", self.name), &self.expected())? {
            let key = self.key(&written.value).ok_or_else(|| self.unknown(prefix, written))?;
            if !prefix.is_empty() && key.is_whole() {
                return Err(written.fault(of_the_whole(prefix, key.path)));
            }
            let path = format!("{prefix}{}", key.path);
            if !seen.insert(key.path) {
                let noun = self.noun;
                let problem = format!("{path}: named twice, for case does not count; expected each {noun} once");
                return Err(written.fault(problem));
            }
            match &value.value {
                Value::Table(parts) if self.parts(key.name()).next().is_some() => {
                    self.read_parts(values, key, &path, parts)?;
                }
                _ => values.set(key, key.kind.read(value, &path)?),
            }
        }
        Ok(())
    }

    fn read_parts(&self, values: &mut Values, key: &Key, path: &str, parts: &Table) -> Result<(), Fault> {
        for (written, value) in parts {
            let part = self.at(&[key.name(), &written.value]).ok_or_else(|| {
                let parts = self.parts(key.name()).filter_map(Key::part);
                let expected = one_of([ACTION].into_iter().chain(parts));
                written.fault(format!("{path}: unknown key {}; expected {expected}", quoted(&written.value)))
            })?;
            values.set(part, part.kind.read(value, &format!("{path}.{}", written.value))?);
        }
        Ok(())
    }

    fn unknown(&self, prefix: &str, written: &Located<String>) -> Fault {
        let Self { name: section, noun, .. } = self;
        let expected = one_of(self.keys().map(Key::name));
        let later = written.value.to_ascii_lowercase();
        written.fault(if LATER.contains(&format!("{section}.{later}").as_str()) {
            format!("this version does not have the {noun} {}; expected {expected}", quoted(&later))
        } else if noun.is_empty() {
            format!("{prefix}{section}: unknown key {}; expected {expected}", quoted(&written.value))
        } else {
            format!("unknown {noun} {}; expected {expected}", quoted(&written.value))
        })
    }

    /// What the section is, for a message.
    pub fn expected(&self) -> String {
        match self.noun {
            "" => format!("a table with {}", self.keys().map(Key::name).collect::<Vec<_>>().join(" and ")),
            noun => format!("a table of {noun}s and actions"),
        }
    }

    /// What the values say of the section, by name. Where a part is set, all that is set of the name is a table.
    pub fn shown<'a>(&'static self, values: &'a Values) -> Vec<(&'static str, Shown<'a>)> {
        let shown = |key: &'static Key| {
            let own = values.get(key.path);
            let part = |part: &'static Key| Some((part.part()?, values.get(part.path)?));
            let mut parts: Vec<_> = self.parts(key.name()).filter_map(part).collect();
            if parts.is_empty() {
                return Some((key.name(), Shown::One(own?)));
            }
            parts.splice(0..0, own.map(|own| (ACTION, own)));
            Some((key.name(), Shown::Parts(parts)))
        };
        self.keys().filter_map(shown).collect()
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(value) => value.serialize(serializer),
            Self::Parts(parts) => serializer.collect_map(parts.iter().copied()),
        }
    }
}

/// The entries of a section as a map.
pub(super) struct Entries<'a>(pub Vec<(&'static str, Shown<'a>)>);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, shown) in &self.0 {
            map.serialize_entry(name, shown)?;
        }
        map.end()
    }
}

/// What is said of a key of the whole policy in a scope, which `prefix` names.
pub(super) fn of_the_whole(prefix: &str, key: &str) -> String {
    let scope = prefix.trim_end_matches('.');
    format!(
        "{scope}: {key} belongs to the whole policy and holds for every scope; expected it above the first [[scope]]"
    )
}

/// A table.
pub(super) fn table<'a>(value: &'a Located<Value>, key: &str, expected: &str) -> Result<&'a Table, Fault> {
    match &value.value {
        Value::Table(table) => Ok(table),
        found => Err(value.fault(format!("{key}: expected {expected}, found {}", found.kind()))),
    }
}
