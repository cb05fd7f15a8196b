//! What each side says of the other's bytes: acknowledgements and windows. Read and written without the lock.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::ahead;
use crate::{entry::Shared, wire::Segment};

/// Takes note of the acknowledgement and window in a segment of direction `from`.
#[inline(always)]
pub fn note<const FROM: usize>(shared: &Shared, segment: &Segment) {
    let shift = shared.shifts.load(Relaxed) >> (FROM * 8) & 15;
    let edge = segment.acknowledgement.wrapping_add((segment.window as u32) << shift);
    advance(&shared.acknowledged[1 - FROM], segment.acknowledgement);
    advance(&shared.edge[1 - FROM], edge);
}

/// Moves a sequence number on, never back. Where another CPU was quicker its value stays: it is from a segment of the
/// same moment, and the next one brings what was missed.
#[inline(always)]
fn advance(place: &AtomicU32, value: u32) {
    let old = place.load(Relaxed);
    if ahead(value, old) > 0 {
        let _ = place.compare_exchange(old, value, Relaxed, Relaxed);
    }
}
