//! The shared pool: slots of 8 KiB for what does not fit into a connection's entry. A slot belongs to one connection,
//! for one kind of use.
//!
//! One word holds a slot's owner and the time of its last use, in units of 17 seconds. Each use refreshes the time, and
//! a slot that was used within the last minutes is never taken away. So it stays with its owner as long as it is in
//! use. Taking and refreshing are each one compare-exchange of the whole word, so a slot never has two owners.

use core::sync::atomic::AtomicU64;

use crate::{
    bounds::POOL,
    entry::Shared,
    flow::{Key, owner::owner},
    host::{Host, Step},
};

/// Kind of use: bytes of a direction; [`crate::event::CLIENT`] or [`crate::event::SERVER`] is added.
pub const BYTES: u8 = 1;
/// Kind of use: out-of-order ranges and boundaries in mail data.
pub const LISTS: u8 = 3;
/// Kind of use: chunks in flight.
pub const CHUNKS: u8 = 4;

/// Slots that are tried when a free one is looked for.
const PROBES: u32 = 16;
/// Lower bits of an owner's word: the owner, that is, part of the connection's number and the kind of use. The time is
/// in the upper bits.
const WHOSE: u64 = (1 << 32) - 1;
/// Bits between them: a hash of the client's address.
const ADDRESS: u64 = ((1 << 12) - 1) << 32;
/// Unit of time, as a power of two in nanoseconds: 17 seconds.
const UNIT: u32 = 34;
/// Units after which another connection may take the slot: five minutes.
const IDLE: u64 = 18;
/// Times wrap. A time that is further back than this lies in the future: it came from another CPU's clock.
const FUTURE: u64 = 1 << 19;
const TIMES: u64 = (1 << 20) - 1;

/// The owner's word for the found connection and a kind of use, at the present time.
#[inline(always)]
fn word<H: Host>(shared: &Shared, kind: u8) -> u64 {
    let whose = (H::load(&shared.id) << 3 | kind as u64) & WHOSE;
    whose | (H::load(&shared.seen) >> UNIT) << 44
}

/// Whether a slot with this word is free, or has not been used for minutes.
#[inline(always)]
const fn idle(found: u64, word: u64) -> bool {
    let since = (word >> 44).wrapping_sub(found >> 44) & TIMES;
    found == 0 || since >= IDLE && since < FUTURE
}

/// The search for a slot.
struct Probe<'a, H> {
    host: &'a H,
    word: u64,
    found: Found,
}

/// A slot to be taken, and what else was seen on the way.
struct Found {
    /// Its number plus 1; 0: none.
    slot: u32,
    /// Slots that are free.
    free: u16,
    /// Slots of the same address.
    own: u16,
}

/// The slot to be tried in this round. Connection numbers are random, so this spreads.
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

/// Whether an address may have one more slot. If it has more than a quarter of the tried ones, a third has to be free.
#[inline(always)]
const fn may_take(found: &Found) -> bool {
    found.own as u32 * 4 <= PROBES || found.free as u32 * 3 > PROBES
}

/// Takes a slot for the found connection, whose key is `key` and whose lock is held. Returns its number plus 1, or 0 if
/// none is free. The slot still contains the bytes of its last use.
#[inline(never)]
pub fn take<H: Host>(host: &mut H, key: &Key, kind: u8) -> u32 {
    let Some(entry) = host.found() else { return 0 };
    let shared = host.shared(entry);
    // The golden ratio's fractional part.
    let address = owner(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
    let word = word::<H>(shared, kind) | address << 32;
    let mut probe = Probe { host: &*host, word, found: Found { slot: 0, free: 0, own: 0 } };
    H::run_steps(PROBES, &mut probe);
    let found = probe.found;
    if found.slot == 0 || !may_take(&found) {
        return 0;
    }
    let Some(owner) = host.owner(found.slot - 1) else { return 0 };
    let there = H::load(owner);
    let free = there & WHOSE == word & WHOSE || idle(there, word);
    // If another CPU was faster, the segment waits.
    if free && H::compare_exchange(owner, there, word) { found.slot } else { 0 }
}

/// Exchanges the owner's word if it is the found connection's.
#[inline(always)]
fn exchange<H: Host>(owner: &AtomicU64, word: u64, new: u64) -> bool {
    let found = H::load(owner);
    // The address is kept.
    let new = if new == 0 { 0 } else { new | found & ADDRESS };
    found & WHOSE == word & WHOSE && (found == new || H::compare_exchange(owner, found, new))
}

/// Whether the slot (its number plus 1) still belongs to the found connection, whose lock is held. If so, it is kept
/// for minutes.
#[inline(always)]
pub fn holds<H: Host>(host: &H, slot: u32, kind: u8) -> bool {
    let Some(entry) = host.found() else { return false };
    let shared = host.shared(entry);
    let Some(owner) = host.owner(slot.wrapping_sub(1)) else { return false };
    let word = word::<H>(shared, kind);
    exchange::<H>(owner, word, word)
}

/// Releases a slot, if it belongs to the found connection.
#[inline(always)]
pub fn release<H: Host>(host: &H, slot: u32, kind: u8) {
    let Some(entry) = host.found() else { return };
    let shared = host.shared(entry);
    let Some(owner) = host.owner(slot.wrapping_sub(1)) else { return };
    exchange::<H>(owner, word::<H>(shared, kind), 0);
}

/// The connection seems to have ended: others may take its slots, and until they do they remain its own.
#[inline(always)]
pub fn leave<H: Host>(host: &H, slot: u32, kind: u8) {
    let Some(entry) = host.found() else { return };
    let shared = host.shared(entry);
    let Some(owner) = host.owner(slot.wrapping_sub(1)) else { return };
    let word = word::<H>(shared, kind);
    let long_ago = (word >> 44).wrapping_sub(IDLE) & TIMES;
    exchange::<H>(owner, word, word & WHOSE | long_ago << 44);
}
