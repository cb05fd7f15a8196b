//! Eviction: which entry of a full table gives way to a newcomer, if any.
//!
//! Some entries are drawn at random. Entries that have ended go first, then clients that never spoke, then connections
//! without a segment for ten minutes, then those without an accepted HELO, then those with one; within each group the
//! one that was seen last the longest ago. A transaction or a TLS session normally gives way to no newcomer, and mail
//! data never does unless it has been silent for ten minutes. An address with more than its share of the table can only
//! evict its own entries. Others can evict its entries even in a transaction, as long as they themselves have little.

use super::{Key, gone, gone::Gone};
use crate::{
    datapath::Met,
    entry::{CLOSED, DEAD, FINISHED, HELLO, MAIL_DATA, REPLACED, RESET, SPOKE, TLS, TRANSACTION},
    event::Ended,
    host::{Host, Step},
    report,
    seq::Seq,
    stream::slots,
    work::Work,
};

/// Entries that are drawn. A power of two.
pub const SAMPLE: usize = 64;
/// Attempts to find a free slot of the roster.
const TRIES: u32 = 32;
/// A connection that has been silent for so long has been given up, whatever its phase (RFC 5321 section 4.5.3.2: ten
/// minutes at most).
const LONG: u64 = 600 * 1_000_000_000;
/// No slot of the roster.
pub const NOWHERE: u32 = u32::MAX;
/// The score of no entry.
const NOBODY: u64 = u64::MAX;

/// Rank: it has ended.
const OVER: u64 = 0;
/// Rank: the client has said nothing.
const SILENT: u64 = 1;
/// Rank: silent for [`LONG`].
const IDLE: u64 = 2;
/// Rank: the client has spoken, and the server has accepted no HELO.
const SPEAKING: u64 = 3;
/// Rank: the server has accepted HELO or EHLO.
const GREETED: u64 = 4;
/// Rank: in a transaction, or in TLS, where it cannot be known.
const BUSY: u64 = 5;
/// Rank: in mail data.
const SENDING: u64 = 6;
/// Bits of the time in a score; the rank is above them.
const TIME: u32 = 60;

/// The sample that was drawn.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The [`owner`] of each entry; 0: none was drawn.
    pub owner: [u64; SAMPLE],
    /// Rank and time: the lowest score goes first.
    pub score: [u64; SAMPLE],
    /// Slot in the roster.
    pub slot: [u32; SAMPLE],
    /// The key being looked at.
    pub key: Key,
    /// A slot of the roster that is free.
    pub free: u32,
    /// The lowest score so far.
    pub best: u64,
    /// Its index.
    pub best_at: u32,
    /// Entries drawn.
    pub all: u32,
    /// Those of the newcomer's address.
    pub own: u32,
    /// Those of the address being looked at.
    pub count: u32,
}

impl Sample {
    /// Nothing drawn.
    pub const EMPTY: Self = Self {
        owner: [0; SAMPLE],
        score: [0; SAMPLE],
        slot: [0; SAMPLE],
        key: Key { client: [0; 16], server: [0; 16], client_port: [0; 2], server_port: [0; 2] },
        free: NOWHERE,
        best: NOBODY,
        best_at: 0,
        all: 0,
        own: 0,
        count: 0,
    };
}

/// Whose share a connection counts towards: the client's IPv4 address, or the /64 of an IPv6 address.
#[inline(always)]
pub fn owner(key: &Key) -> u64 {
    let address = u128::from_be_bytes(key.client);
    let prefix = (address >> 64) as u64;
    if prefix == 0 { address as u64 } else { prefix }
}

/// How soon an entry gives way: the lowest score first.
#[inline(always)]
fn score(flags: u64, seen: u64, now: u64) -> u64 {
    // In TLS a FIN may be forged.
    let finished = flags & (FINISHED | TLS);
    let rank = if flags & (RESET | DEAD | REPLACED) != 0 || finished == FINISHED {
        OVER
    } else if flags & SPOKE == 0 {
        SILENT
    } else if now.saturating_sub(seen) > LONG || finished == FINISHED | TLS {
        IDLE
    } else if flags & MAIL_DATA != 0 {
        SENDING
    } else if flags & (TRANSACTION | TLS) != 0 {
        BUSY
    } else if flags & HELLO != 0 {
        GREETED
    } else {
        SPEAKING
    };
    rank << TIME | seen & ((1 << TIME) - 1)
}

/// A random slot of the roster.
#[inline(always)]
fn draw<H: Host>(host: &mut H) -> u32 {
    ((host.draw() as u64 * host.slots() as u64) >> 32) as u32
}

/// Finds a slot of the roster that no live connection has.
struct Free<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Free<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let (host, sample) = (&mut *self.host, &mut self.work.sample);
        let slot = draw(host);
        if !host.roster(slot, &mut sample.key) {
            return false;
        }
        if is_at(host, &sample.key, slot) {
            return false;
        }
        sample.free = slot;
        true
    }
}

/// Finds a connection; whether it exists and has this slot of the roster.
#[inline(always)]
fn is_at<H: Host>(host: &mut H, key: &Key, slot: u32) -> bool {
    // An unused slot: no connection comes from port 0.
    if key.client_port == [0; 2] || !host.find(key) {
        return false;
    }
    host.shared().is_some_and(|shared| H::load(&shared.slot) as u32 == slot)
}

/// A free slot of the roster; [`NOWHERE`] if none was found.
#[inline(always)]
pub fn free_slot<H: Host>(host: &mut H, work: &mut Work) -> u32 {
    work.sample.free = NOWHERE;
    H::run_steps(TRIES, &mut Free { host, work });
    work.sample.free
}

/// Draws entries.
struct Draw<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    now: u64,
}

impl<H: Host> Step for Draw<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, sample) = (&mut *self.host, &mut self.work.sample);
        let at = index as usize & (SAMPLE - 1);
        let slot = draw(host);
        sample.owner[at] = 0;
        sample.score[at] = NOBODY;
        sample.slot[at] = slot;
        if !host.roster(slot, &mut sample.key) || !is_at(host, &sample.key, slot) {
            return false;
        }
        let Some(shared) = host.shared() else { return false };
        // An entry that is still being made has no number.
        if H::load(&shared.id) == 0 {
            return false;
        }
        sample.owner[at] = owner(&sample.key);
        sample.score[at] = score(H::load(&shared.flags), H::load(&shared.seen), self.now);
        sample.all += 1;
        sample.own += (sample.owner[at] == owner(&self.work.key)) as u32;
        false
    }
}

/// Counts the entries of one address.
struct Count<'a> {
    sample: &'a mut Sample,
    owner: u64,
}

impl Step for Count<'_> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        if self.sample.owner[index as usize & (SAMPLE - 1)] == self.owner {
            self.sample.count += 1;
        }
        false
    }
}

/// Looks for the entry that goes first.
struct Choose<'a, H> {
    work: &'a mut Work,
    /// `false` in the first pass: the shares of other addresses do not matter while some entry has ended, is silent or
    /// idle.
    shares: bool,
    host: core::marker::PhantomData<H>,
}

impl<H: Host> Step for Choose<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let newcomer = owner(&self.work.key);
        let sample = &mut self.work.sample;
        let at = index as usize & (SAMPLE - 1);
        let (owner, score) = (sample.owner[at], sample.score[at]);
        let rank = score >> TIME;
        if owner == 0 || rank >= SENDING || (rank > IDLE) != self.shares {
            return false;
        }
        let own = owner == newcomer;
        if !own && has_share(sample.own, sample.all) {
            return false;
        }
        let mut score = score;
        if self.shares {
            sample.count = 0;
            H::run_steps(SAMPLE as u32, &mut Count { sample, owner });
            let over = !own && has_share(sample.count, sample.all);
            if rank == BUSY {
                if !over || !has_little(sample.own, sample.all) {
                    return false;
                }
                score -= 1 << TIME;
            }
            if over && rank < BUSY {
                score = score & ((1 << TIME) - 1) | IDLE << TIME;
            }
        }
        if score < sample.best {
            sample.best = score;
            sample.best_at = index;
        }
        false
    }
}

/// Whether an address has more than its share of the table: a quarter.
#[inline(always)]
const fn has_share(count: u32, all: u32) -> bool {
    count * 4 > all
}

/// Whether an address has so little (at most a sixteenth) that it may evict a transaction of one that has too much.
#[inline(always)]
const fn has_little(count: u32, all: u32) -> bool {
    count * 16 <= all
}

/// Makes room for the current connection. Returns the slot of the roster that became free, or [`NOWHERE`].
#[inline(always)]
pub fn evict<H: Host>(host: &mut H, work: &mut Work, met: Met) -> u32 {
    work.sample.all = 0;
    work.sample.own = 0;
    work.sample.best = NOBODY;
    H::run_steps(SAMPLE as u32, &mut Draw { host, work, now: met.now });
    H::run_steps(SAMPLE as u32, &mut Choose::<H> { work, shares: false, host: core::marker::PhantomData });
    if work.sample.best == NOBODY {
        H::run_steps(SAMPLE as u32, &mut Choose::<H> { work, shares: true, host: core::marker::PhantomData });
    }
    if work.sample.best == NOBODY {
        return NOWHERE;
    }
    let at = work.sample.best_at as usize & (SAMPLE - 1);
    let slot = work.sample.slot[at];
    if !host.roster(slot, &mut work.sample.key) || !is_at(host, &work.sample.key, slot) {
        return NOWHERE;
    }
    let Some(shared) = host.shared() else { return NOWHERE };
    // Without waiting: a connection whose lock is held is active, so it is not evicted.
    if !H::compare_exchange(&shared.lock, 0, 1) {
        return NOWHERE;
    }
    let (id, flags) = (H::load(&shared.id), H::load(&shared.flags));
    let same = score(flags, H::load(&shared.seen), met.now) >> TIME == work.sample.score[at] >> TIME;
    if !same || H::load(&shared.slot) as u32 != slot || !host.load_state(&mut work.state) {
        if let Some(shared) = host.shared() {
            crate::flow::lock::release::<H>(&shared.lock);
        }
        return NOWHERE;
    }
    let Some(shared) = host.shared() else { return NOWHERE };
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
