//! A client's segment that was held back for lack of room is not read again until there may be room. Otherwise a client
//! could make the filter read one large segment again and again without it ever passing.
//!
//! The same applies to a segment with many lines that the policy or a guard blocked. Nothing makes room for that one,
//! and a client could send good bytes in between: so for a while no new bytes of the client are read, wherever the
//! segment begins. An honest client does not notice: its next retransmission comes later.

use crate::{
    entry::{Shared, first_of, pair, second},
    host::Host,
    reason::Reason,
    work::Work,
};

/// After so long the segment is read again in any case, in units of 2^20 nanoseconds. Linux waits at least 200 ms
/// (TCP_RTO_MIN) before it retransmits, perhaps in smaller segments; this is less.
const LONG_ENOUGH: u32 = 96;

/// A blocked segment with at least so many lines counts as expensive.
const MANY: u32 = 16;

/// Flag in the low bits of the time: the segment was blocked, not held back.
const BLOCKED: u32 = 1;
/// Flag in the low bits of the time: there is a note. Without it the word means nothing.
const SET: u32 = 2;

/// A time in those units, without the two low bits.
#[inline(always)]
const fn coarse(time: u64) -> u32 {
    (time >> 20) as u32 & !(BLOCKED | SET)
}

/// Notes that the current segment was held back for lack of room, or blocked after many lines had been read.
#[inline(always)]
pub fn note<H: Host>(shared: &Shared, work: &Work) {
    let reason = work.block.reason;
    let held = reason == Reason::Backlog.number() || reason == Reason::ManyLines.number();
    if held || work.tally.commands >= MANY && !Reason::is_forced(reason) {
        let next = work.segment.sequence_at(work.reading.first);
        let since = coarse(work.event.time) | SET | if held { 0 } else { BLOCKED };
        H::store(&shared.held, pair(next.0, since));
    }
}

/// Whether the current segment has to wait: it retransmits what was held back and nothing has made room since, or it
/// comes soon after one that was blocked.
#[inline(always)]
pub fn waits<H: Host>(shared: &Shared, work: &Work) -> bool {
    let held = H::load(&shared.held);
    let (next, since) = (first_of(held), second(held));
    let segment = &work.segment;
    let comes_again = !segment.sequence.is_after(next) || since & BLOCKED != 0;
    since & SET != 0
        && comes_again
        && segment.end().is_after(next)
        && coarse(work.event.time).wrapping_sub(coarse_of(since)) < LONG_ENOUGH
}

/// The time without its flags.
#[inline(always)]
const fn coarse_of(since: u32) -> u32 {
    since & !(BLOCKED | SET)
}

/// The server has acknowledged more, or replied: there may be room for what was held back.
#[inline(always)]
pub fn clear<H: Host>(shared: &Shared) {
    if second(H::load(&shared.held)) & BLOCKED == 0 {
        H::store(&shared.held, 0);
    }
}
