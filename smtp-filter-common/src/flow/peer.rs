//! What each side says about the other's bytes: acknowledgements and windows. Read and written without the lock.

use crate::{
    direction::Direction,
    entry::{Shared, first_of, pair_of, second, second_of},
    host::Host,
    stream::{acceptable, backlog, normalise},
    wire::{ACK, RST, Segment},
};

/// Records what a segment of direction `D` says about the other side's bytes, if it is believed; returns whether it is.
/// `position` is that of [`acceptable::position`].
///
/// Nothing is believed that may not come from the connection's own end. That includes a RST, which a receiver accepts
/// whatever it acknowledges. Mode `monitor` believes what a capture shows.
#[inline(always)]
pub fn believe<H: Host, D: Direction>(
    shared: &Shared,
    segment: &Segment,
    flags: u64,
    position: u8,
    enforces: bool,
) -> bool {
    let own = position == acceptable::WITHIN && acceptable::acknowledges::<H, D>(shared, segment) && !segment.has(RST);
    let believed = own || !enforces && !segment.has(RST);
    if segment.has(ACK) && believed {
        let moved = note::<H, D>(shared, segment);
        if !D::IS_CLIENT && (moved || segment.length > 0) {
            backlog::clear::<H>(shared);
        }
        normalise::note::<H, D>(shared, segment, flags);
    }
    believed
}

/// Records the acknowledgement and window of a segment of direction `D`. Both only move forward. If another CPU was
/// faster, its values are kept: they come from a segment of the same moment, and the next one makes up for it. Returns
/// whether more is acknowledged than before.
#[inline(always)]
fn note<H: Host, D: Direction>(shared: &Shared, segment: &Segment) -> bool {
    let shift = second(H::load(&shared.ways)) >> (D::INDEX * 8) & 15;
    let edge = segment.acknowledgement.plus((segment.window as u32) << shift);
    let word = &shared.peer[D::OTHER];
    let old = H::load(word);
    let new = pair_of(segment.acknowledgement.later(first_of(old)), edge.later(second_of(old)));
    if new != old {
        H::compare_exchange(word, old, new);
    }
    first_of(new) != first_of(old)
}
