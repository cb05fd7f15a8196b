//! What tests and replays look at and change in a [`World`].

use core::sync::atomic::Ordering;

use super::World;
use crate::{
    action::Action,
    entry::Connection,
    flow::{HalfOpen, Key, gone::Gone},
    reason::{Counter, counter},
    work::Work,
};

impl World {
    /// The last frame from its network header on, if it was rewritten.
    pub fn rewritten(&self) -> Option<&[u8]> {
        self.rewritten.as_deref()
    }

    /// The last judgement: the facts of the segment and the state of its connection, from which a RST is made.
    pub const fn last(&self) -> &Work {
        &self.work
    }

    /// The counter of a reason and an action, enforced or not.
    pub fn counter(&self, reason: u16, action: Action, enforced: bool) -> Counter {
        self.counters.get(counter(reason, action as u8, enforced) as usize).copied().unwrap_or_default()
    }

    /// Everything that was counted for a reason.
    pub fn counted(&self, reason: u16) -> Counter {
        let mut sum = Counter::default();
        for action in Action::ALL {
            for enforced in [false, true] {
                let one = self.counter(reason, action, enforced);
                sum.segments += one.segments;
                sum.bytes += one.bytes;
            }
        }
        sum
    }

    /// A live connection.
    pub fn connection(&self, key: &Key) -> Option<&Connection> {
        self.live.get(key).and_then(|at| self.connections.get(*at))
    }

    /// Connections that have left the table, in that order, as they were then.
    pub fn left(&self) -> impl Iterator<Item = (&Key, &Connection)> {
        self.vacant.iter().filter_map(|(key, at)| Some((key, self.connections.get(*at)?)))
    }

    /// Sets the owner's word of all slots of the shared pool: 0 means free.
    pub fn fill_pool(&mut self, owner: u64) {
        for place in &self.owners {
            place.store(owner, Ordering::Relaxed);
        }
    }

    /// A live connection, for a test that begins in the middle of one.
    pub fn connection_mut(&mut self, key: &Key) -> Option<&mut Connection> {
        self.live.get(key).copied().and_then(|at| self.connections.get_mut(at))
    }

    /// Forgets all connections and events, but not which connections began. Counters are kept.
    pub fn forget(&mut self) {
        self.events.clear();
        self.live.clear();
        self.connections.clear();
        self.vacant.clear();
        self.gone.clear();
        self.half.clear();
        self.fill_pool(0);
        self.wide.clear();
        self.lists.clear();
    }

    /// Live connections.
    pub fn connections(&self) -> impl Iterator<Item = (&Key, &Connection)> {
        self.live.iter().filter_map(|(key, at)| Some((key, self.connections.get(*at)?)))
    }

    /// Whether a live connection is in its slot of the roster.
    pub fn is_enrolled(&self, key: &Key) -> bool {
        let slot = self.connection(key).map(|connection| connection.shared.slot.load(Ordering::Relaxed));
        slot.and_then(|slot| self.roster.get(slot as usize)) == Some(key)
    }

    /// What is remembered of a connection that has left the live table.
    pub fn gone(&self, key: &Key) -> Option<&Gone> {
        self.gone.get(key)
    }

    /// Forgets the half-open connections, as if their table had been reused.
    pub fn forget_half_open(&mut self) {
        self.half.clear();
    }

    /// A connection before it is live.
    pub fn half_open(&self, key: &Key) -> Option<&HalfOpen> {
        self.half.get(key)
    }
}
