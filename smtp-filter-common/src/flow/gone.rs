//! Connections that have left the live table, as far as they are remembered for late segments.

use crate::seq::Seq;

/// `Gone::how`: both sides have closed, and each has acknowledged the other's FIN.
pub const CLOSED: u32 = 1;
/// `Gone::how`: reset by the filter, and then evicted.
pub const RESET: u32 = 2;

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

const _: () = assert!(size_of::<Gone>() == 16);
