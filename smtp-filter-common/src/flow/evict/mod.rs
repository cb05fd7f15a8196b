//! Eviction: which entry of a full table gives way to a newcomer, if any.
//!
//! Some entries are drawn at random. Entries that have ended go first, then clients that never spoke, then connections
//! without a segment for ten minutes, then those without an accepted HELO, then those with one; within each group the
//! one that was seen last the longest ago. A transaction or a TLS session normally gives way to no newcomer, and mail
//! data never does unless it has been silent for ten minutes. An address with more than its share of the table can only
//! evict its own entries. Others can evict its entries even in a transaction, as long as they themselves have little.

pub mod choose;
pub mod draw;
pub mod rank;
pub mod roster;
pub mod sample;

use self::{
    rank::{TIME, score},
    sample::{NOBODY, NOWHERE, SAMPLE},
};
use super::{
    Key,
    gone::{self, Gone},
    lock,
};
use crate::{
    entry::{CLOSED, RESET},
    event::Ended,
    host::Host,
    met::Met,
    report,
    seq::Seq,
    stream::slots,
    work::Work,
};

/// Makes room for the current connection. Returns the slot of the roster that became free, or [`NOWHERE`].
#[inline(always)]
pub fn evict<H: Host>(host: &mut H, work: &mut Work, met: Met) -> u32 {
    draw::draw(host, work, met.now);
    choose::choose::<H>(work);
    if work.sample.best == NOBODY {
        return NOWHERE;
    }
    let at = work.sample.best_at as usize & (SAMPLE - 1);
    let slot = work.sample.slot[at];
    if !host.roster(slot, &mut work.sample.key) {
        return NOWHERE;
    }
    let Some(entry) = roster::at(host, &work.sample.key, slot) else { return NOWHERE };
    let shared = host.shared(entry);
    // Without waiting: a connection whose lock is held is active, so it is not evicted.
    if !H::compare_exchange(&shared.lock, 0, 1) {
        return NOWHERE;
    }
    let (id, flags) = (H::load(&shared.id), H::load(&shared.flags));
    let same = score(flags, H::load(&shared.seen), met.now) >> TIME == work.sample.score[at] >> TIME;
    if !same || H::load(&shared.slot) as u32 != slot {
        lock::release::<H>(&shared.lock);
        return NOWHERE;
    }
    host.load_state(entry, &mut work.state);
    let shared = host.shared(entry);
    if flags & CLOSED == 0 {
        name(work, work.sample.key);
        report::close::<H>(shared, work, id, Ended::Evicted as u8);
        host.closed();
        host.emit(&work.event);
        name(work, work.key);
    }
    if flags & RESET != 0 {
        work.gone = Gone { ends: [Seq(0); 2], how: gone::RESET, reserved: 0 };
        host.bury(&work.sample.key, &work.gone);
    }
    slots::leave(host, work);
    host.remove(&work.sample.key);
    slot
}

/// Puts this connection's addresses and ports into the current event.
#[inline(always)]
fn name(work: &mut Work, key: Key) {
    let event = &mut work.event;
    event.client = key.client;
    event.server = key.server;
    event.client_port = key.client_port;
    event.server_port = key.server_port;
}
