//! The values of the keys that have one, by key.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use smtp_filter_common::action::Action;

use super::{
    document::Mode,
    key::{Datum, Key},
    keys::KEYS,
};

/// Values by key: of a whole policy those of all keys, of settings those that are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Datum>);

impl Values {
    /// The default of every key.
    pub(super) fn defaults() -> Self {
        Self(KEYS.iter().map(|key| (key.path, key.default.clone())).collect())
    }

    /// The value of the key with this path.
    pub fn get(&self, path: &str) -> Option<&Datum> {
        self.0.get(path)
    }

    /// Gives a key a value.
    pub fn set(&mut self, key: &Key, value: Datum) {
        self.0.insert(key.path, value);
    }

    /// Leaves a key as it is beneath.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key.path);
    }

    /// Lays newer values over these.
    pub(super) fn lay(&mut self, newer: &Self) {
        self.0.extend(newer.0.iter().map(|(path, value)| (*path, value.clone())));
    }

    /// The value of each key that is none of a profile.
    pub(super) fn of_no_profile(&self) -> Self {
        let keys = KEYS.iter().filter(|key| !key.is_of_profile());
        Self(keys.filter_map(|key| Some((key.path, self.get(key.path)?.clone()))).collect())
    }

    /// TCP ports of SMTP servers, in ascending order.
    pub fn ports(&self) -> &[u16] {
        match self.get("ports") {
            Some(Datum::Ports(ports)) => ports,
            _ => &[],
        }
    }

    /// Whether actions are carried out.
    pub fn mode(&self) -> Mode {
        match self.word("mode") {
            "enforce" => Mode::Enforce,
            _ => Mode::Monitor,
        }
    }

    /// The action of a key.
    pub fn action(&self, path: &str) -> Option<Action> {
        match self.get(path) {
            Some(Datum::Action(action)) => Some(*action),
            _ => None,
        }
    }

    /// The word that a key has; empty where it has none.
    pub fn word(&self, path: &str) -> &'static str {
        match self.get(path) {
            Some(Datum::Word(word)) => word,
            _ => "",
        }
    }

    /// The bits that a key has.
    pub fn bits(&self, path: &str) -> Option<u32> {
        match self.get(path) {
            Some(Datum::Bits(bits)) => Some(*bits),
            _ => None,
        }
    }

    /// The time that a key has.
    pub fn time(&self, path: &str) -> Option<Duration> {
        match self.get(path) {
            Some(Datum::Time(time)) => Some(*time),
            _ => None,
        }
    }

    /// Gives the policy other ports, in ascending order.
    pub fn set_ports(&mut self, ports: Vec<u16>) {
        self.0.insert("ports", Datum::Ports(Cow::Owned(ports)));
    }
}
