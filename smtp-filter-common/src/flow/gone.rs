//! Connections that have left the live table, as far as they are remembered for late segments.

use crate::{
    host::Host,
    reason::Reason,
    seq::Seq,
    wire::{FIN, RST},
    work::{Found, Work},
};

/// `Gone::how`: both sides have closed, and each has acknowledged the other's FIN.
pub const CLOSED: u32 = 1;
/// `Gone::how`: reset by the filter, and then evicted.
pub const RESET: u32 = 2;

/// How far before the FIN a late segment may end. Within this distance it counts as a retransmission, otherwise as part
/// of another connection with the same ports.
const LONG_AGO: u32 = 1 << 24;

/// A connection that has left the live table. 16 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Sequence numbers after the FINs, by direction.
    pub ends: [Seq; 2],
    /// [`CLOSED`] or [`RESET`].
    pub how: u32,
    /// Zero.
    pub reserved: u32,
}

/// The result for a late segment; `None` if nothing is remembered of its connection.
#[inline(always)]
pub fn late<H: Host>(host: &mut H, work: &mut Work, from: u8) -> Option<Found> {
    if !host.gone(&work.key, &mut work.gone) {
        return None;
    }
    let Work { segment, gone, .. } = &*work;
    if segment.has(RST) {
        // It carries nothing, and answers a late segment.
        return Some(Found::passes(Reason::Closing));
    }
    if gone.how == RESET {
        return Some(Found::held_back(Reason::AfterReset));
    }
    let end = segment.end().plus((segment.flags & FIN) as u32);
    let known = gone.ends[from as usize & 1];
    Some(if known.since(end) < LONG_AGO {
        Found::passes(Reason::Late)
    } else {
        Found::guarded(Reason::UnknownConnection)
    })
}

const _: () = assert!(FIN == 1 && size_of::<Gone>() == 16);
