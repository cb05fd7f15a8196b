//! A segment of the client that was held back because there is no room for it is not read again until there may be some.
//! Otherwise a client could have one large segment read for ever that never goes on.
//!
//! The same holds for a segment with many lines that the policy or a guard blocked. Nothing makes room for that one, and a
//! client could send good bytes in between: so for a while nothing new of the client is read, wherever it begins. An honest client
//! does not notice: its next retransmission comes later.

use super::ahead;
use crate::{
    entry::{Shared, first, pair, second},
    host::Host,
    reason::Reason,
    work::Work,
};

/// After so long it is read again in any case, in units of 2^20 nanoseconds: below the shortest time after which Linux
/// sends a segment again that nobody acknowledged (TCP_RTO_MIN, 200 ms), which it may send cut smaller.
const LONG_ENOUGH: u32 = 96;

/// From so many lines on a segment that was blocked counts as expensive.
const MANY: u32 = 16;

/// Beside the time: it was blocked, rather than held back.
const BLOCKED: u32 = 1;
/// Beside the time: it is set. Without it there is nothing.
const SET: u32 = 2;

/// A time in those units, to within four of them.
#[inline(always)]
const fn coarse(time: u64) -> u32 {
    (time >> 20) as u32 & !(BLOCKED | SET)
}

/// Notes that the segment in hand was held back for want of room, or blocked after many lines had been read.
#[inline(always)]
pub fn note<H: Host>(shared: &Shared, work: &Work) {
    let reason = work.run.reason;
    let held = reason == Reason::Backlog.number() || reason == Reason::ManyLines.number();
    if held || work.run.commands >= MANY {
        let next = work.segment.sequence.wrapping_add(work.run.first);
        let since = coarse(work.event.time) | SET | if held { 0 } else { BLOCKED };
        H::store(&shared.held, pair(next, since));
    }
}

/// Whether the segment in hand brings again what was held back, and nothing has made room since; or comes soon after one that
/// was blocked.
#[inline(always)]
pub fn waits<H: Host>(shared: &Shared, work: &Work) -> bool {
    let held = H::load(&shared.held);
    let (next, since) = (first(held), second(held));
    let segment = &work.segment;
    let comes_again = ahead(segment.sequence, next) <= 0 || since & BLOCKED != 0;
    since & SET != 0
        && comes_again
        && ahead(segment.end(), next) > 0
        && coarse(work.event.time).wrapping_sub(coarse_of(since)) < LONG_ENOUGH
}

/// The time without what is beside it.
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
