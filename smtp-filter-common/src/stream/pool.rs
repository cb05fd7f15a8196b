//! The shared pool: slots of 8 KiB for what does not fit into a connection's entry. One slot is one connection's alone,
//! for one kind of use.
//!
//! A slot's owner stands in one word with the time of its last use, in units of some seconds. Who uses it sees to it that
//! the time is the present one, and nobody takes a slot that was used within minutes: so it stays its owner's for as long
//! as the use lasts. Both are one compare-exchange of the whole word, and a slot never serves two.

use core::sync::atomic::AtomicU64;

use crate::{
    bounds::POOL,
    entry::Shared,
    flow::{Key, evict},
    host::{Host, Step},
};

/// Kind of use: bytes of a direction, [`crate::event::CLIENT`] or [`crate::event::SERVER`] more.
pub const BYTES: u8 = 1;
/// Kind of use: out-of-order ranges and boundaries in mail data.
pub const PLACES: u8 = 3;
/// Kind of use: chunks in flight.
pub const CHUNKS: u8 = 4;

/// Slots that are looked at for a free one.
const PROBES: u32 = 16;
/// Lower bits of an owner's word: whose it is, a part of the connection's number and the kind of use. Above them: when.
const WHOSE: u64 = (1 << 32) - 1;
/// Bits between them: a hash of the client's address.
const ADDRESS: u64 = ((1 << 12) - 1) << 32;
/// A unit of time in nanoseconds, by its logarithm: 17 seconds.
const UNIT: u32 = 34;
/// Units after which another connection may take the slot: five minutes.
const IDLE: u64 = 18;
/// Times wrap; what is further back than this lies in the future: another CPU's clock.
const FUTURE: u64 = 1 << 19;
const TIMES: u64 = (1 << 20) - 1;

/// The owner's word of the found connection for a kind of use, at this time.
#[inline(always)]
fn word<H: Host>(shared: &Shared, kind: u8) -> u64 {
    let whose = (H::load(&shared.id) << 3 | kind as u64) & WHOSE;
    whose | (H::load(&shared.seen) >> UNIT) << 44
}

/// Whether a slot with this word is not in use, or was not for minutes.
#[inline(always)]
const fn idle(found: u64, word: u64) -> bool {
    let since = (word >> 44).wrapping_sub(found >> 44) & TIMES;
    found == 0 || since >= IDLE && since < FUTURE
}

/// What a look at some slots came to.
struct Probe<'a, H> {
    host: &'a H,
    word: u64,
    found: Found,
}

/// A slot to be taken, and what else was seen.
struct Found {
    /// Its number plus 1; 0: none.
    slot: u32,
    /// Slots that are free.
    free: u16,
    /// Slots of the same address.
    own: u16,
}

/// The slot that is looked at in this round. Numbers of connections are random.
#[inline(always)]
fn number<H: Host>(word: u64, index: u32) -> u32 {
    let number = ((word as u32) >> 3).wrapping_mul(0x9e37_79b1).wrapping_add(index * 61 + word as u32 * 7);
    H::opaque(number) & (POOL - 1)
}

impl<H: Host> Step for Probe<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let word = self.word;
        let number = number::<H>(word, index);
        let Some(owner) = self.host.owner(number) else { return true };
        let there = H::load(owner);
        let mine = there != 0 && there & WHOSE == word & WHOSE;
        if mine || idle(there, word) {
            self.found.slot = number + 1;
            self.found.free += 1;
        } else {
            self.found.own += (there & ADDRESS == word & ADDRESS) as u16;
        }
        mine
    }
}

/// Whether an address may have one more: one that has more than a quarter of the slots leaves a third to others.
#[inline(always)]
const fn may_take(found: &Found) -> bool {
    found.own as u32 * 4 <= PROBES || found.free as u32 * 3 > PROBES
}

/// Takes a slot for the found connection, that of `key`, whose lock is held: its number plus 1, or 0 where none is free. Bytes
/// of its last use are still in it.
#[inline(never)]
pub fn take<H: Host>(host: &mut H, key: &Key, kind: u8) -> u32 {
    let Some(shared) = host.shared() else { return 0 };
    // The golden ratio's fractional part.
    let address = evict::owner(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
    let word = word::<H>(shared, kind) | address << 32;
    let mut probe = Probe { host: &*host, word, found: Found { slot: 0, free: 0, own: 0 } };
    H::repeat(PROBES, &mut probe);
    let found = probe.found;
    if found.slot == 0 || !may_take(&found) {
        return 0;
    }
    let Some(owner) = host.owner(found.slot - 1) else { return 0 };
    let there = H::load(owner);
    let free = there & WHOSE == word & WHOSE || idle(there, word);
    // Another CPU may have been quicker: then the segment waits.
    if free && H::compare_exchange(owner, there, word) { found.slot } else { 0 }
}

/// Exchanges the owner's word where it is the found connection's.
#[inline(always)]
fn exchange<H: Host>(owner: &AtomicU64, word: u64, new: u64) -> bool {
    let found = H::load(owner);
    // The address stays.
    let new = if new == 0 { 0 } else { new | found & ADDRESS };
    found & WHOSE == word & WHOSE && (found == new || H::compare_exchange(owner, found, new))
}

/// Whether the slot (its number plus 1) is still the found connection's, whose lock is held; then it stays so for minutes.
#[inline(always)]
pub fn holds<H: Host>(host: &H, slot: u32, kind: u8) -> bool {
    let Some(shared) = host.shared() else { return false };
    let Some(owner) = host.owner(slot.wrapping_sub(1)) else { return false };
    let word = word::<H>(shared, kind);
    exchange::<H>(owner, word, word)
}

/// Gives a slot back, if it is the found connection's.
#[inline(always)]
pub fn release<H: Host>(host: &H, slot: u32, kind: u8) {
    let Some(shared) = host.shared() else { return };
    let Some(owner) = host.owner(slot.wrapping_sub(1)) else { return };
    exchange::<H>(owner, word::<H>(shared, kind), 0);
}

/// The connection seems to be over: others may have its slots, and until one does they are its own.
#[inline(always)]
pub fn leave<H: Host>(host: &H, slot: u32, kind: u8) {
    let Some(shared) = host.shared() else { return };
    let Some(owner) = host.owner(slot.wrapping_sub(1)) else { return };
    let word = word::<H>(shared, kind);
    let long_ago = (word >> 44).wrapping_sub(IDLE) & TIMES;
    exchange::<H>(owner, word, word & WHOSE | long_ago << 44);
}
