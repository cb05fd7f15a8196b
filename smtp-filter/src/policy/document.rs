//! The effective policy: every key with its value, as `policy show` prints it.

use std::{borrow::Borrow, collections::BTreeMap, fmt, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use smtp_filter_common::{
    action::Action,
    limits::WORD,
    policy::{self, GUARDS as GUARD_SLOTS},
    word::Word,
};

use super::{
    profiles::Profile,
    rules::{GUARDS, Guard},
    scope::Scope,
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

// A string stands before another exactly where its name does.
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

    /// The mode of this name.
    pub fn find(name: &str) -> Option<Self> {
        [Self::Monitor, Self::Enforce].into_iter().find(|mode| mode.name() == name)
    }

    /// As the datapath reads it.
    pub const fn number(self) -> u8 {
        match self {
            Self::Monitor => policy::MONITOR,
            Self::Enforce => policy::ENFORCE,
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

/// What is done at each guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guards {
    /// By guard, in the order of the datapath.
    actions: [Action; GUARD_SLOTS],
    /// How long after `up` a connection without state passes.
    pub grace: Duration,
}

impl Default for Guards {
    fn default() -> Self {
        let mut actions = [Action::Drop; GUARD_SLOTS];
        for guard in GUARDS {
            actions[guard.slot()] = guard.default;
        }
        Self { actions, grace: Duration::from_secs(600) }
    }
}

impl Guards {
    /// The action of a guard.
    pub fn action(&self, guard: &Guard) -> Action {
        self.actions[guard.slot()]
    }

    /// Gives a guard another action.
    pub fn set(&mut self, guard: &Guard, action: Action) {
        self.actions[guard.slot()] = action;
    }

    /// As the datapath reads them.
    pub fn numbers(&self) -> [u8; GUARD_SLOTS] {
        self.actions.map(|action| action as u8)
    }
}

impl Serialize for Guards {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WithGrace {
            action: &'static str,
            grace: String,
        }

        let mut map = serializer.serialize_map(Some(GUARDS.len()))?;
        for guard in GUARDS {
            let action = self.action(guard).name();
            if guard.has_grace() {
                let grace = humantime::format_duration(self.grace).to_string();
                map.serialize_entry(guard.key(), &WithGrace { action, grace })?;
            } else {
                map.serialize_entry(guard.key(), action)?;
            }
        }
        map.end()
    }
}

/// The bits of `skb->mark` that action `mark` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mark {
    /// The bits' values.
    pub value: u32,
    /// Which bits; the others stay as they are.
    pub mask: u32,
}

impl Default for Mark {
    fn default() -> Self {
        Self { value: 0x19, mask: 0xff }
    }
}

/// What of the server's banner stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Show {
    /// Everything.
    #[default]
    All,
    /// The host's name and the word ESMTP.
    Host,
    /// The host's name.
    HostSmtp,
    /// The characters 2 and 0.
    Pix,
}

impl Show {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::All, Self::Host, Self::HostSmtp, Self::Pix];

    /// Its name in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Host => "host",
            Self::HostSmtp => "host-smtp",
            Self::Pix => "pix",
        }
    }

    /// As the datapath reads it.
    pub const fn number(self) -> u8 {
        match self {
            Self::All => policy::SHOW_ALL,
            Self::Host => policy::SHOW_HOST,
            Self::HostSmtp => policy::SHOW_HOST_SMTP,
            Self::Pix => policy::SHOW_PIX,
        }
    }
}

/// What is done with the server's banner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Banner {
    /// What of it stays.
    pub show: Show,
}

/// What a masked command becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Fill {
    /// A line of X: the server answers 500.
    #[default]
    X,
    /// NOOP, where that can be: the server answers 250.
    #[serde(rename = "noop")]
    Noop,
}

impl Fill {
    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::X, Self::Noop];

    /// Its name in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X => "X",
            Self::Noop => "noop",
        }
    }

    /// As the datapath reads it.
    pub const fn number(self) -> u8 {
        match self {
            Self::X => policy::FILL_X,
            Self::Noop => policy::FILL_NOOP,
        }
    }
}

/// How commands are masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mask {
    /// What a masked command becomes.
    pub fill: Fill,
}

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Document {
    /// What it started from.
    #[serde(serialize_with = "profile_name")]
    #[cfg_attr(test, schemars(with = "String", extend("enum" = Profile::ALL.map(Profile::name))))]
    pub profile: Profile,
    /// TCP ports of SMTP servers, in ascending order.
    pub ports: Vec<u16>,
    /// Whether actions are carried out.
    pub mode: Mode,
    /// Whether events carry envelope addresses.
    pub capture_envelope: bool,
    /// What is done with commands.
    #[cfg_attr(test, schemars(schema_with = "super::schema::commands"))]
    pub commands: ByName,
    /// What is done with the keywords in the reply to EHLO.
    #[cfg_attr(test, schemars(schema_with = "super::schema::extensions"))]
    pub extensions: ByName,
    /// What is done with the server's banner.
    pub banner: Banner,
    /// How commands are masked.
    pub mask: Mask,
    /// What is done at each guard.
    #[cfg_attr(test, schemars(schema_with = "super::schema::guards"))]
    pub guards: Guards,
    /// What action `mark` sets.
    pub mark: Mark,
    /// Connections for which it is another one in part.
    #[serde(rename = "scope")]
    pub scopes: Vec<Scope>,
}

fn profile_name<S: Serializer>(profile: &Profile, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(profile.name())
}

impl Document {
    /// Whether something that a profile speaks of differs from what its own says, be it in a scope.
    pub fn differs_from_profile(&self) -> bool {
        let Self { profile, ports, capture_envelope, mark, .. } = self;
        let plain = profile.document();
        !self.scopes.is_empty()
            || *self != Self { ports: ports.clone(), capture_envelope: *capture_envelope, mark: *mark, ..plain }
    }
}
