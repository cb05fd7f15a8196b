//! Whether a receiver accepts a segment at all, by its sequence number (RFC 9293 section 3.10.7.4). Nothing in a
//! segment that it does not accept is believed. Computed without the lock, from the acknowledgements and windows of
//! both sides.

use crate::{
    direction::Direction,
    entry::{Shared, first_of, second_of},
    host::Host,
    seq::Seq,
    wire::{ACK, Segment},
};

/// It ends before the acknowledged position, so the receiver ignores it: a keep-alive, or a retransmission whose
/// acknowledgement was lost.
pub const BEFORE: u8 = 0;
/// The receiver accepts it.
pub const WITHIN: u8 = 1;
/// It begins after the window.
pub const BEYOND: u8 = 2;

/// Where a segment of direction `D` lies. A window that shrinks again is ignored: the sender may not know of it.
#[inline(always)]
pub fn position<H: Host, D: Direction>(shared: &Shared, segment: &Segment) -> u8 {
    let peer = H::load(&shared.peer[D::INDEX]);
    // A FIN takes one sequence number and needs no window.
    if segment.sequence.ahead_of(second_of(peer)) > 1 {
        BEYOND
    } else if segment.end().is_before(first_of(peer)) {
        BEFORE
    } else {
        WITHIN
    }
}

/// Whether a segment of direction `D` acknowledges something that the other side can have sent, and is not too old
/// (RFC 5961 section 5.2).
#[inline(always)]
pub fn acknowledges<H: Host, D: Direction>(shared: &Shared, segment: &Segment) -> bool {
    const LONG_AGO: i32 = 1 << 16;
    let peer = H::load(&shared.peer[D::OTHER]);
    segment.has(ACK)
        && segment.acknowledgement.ahead_of(second_of(peer)) <= 1
        && segment.acknowledgement.ahead_of(first_of(peer)) >= -LONG_AGO
}

/// Whether a segment reaches beyond the receiver's window. One byte exactly at the end of the window is a probe of a
/// closed window (RFC 9293 section 3.8.6.1). A longer segment is refused even if only its last byte is beyond: the
/// receiver might keep only part of it.
#[inline(always)]
pub fn beyond(segment: &Segment, edge: Seq) -> bool {
    segment.end().is_after(edge) && !(segment.length == 1 && segment.sequence == edge)
}
