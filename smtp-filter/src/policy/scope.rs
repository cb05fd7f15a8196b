//! A scope: connections between some addresses, for which the policy is another one in part.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Serialize, Serializer};
use smtp_filter_common::bounds;

use super::{
    classes::{self, TooManyPairs},
    document::Document,
    settings::Settings,
};

/// Scopes of one policy: its own policies but for the whole's.
pub const SCOPES: usize = bounds::SCOPES - 1;
/// Longest name of a scope.
pub const SCOPE_NAME: usize = 32;

/// A scope's name: letters, digits, `-` and `_`, so that it can be part of a KEY.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ScopeName(String);

impl ScopeName {
    /// Takes a name; `None` where it is none.
    pub fn new(name: &str) -> Option<Self> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ((1..=SCOPE_NAME).contains(&name.len()) && name.bytes().all(letter)).then(|| Self(name.to_owned()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One scope, with what it sets. What it does not set is as in the whole policy, also after that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Scope {
    /// Events name it.
    #[cfg_attr(test, schemars(schema_with = "super::schema::scope_name"))]
    pub name: ScopeName,
    /// Whose connections it is about, in ascending order; without it, everybody's.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "list")]
    #[cfg_attr(test, schemars(schema_with = "super::schema::prefixes"))]
    pub clients: Option<Vec<IpNet>>,
    /// Connections to whom it is about; without it, to everybody.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "list")]
    #[cfg_attr(test, schemars(schema_with = "super::schema::prefixes"))]
    pub servers: Option<Vec<IpNet>>,
    /// What is different in it.
    #[serde(flatten)]
    pub settings: Settings,
}

fn list<S: Serializer>(prefixes: &Option<Vec<IpNet>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(prefixes.iter().flatten().map(ToString::to_string))
}

impl Scope {
    /// One without prefixes and settings.
    pub(super) fn new(name: ScopeName) -> Self {
        Self { name, clients: None, servers: None, settings: Settings::default() }
    }

    /// Both lists of prefixes, with their keys.
    pub fn sides(&self) -> [(&'static str, Option<&[IpNet]>); 2] {
        [("clients", self.clients.as_deref()), ("servers", self.servers.as_deref())]
    }

    /// How many prefixes it has.
    pub fn prefixes(&self) -> usize {
        self.sides().iter().filter_map(|(_, prefixes)| *prefixes).map(<[IpNet]>::len).sum()
    }
}

impl Document {
    /// The policy of the connections that fall into no scope, as a policy of its own.
    pub fn whole(&self) -> Self {
        let Self { profile, values, commands, extensions, scopes: _ } = self;
        Self {
            profile: *profile,
            values: values.clone(),
            commands: commands.clone(),
            extensions: extensions.clone(),
            scopes: Vec::new(),
        }
    }

    /// The policy of the connections that fall into this scope, as a policy of its own.
    pub fn within(&self, scope: &Scope) -> Self {
        let mut document = self.whole();
        scope.settings.lay_over(&mut document);
        document
    }

    /// The scope of this name.
    pub fn scope(&self, name: &str) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.name.as_str() == name)
    }

    /// The scope that decides about connections between these addresses; of an end without an address, between those
    /// that no scope names there.
    pub fn deciding(&self, client: Option<IpAddr>, server: Option<IpAddr>) -> Result<Option<&Scope>, TooManyPairs> {
        let scopes = classes::scopes(&self.scopes)?;
        let [client, server] = [client, server].map(|address| address.map(octets));
        let number = scopes.number(client.as_ref(), server.as_ref());
        Ok(number.checked_sub(1).and_then(|at| self.scopes.get(at)))
    }
}

/// An address as the datapath compares it.
pub(super) fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
