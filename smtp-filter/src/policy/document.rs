//! The effective policy: every key with its value, as `policy show` prints it.

use std::{borrow::Borrow, collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use smtp_filter_common::{action::Action, bounds::WORD, word::Word};

use super::{
    keys,
    profiles::Profile,
    scope::Scope,
    section::{Entries, SECTIONS, Section},
    values::Values,
};

/// A verb's or a keyword's name: 1 to 16 printable characters, kept in upper case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordName(String);

impl WordName {
    /// Takes a name in whatever case; `None` where it is no word of 1 to 16 characters.
    pub fn new(name: &str) -> Option<Self> {
        let word = (1..=WORD).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        word.then(|| Self(name.to_ascii_uppercase()))
    }

    /// In upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the datapath compares it.
    pub fn word(&self) -> Word {
        Word::of(&self.0)
    }
}

// Strings are in the order of their names.
impl Borrow<str> for WordName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether actions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Mode {
    /// Everything passes unchanged; what would have been done is counted and reported.
    Monitor,
    /// Actions are carried out.
    Enforce,
}

impl Mode {
    /// Its name in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Enforce => "enforce",
        }
    }
}

/// What is done with words: with commands by their verb, or with extensions by their keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByName {
    /// Words by name.
    pub named: BTreeMap<WordName, Action>,
    /// Every word that is not named.
    pub other: Action,
}

impl ByName {
    /// What is done with this word, in upper case.
    pub fn action(&self, word: &str) -> Action {
        self.named.get(word).copied().unwrap_or(self.other)
    }

    /// The key that says what is done with this word, in upper case: the reason that events and counters give.
    pub(super) fn key(&self, section: &str, word: &str) -> String {
        let name = if self.named.contains_key(word) { word } else { "other" };
        format!("{section}.{}", name.to_ascii_lowercase())
    }
}

impl Serialize for ByName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.named.len() + 1))?;
        for (word, action) in &self.named {
            map.serialize_entry(word.as_str(), action.name())?;
        }
        map.serialize_entry("other", self.other.name())?;
        map.end()
    }
}

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it started from.
    pub profile: Profile,
    /// The values of the keys that have one: every one of them has one here.
    pub values: Values,
    /// What is done with commands.
    pub commands: ByName,
    /// What is done with the keywords in the reply to EHLO.
    pub extensions: ByName,
    /// Connections for which it is another one in part.
    pub scopes: Vec<Scope>,
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("profile", self.profile.name())?;
        for key in keys::top() {
            map.serialize_entry(key.path, &self.values.get(key.path))?;
        }
        for section in SECTIONS {
            match self.words(section) {
                Some(words) => map.serialize_entry(section.name, words)?,
                None => map.serialize_entry(section.name, &Entries(section.shown(&self.values)))?,
            }
        }
        map.serialize_entry("scope", &self.scopes)?;
        map.end()
    }
}

impl Document {
    /// Whether something that a profile speaks of differs from what its own says, be it in a scope.
    pub fn differs_from_profile(&self) -> bool {
        let mut plain = self.profile.document();
        plain.values.lay(&self.values.of_no_profile());
        !self.scopes.is_empty() || *self != plain
    }

    /// The words of a section that has some.
    pub(super) fn words(&self, section: &Section) -> Option<&ByName> {
        match section.name {
            "commands" => Some(&self.commands),
            "extensions" => Some(&self.extensions),
            _ => None,
        }
    }
}
