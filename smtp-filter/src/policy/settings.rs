//! What a file or a scope sets, and what a policy becomes by it. What is not set stays as it is beneath.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use smtp_filter_common::{
    action::Action,
    limits::{NAMED_KEYWORDS, NAMED_VERBS},
    policy::GUARDS as GUARD_SLOTS,
};

use super::{
    document::{ByName, Document, Fill, Show, WordName},
    rules::{GUARDS, Guard},
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
    fn is_empty(&self) -> bool {
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

/// Gives `other` an action. Words that the profile names only to count them apart, with the action of its `other`,
/// are then no longer named: who says `other = "drop"` means every verb that he does not name himself. With the profile's own
/// `other` they come back, so that what is set is what its file says.
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

/// Settings of `[guards]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardSettings {
    /// By guard, in the order of the datapath.
    actions: [Option<Action>; GUARD_SLOTS],
    /// How long after `up` a connection without state passes.
    pub grace: Option<Duration>,
}

impl GuardSettings {
    /// The action that a guard is given.
    pub fn action(&self, guard: &Guard) -> Option<Action> {
        self.actions[guard.slot()]
    }

    /// Gives a guard an action, or leaves it as it is beneath.
    pub fn set(&mut self, guard: &Guard, action: Option<Action>) {
        self.actions[guard.slot()] = action;
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, newer: Self) {
        for (place, action) in self.actions.iter_mut().zip(newer.actions) {
            *place = action.or(*place);
        }
        self.grace = newer.grace.or(self.grace);
    }
}

impl Serialize for GuardSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WithGrace {
            #[serde(skip_serializing_if = "Option::is_none")]
            action: Option<&'static str>,
            grace: String,
        }

        let mut map = serializer.serialize_map(None)?;
        for guard in GUARDS {
            let action = self.action(guard).map(Action::name);
            match (self.grace, action) {
                (Some(grace), action) if guard.has_grace() => {
                    let grace = humantime::format_duration(grace).to_string();
                    map.serialize_entry(guard.key(), &WithGrace { action, grace })?;
                }
                (_, Some(action)) => map.serialize_entry(guard.key(), action)?,
                (_, None) => {}
            }
        }
        map.end()
    }
}

/// Settings of `[banner]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BannerSettings {
    /// What of it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Show"))]
    pub show: Option<Show>,
}

/// Settings of `[mask]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MaskSettings {
    /// What a masked command becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Fill"))]
    pub fill: Option<Fill>,
}

/// Settings of `[mark]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MarkSettings {
    /// The bits' values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "u32"))]
    pub value: Option<u32>,
    /// Which bits; the others stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "u32"))]
    pub mask: Option<u32>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Settings of everything that may differ from connection to connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Settings {
    /// Whether events carry envelope addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "bool"))]
    pub capture_envelope: Option<bool>,
    /// What is done with commands.
    #[serde(skip_serializing_if = "Words::is_empty")]
    #[cfg_attr(test, schemars(schema_with = "super::schema::some_commands"))]
    pub commands: Words,
    /// What is done with the keywords in the reply to EHLO.
    #[serde(skip_serializing_if = "Words::is_empty")]
    #[cfg_attr(test, schemars(schema_with = "super::schema::some_extensions"))]
    pub extensions: Words,
    /// What is done with the server's banner.
    #[serde(skip_serializing_if = "is_default")]
    pub banner: BannerSettings,
    /// How commands are masked.
    #[serde(skip_serializing_if = "is_default")]
    pub mask: MaskSettings,
    /// What is done at each guard.
    #[serde(skip_serializing_if = "GuardSettings::is_empty")]
    #[cfg_attr(test, schemars(schema_with = "super::schema::some_guards"))]
    pub guards: GuardSettings,
    /// What action `mark` sets.
    #[serde(skip_serializing_if = "is_default")]
    pub mark: MarkSettings,
}

impl Settings {
    /// Adds newer settings to these.
    pub(super) fn add(&mut self, newer: Self) {
        self.capture_envelope = newer.capture_envelope.or(self.capture_envelope);
        self.commands.add(newer.commands);
        self.extensions.add(newer.extensions);
        self.banner.show = newer.banner.show.or(self.banner.show);
        self.mask.fill = newer.mask.fill.or(self.mask.fill);
        self.guards.add(newer.guards);
        self.mark.value = newer.mark.value.or(self.mark.value);
        self.mark.mask = newer.mark.mask.or(self.mark.mask);
    }

    /// Lays the settings over a policy.
    pub(super) fn lay_over(&self, document: &mut Document) {
        let Self { capture_envelope, commands, extensions, banner, mask, guards, mark } = self;
        let plain = document.profile.document();
        set(&mut document.capture_envelope, *capture_envelope);
        commands.lay_over(&mut document.commands, &plain.commands);
        extensions.lay_over(&mut document.extensions, &plain.extensions);
        set(&mut document.banner.show, banner.show);
        set(&mut document.mask.fill, mask.fill);
        for guard in GUARDS {
            if let Some(action) = guards.action(guard) {
                document.guards.set(guard, action);
            }
        }
        set(&mut document.guards.grace, guards.grace);
        set(&mut document.mark.value, mark.value);
        set(&mut document.mark.mask, mark.mask);
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

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
