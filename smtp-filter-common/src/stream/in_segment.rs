//! How the current segment lies in its stream.

use crate::seq::Seq;

use super::{boundaries, out_of_order, sorted};

/// [`InStream::differs`]: the first copy is no longer known, or the segment's bytes could not be fetched.
pub const FORGOTTEN: u32 = 1 << 16;
/// [`InStream::differs`]: bytes of a chunk that were still missing when the server refused it.
pub const REFUSED: u32 = 1 << 17;
/// [`InStream::differs`]: the kernel could not fetch the segment's bytes.
pub const UNFETCHED: u32 = 1 << 18;

/// How the current segment lies in its stream.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct InStream {
    /// What the receiver has acknowledged.
    pub acknowledged: Seq,
    /// Sequence number where reading continues: the bytes before it have passed.
    pub next: Seq,
    /// Not 0: bytes differ from the first copy; or [`FORGOTTEN`] and the like.
    pub differs: u32,
    /// Offset in the payload of the first byte that a window keeps.
    pub windowed: u32,
    /// Result of the search among the out-of-order ranges.
    pub ranges: out_of_order::Found,
    /// Which boundaries and ranges are looked at.
    pub listed: boundaries::Listed,
    /// What is to be sorted into a list of the pool.
    pub sorting: sorted::Sorting,
    /// 1: mode `monitor` let something of the connection pass unread.
    pub uncertain: u8,
    /// 1: late bytes of a gap are being read: see [`super::gap`].
    pub late: u8,
    /// 1: bytes that are in no window are known from identical lines, or acknowledged.
    pub covered: u8,
}

impl InStream {
    /// Nothing is known.
    pub const NONE: Self = Self {
        acknowledged: Seq(0),
        next: Seq(0),
        differs: 0,
        windowed: 0,
        ranges: out_of_order::Found::NONE,
        listed: boundaries::Listed::NONE,
        sorting: sorted::Sorting::NONE,
        uncertain: 0,
        late: 0,
        covered: 0,
    };
}
