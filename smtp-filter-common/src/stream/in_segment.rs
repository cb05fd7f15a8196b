//! How the current segment lies in its stream: plain data of the working area, each part filled in by the module that
//! it is named after.

use crate::{open::open_enum, seq::Seq, session::data::State};

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
    /// How it lies among the out-of-order ranges.
    pub neighbours: Neighbours,
    /// The out-of-order range that its bytes reach.
    pub joined: Joined,
    /// The BDAT line that is compared.
    pub chunk: ChunkCursor,
    /// Which boundaries and ranges are looked at.
    pub listed: Listed,
    /// What is to be sorted into a list of the pool.
    pub sorting: Sorting,
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
        neighbours: Neighbours::NONE,
        joined: Joined::NONE,
        chunk: ChunkCursor { word: 0, which: 0 },
        listed: Listed::NONE,
        sorting: Sorting::NONE,
        uncertain: 0,
        late: 0,
        covered: 0,
    };
}

open_enum! {
    /// How bytes lie relative to the out-of-order ranges.
    pub struct Position: u32 {
        /// Apart from all of them.
        APART = 0;
        /// Directly after one, so the scanner's state before the bytes is known.
        AFTER = 1;
        /// Inside one.
        INSIDE = 2;
        /// Partly inside one.
        ACROSS = 3;
    }
}

/// No index of a range.
pub const NO_RANGE: u32 = u32::MAX;

/// The ranges near some bytes: the result of [`super::out_of_order::search`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbours {
    /// How the bytes lie.
    pub position: Position,
    /// With [`Position::AFTER`], the scanner's state before the bytes; else [`State::UNKNOWN`].
    pub before: u32,
    /// Index of the range that ends where the bytes begin, or [`NO_RANGE`].
    pub left: u32,
    /// Index of the range that begins where the bytes end, or [`NO_RANGE`].
    pub right: u32,
    /// An unused index of the entry, or [`NO_RANGE`].
    pub free: u32,
    /// How many ranges in the pool end before the bytes begin.
    pub in_pool: u32,
    /// The state barred where the bytes end, because a range begins there (0: none). With [`Position::INSIDE`]: the one
    /// barred where both begin.
    pub barred: u32,
    /// The state to be barred before the bytes, if they become a range of their own.
    pub barred_before: u32,
}

impl Neighbours {
    /// None.
    pub const NONE: Self = Self {
        position: Position::APART,
        before: State::UNKNOWN.0 as u32,
        left: NO_RANGE,
        right: NO_RANGE,
        free: NO_RANGE,
        in_pool: 0,
        barred: 0,
        barred_before: 0,
    };
}

open_enum! {
    /// Whether bytes in order fit the out-of-order ranges that they reach.
    pub struct Fit: u32 {
        /// They do.
        FITS = 0;
        /// The segment has to wait: its bytes end inside a range, where an end of data may be under way whose
        /// continuation is no longer known.
        WAITS = 1;
        /// The segment would complete an end of data, and bytes after it have already passed.
        ENDS = 2;
    }
}

/// How the bytes in order continue in an out-of-order range: the result of [`super::out_of_order::join`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The sequence number up to which the stream is joined.
    pub reached: Seq,
    /// The scanner's state there.
    pub state: u32,
    /// Whether the bytes fit.
    pub fit: Fit,
    /// Not 0: the bytes end inside a range.
    pub inside: u32,
    /// The state barred where the range begins (0: none).
    pub barred: u32,
}

impl Joined {
    /// Nothing.
    pub const NONE: Self = Self { reached: Seq(0), state: 0, fit: Fit::FITS, inside: 0, barred: 0 };
}

/// A BDAT line among the chunks in flight.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkCursor {
    /// Number of the word from the oldest on.
    pub word: u32,
    /// Which of its equal chunks.
    pub which: u32,
}

/// Which items are looked at: the result of [`super::boundaries::lookup::find`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Items of the entry that are skipped: all of them if none lies in the interval, else 0.
    pub skipped: u32,
    /// Number of the first range in the pool.
    pub range: u32,
    /// Number of ranges in the pool.
    pub ranges: u32,
    /// Number of the first boundary in the pool.
    pub boundary: u32,
    /// How many are to be asked for.
    pub count: u32,
}

impl Listed {
    /// None.
    pub const NONE: Self = Self { skipped: 0, range: 0, ranges: 0, boundary: 0, count: 0 };
}

/// A list in a slot of the pool: see [`super::sorted`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Offset of the ring in the slot.
    pub base: u32,
    /// Number of its first word in use.
    pub first: u32,
    /// Items in it.
    pub count: u32,
}

/// Work left for sorting items into a list.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting {
    /// Items of the list that are still to be compared.
    pub ring: Ring,
    /// Items in [`crate::work::Work::piece`], from word 1 on, that are still to be placed.
    pub items: u32,
}

impl Sorting {
    /// Nothing.
    pub const NONE: Self = Self { ring: Ring { base: 0, first: 0, count: 0 }, items: 0 };
}

/// How the reply lines of the current segment compare with identical ones: see [`super::identical`]. Offsets are in the
/// payload.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Replies {
    /// Offset of the first whole reply line.
    pub line_at: u32,
    /// Its length; 0: there is none.
    pub line_length: u32,
    /// Offset from which the segment is compared with identical lines; the segment's end if it is not.
    pub at: u32,
    /// Offset up to which it consists of them.
    pub to: u32,
    /// 1: the line in [`crate::work::Work::new`] is kept when the state is saved.
    pub keeps_line: u8,
}

impl Replies {
    /// Nothing has been compared.
    pub const NONE: Self = Self { line_at: 0, line_length: 0, at: 0, to: 0, keeps_line: 0 };
}

/// Mail data whose pieces are examined: see [`super::pieces`].
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug)]
pub struct Data {
    /// Offset in the payload of the first byte.
    pub from: u32,
    /// Offset in the payload after the last byte.
    pub to: u32,
    /// The scanner's state at `from`, or [`State::UNKNOWN`] if it is not known.
    pub before: State,
    /// 1: some of the bytes may have passed out of order.
    pub overlaps: u8,
    /// Boundaries to be left free for other segments: see [`super::boundaries::SPARE`].
    pub spare: u8,
    /// Zero.
    pub reserved: u8,
}

impl Data {
    /// No bytes.
    pub const NONE: Self = Self { from: 0, to: 0, before: State::MIDDLE, overlaps: 0, spare: 0, reserved: 0 };
}
