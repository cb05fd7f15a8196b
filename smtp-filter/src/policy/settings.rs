//! What a file or a scope sets, and what a policy becomes by it. What is not set stays as it is beneath.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use smtp_filter_common::{
    action::Action,
    bounds::{NAMED_KEYWORDS, NAMED_VERBS},
};

use super::{
    document::{ByName, Document, WordName},
    keys,
    section::{Entries, SECTIONS, Section},
    values::Values,
};

/// Settings of `[commands]` or `[extensions]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Words by name.
    pub named: BTreeMap<WordName, Action>,
    /// Every word that is not named.
    pub other: Option<Action>,
}

impl Words {
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.other.is_none()
    }

    fn add(&mut self, newer: Self) {
        self.named.extend(newer.named);
        self.other = newer.other.or(self.other);
    }

    /// `plain` is what the profile says there.
    fn lay_over(&self, rules: &mut ByName, plain: &ByName) {
        if let Some(other) = self.other {
            set_other(rules, plain, other);
        }
        rules.named.extend(self.named.iter().map(|(word, action)| (word.clone(), *action)));
    }

    /// Where the words beneath and these are too many together, those that are named only to be counted apart make
    /// room. `stay` are those that do more.
    fn make_room(&self, rules: &mut ByName, stay: &BTreeSet<WordName>) {
        let other = rules.other;
        let stays = |word: &WordName| self.named.contains_key(word) || stay.contains(word);
        rules.named.retain(|word, action| *action != other || stays(word));
    }
}

/// Gives `other` an action. Words that the profile names only to count them apart, with the action of its `other`, are
/// then no longer named: who says `other = "drop"` means every verb that he does not name himself. With the profile's
/// own `other` they come back, so that what is set is what its file says.
fn set_other(rules: &mut ByName, plain: &ByName, action: Action) {
    let before = rules.other;
    if action != before {
        rules.named.retain(|word, action| *action != before || plain.named.get(word) != Some(&plain.other));
        if action == plain.other {
            for (word, counted) in plain.named.iter().filter(|(_, counted)| **counted == plain.other) {
                rules.named.entry(word.clone()).or_insert(*counted);
            }
        }
    }
    rules.other = action;
}

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.named.len() + usize::from(self.other.is_some())))?;
        for (word, action) in &self.named {
            map.serialize_entry(word.as_str(), action.name())?;
        }
        if let Some(other) = self.other {
            map.serialize_entry("other", other.name())?;
        }
        map.end()
    }
}

/// Settings of everything that may differ from connection to connection, and of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of the keys that have a value.
    pub values: Values,
    /// What is done with commands.
    pub commands: Words,
    /// What is done with the keywords in the reply to EHLO.
    pub extensions: Words,
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for key in keys::top() {
            if let Some(value) = self.values.get(key.path) {
                map.serialize_entry(key.path, value)?;
            }
        }
        for section in SECTIONS {
            let shown = section.shown(&self.values);
            match self.words(section) {
                Some(words) if !words.is_empty() => map.serialize_entry(section.name, words)?,
                None if !shown.is_empty() => map.serialize_entry(section.name, &Entries(shown))?,
                Some(_) | None => {}
            }
        }
        map.end()
    }
}

impl Settings {
    /// The words of a section that has some.
    pub(super) fn words(&self, section: &Section) -> Option<&Words> {
        match section.name {
            "commands" => Some(&self.commands),
            "extensions" => Some(&self.extensions),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn words_mut(&mut self, section: &Section) -> Option<&mut Words> {
        match section.name {
            "commands" => Some(&mut self.commands),
            "extensions" => Some(&mut self.extensions),
            _ => None,
        }
    }

    /// Adds newer settings to these.
    pub(super) fn add(&mut self, newer: Self) {
        self.values.lay(&newer.values);
        self.commands.add(newer.commands);
        self.extensions.add(newer.extensions);
    }

    /// Lays the settings over a policy.
    pub(super) fn lay_over(&self, document: &mut Document) {
        let Self { values, commands, extensions } = self;
        let plain = document.profile.document();
        document.values.lay(values);
        commands.lay_over(&mut document.commands, &plain.commands);
        extensions.lay_over(&mut document.extensions, &plain.extensions);
        if document.extensions.named.len() > NAMED_KEYWORDS {
            // Whose name masks a verb: `other` would hide the keyword alone.
            let stay = document.effective_verbs().into_values().filter_map(|verb| verb.masked_with).collect();
            extensions.make_room(&mut document.extensions, &stay);
        }
        if document.effective_verbs().len() > NAMED_VERBS {
            commands.make_room(&mut document.commands, &BTreeSet::new());
        }
    }
}
