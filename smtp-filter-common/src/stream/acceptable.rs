//! Whether a receiver takes a segment at all, by its sequence number (RFC 9293 section 3.10.7.4): of one that it does not
//! take, nothing is believed. By what both sides have said of each other's bytes, without the lock.

use super::ahead;
use crate::{
    entry::{Shared, first, second},
    host::Host,
    wire::{ACK, Segment},
};

/// All of it is acknowledged: the receiver passes over it. A keep-alive, or a retransmission whose acknowledgement was lost.
pub const BEFORE: u8 = 0;
/// The receiver takes it.
pub const WITHIN: u8 = 1;
/// It begins after the window.
pub const BEYOND: u8 = 2;

/// Where a segment of direction `FROM` lies. What shrinks a window again counts for nothing: its sender may not know of it.
#[inline(always)]
pub fn place<H: Host, const FROM: usize>(shared: &Shared, segment: &Segment) -> u8 {
    let peer = H::load(&shared.peer[FROM]);
    // A FIN takes a sequence number, and needs no window.
    if ahead(segment.sequence, second(peer)) > 1 {
        BEYOND
    } else if ahead(segment.end(), first(peer)) < 0 {
        BEFORE
    } else {
        WITHIN
    }
}

/// Whether a segment of direction `FROM` acknowledges what the other side can have sent, and not long ago (RFC 5961
/// section 5.2).
#[inline(always)]
pub fn acknowledges<H: Host, const FROM: usize>(shared: &Shared, segment: &Segment) -> bool {
    const LONG_AGO: i32 = 1 << 16;
    let peer = H::load(&shared.peer[1 - FROM]);
    segment.has(ACK)
        && ahead(segment.acknowledgement, second(peer)) <= 1
        && ahead(segment.acknowledgement, first(peer)) >= -LONG_AGO
}
