//! A segment of the client's that was held back because there is no room for it is not read again until there may be some:
//! else a client could have one large segment read for ever that never goes on.

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

/// A time in those units; never 0.
#[inline(always)]
const fn coarse(time: u64) -> u32 {
    (time >> 20) as u32 | 1
}

/// Notes that the segment in hand was held back, if it was for want of room.
#[inline(always)]
pub fn note<H: Host>(shared: &Shared, work: &Work) {
    let reason = work.run.reason;
    if reason == Reason::Backlog.number() || reason == Reason::ManyLines.number() {
        let next = work.segment.sequence.wrapping_add(work.run.first);
        H::store(&shared.held, pair(next, coarse(work.event.time)));
    }
}

/// Whether the segment in hand brings again what was held back, and nothing has made room since.
#[inline(always)]
pub fn waits<H: Host>(shared: &Shared, work: &Work) -> bool {
    let held = H::load(&shared.held);
    let (next, since) = (first(held), second(held));
    let segment = &work.segment;
    since != 0
        && ahead(segment.sequence, next) <= 0
        && ahead(segment.end(), next) > 0
        && coarse(work.event.time).wrapping_sub(since) < LONG_ENOUGH
}

/// The server has acknowledged more, or replied: there may be room.
#[inline(always)]
pub fn clear<H: Host>(shared: &Shared) {
    H::store(&shared.held, 0);
}
