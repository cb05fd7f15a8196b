//! How a segment of mail data lies among the out-of-order ranges.

use super::ranges::{NEAR, STATE, USED, barred, before, range};
use crate::{
    bounds::ENTRY_RANGES,
    done::{DONE, Done},
    host::{Host, Step},
    seq::Seq,
    stream::in_segment::{NO_RANGE, Neighbours, Position},
    work::Work,
};

/// Finds out how a segment lies among the ranges.
struct Search<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    start: Seq,
    end: Seq,
}

impl<H: Host> Step for Search<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let index = neighbour(work.stream.neighbours.in_pool, index);
        let (from, to, state) = range(host, &work.state.memory, index);
        let found = &mut work.stream.neighbours;
        if state & USED == 0 {
            found.free = if found.free == NO_RANGE && index < ENTRY_RANGES as u32 { index } else { found.free };
            return false;
        }
        if self.start == to {
            found.left = index;
            found.position = Position::AFTER;
            found.before = (state & STATE) as u32;
        } else if self.end == from {
            found.right = index;
            found.barred = barred(state);
        } else if self.end.is_after(from) && self.start.is_before(to) {
            let inside = !self.start.is_before(from) && !self.end.is_after(to);
            found.position = if inside { Position::INSIDE } else { Position::ACROSS };
            found.barred = if self.start == from { barred(state) } else { 0 };
            return true;
        }
        false
    }
}

/// Maps `0..NEAR` to the index of a range, where `in_pool` ranges of the pool end before the position.
#[inline(always)]
pub(super) const fn neighbour(in_pool: u32, index: u32) -> u32 {
    if index < ENTRY_RANGES as u32 { index } else { index.wrapping_add(in_pool) }
}

/// Finds out how `start..end` lies among the ranges. The result is in `stream.neighbours`.
#[inline(never)]
pub fn search<H: Host>(host: &mut H, work: &mut Work, start: Seq, end: Seq) -> Done {
    work.stream.neighbours = Neighbours { in_pool: before(host, work, start), ..Neighbours::NONE };
    H::run_steps(NEAR, &mut Search { host, work, start, end });
    DONE
}
