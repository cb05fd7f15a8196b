//! What each side says about the other's bytes: acknowledgements and windows. Read and written without the lock.

use crate::{
    direction::Direction,
    entry::{Shared, first_of, pair_of, second, second_of},
    host::Host,
    wire::Segment,
};

/// Records the acknowledgement and window of a segment of direction `D`. Both only move forward. If another CPU was
/// faster, its values are kept: they come from a segment of the same moment, and the next one makes up for it. Returns
/// whether more is acknowledged than before.
#[inline(always)]
pub fn note<H: Host, D: Direction>(shared: &Shared, segment: &Segment) -> bool {
    let shift = second(H::load(&shared.ways)) >> (D::INDEX * 8) & 15;
    let edge = segment.acknowledgement.plus((segment.window as u32) << shift);
    let place = &shared.peer[D::OTHER];
    let old = H::load(place);
    let new = pair_of(segment.acknowledgement.later(first_of(old)), edge.later(second_of(old)));
    if new != old {
        H::compare_exchange(place, old, new);
    }
    first_of(new) != first_of(old)
}
