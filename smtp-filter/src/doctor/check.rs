//! One finding.

use serde::Serialize;

/// What was looked at, what was found, and what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// Its name; of an interface: with the interface's name after a space.
    pub name: String,
    /// Whether all is well.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do; none where all is well.
    pub remedy: Option<String>,
    /// Whether the filter cannot work without it.
    #[serde(skip)]
    pub needed: bool,
    /// Whether it could be looked at.
    #[serde(skip)]
    pub seen: bool,
}

impl Check {
    /// All is well.
    pub fn good(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), ok: true, found: found.into(), remedy: None, needed: false, seen: true }
    }

    /// The filter works, but something is past its reach, or could not be looked at.
    pub fn warning(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { name: name.into(), ok: false, found: found.into(), remedy, needed: false, seen: true }
    }

    /// The filter cannot work.
    pub fn failure(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { needed: true, ..Self::warning(name, found, remedy) }
    }

    /// What could not be looked at, and why.
    pub fn unseen(name: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let check = Self::warning(name, format!("not looked at: {why}"), "look again with sudo, or by hand");
        Self { seen: false, ..check }
    }

    /// In one line.
    pub fn line(&self) -> String {
        let Self { name, found, remedy, .. } = self;
        let remedy = remedy.as_ref().map_or(String::new(), |remedy| format!("; {remedy}"));
        format!("{name}: {found}{remedy}")
    }
}
