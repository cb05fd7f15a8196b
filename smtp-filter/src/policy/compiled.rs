//! A compiled policy: the whole's own and its scopes'.

use smtp_filter_common::{
    policy::Policy,
    scope::{self, Policies},
};

use super::scopes::Scopes;

/// The policies of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// By the numbers of their scopes; the first one is the whole's own.
    pub policies: Vec<Box<Policy>>,
    /// Who is judged by which.
    pub scopes: Scopes,
}

impl Compiled {
    /// The whole's own.
    pub fn whole(&self) -> &Policy {
        &self.policies[0]
    }

    /// Its generation.
    pub fn generation(&self) -> u32 {
        self.whole().generation
    }

    /// The policy that judges a connection, by the addresses of client and server; IPv4 as ::ffff:a.b.c.d.
    pub fn policy_for(&self, client: &[u8; 16], server: &[u8; 16]) -> &Policy {
        &self.policies[self.scopes.number(Some(client), Some(server))]
    }

    /// From when on the filter does nothing any more, because nobody has confirmed it: nanoseconds since boot; 0:
    /// never.
    pub fn set_off_at(&mut self, off_at: u64) {
        for policy in &mut self.policies {
            policy.off_at = off_at;
        }
    }

    /// Moves the end of the grace for connections older than the filter, which was counted from 0.
    pub fn grace_from(&mut self, start: u64) {
        for policy in &mut self.policies {
            policy.grace_until = policy.grace_until.saturating_add(start);
        }
    }
}

impl Policies for Compiled {
    fn of_scope(&self, scope: u32) -> Option<&Policy> {
        self.policies.get(scope as usize).map(Box::as_ref)
    }
}

impl scope::Scopes for Compiled {
    fn class(&self, side: u8, address: &[u8; 16]) -> Option<u32> {
        self.scopes.class(side, address)
    }

    fn pair(&self, index: u32) -> Option<u8> {
        self.scopes.pair(index)
    }
}
