//! Connections that have left the live table: what is remembered of them for segments that come late.

use crate::{
    host::Host,
    reason::Reason,
    wire::{FIN, RST},
    work::{Found, Work},
};

/// `Gone::how`: both sides have closed, and each has acknowledged the other's FIN.
pub const CLOSED: u32 = 1;
/// `Gone::how`: reset by the filter, and given way to a newcomer.
pub const RESET: u32 = 2;

/// Bytes before the FIN that may come late: a segment of the last window is taken for a retransmission, any other for one of
/// another connection of the same ports.
const LONG_AGO: u32 = 1 << 24;

/// A connection that has left the live table. 16 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Sequence numbers after the FINs, by direction.
    pub ends: [u32; 2],
    /// [`CLOSED`] or [`RESET`].
    pub how: u32,
    /// Zero.
    pub reserved: u32,
}

/// What becomes of a segment that comes late; `None` where nothing is remembered of its connection.
#[inline(always)]
pub fn late<H: Host>(host: &mut H, work: &mut Work, from: u8) -> Option<Found> {
    if !host.gone(&work.key, &mut work.gone) {
        return None;
    }
    let Work { segment, gone, .. } = &*work;
    if segment.has(RST) {
        // It carries nothing, and answers what came late.
        return Some(Found::passes(Reason::Closing));
    }
    if gone.how == RESET {
        return Some(Found::held_back(Reason::AfterReset));
    }
    let end = segment.end().wrapping_add((segment.flags & FIN) as u32);
    let known = gone.ends[from as usize & 1];
    Some(if known.wrapping_sub(end) < LONG_AGO {
        Found::passes(Reason::Late)
    } else {
        Found::guarded(Reason::UnknownConnection)
    })
}

const _: () = assert!(FIN == 1 && size_of::<Gone>() == 16);
