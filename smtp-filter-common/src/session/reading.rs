//! How far the bytes of the current segment have been read, and its mail data scanned.

use crate::session::data::State;

/// What a BDAT command announces: see [`super::bdat`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced(u64);

impl Announced {
    /// Nothing that servers agree about.
    pub const UNREADABLE: Self = Self(u64::MAX);
    /// Above the number of octets: no chunk follows this one.
    const IS_LAST: u64 = 1 << 32;

    /// A chunk of so many octets (less than 2^32).
    #[inline(always)]
    pub const fn chunk(octets: u64) -> Self {
        Self(octets)
    }

    /// The last chunk of a mail.
    #[inline(always)]
    pub const fn last_chunk(octets: u64) -> Self {
        Self(octets | Self::IS_LAST)
    }

    /// The octets, and whether this is the last chunk; `None` if servers would differ about it.
    #[inline(always)]
    pub const fn size(self) -> Option<(u64, bool)> {
        match self {
            Self::UNREADABLE => None,
            Self(size) => Some((size & (Self::IS_LAST - 1), size & Self::IS_LAST != 0)),
        }
    }
}

/// How far the bytes of the current segment have been read. Offsets are in the payload.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What the current BDAT announces.
    pub bdat: Announced,
    /// Offset of the next byte.
    pub at: u32,
    /// Offset where reading ends.
    pub end: u32,
    /// Offset of the first new byte.
    pub first: u32,
    /// Offset of the first byte in [`crate::work::Work::piece`].
    pub piece_at: u32,
    /// Bytes in the piece; 0: none fetched.
    pub piece_length: u32,
    /// Index in the piece where the loop over a line began.
    pub loop_from: u32,
    /// Bytes that the loop over a line has read.
    pub loop_read: u32,
    /// Offset up to which a word of the banner is kept.
    pub banner_kept: u32,
    /// 1: a verb that passes begins with the current word.
    pub begins: u8,
}

impl Reading {
    /// Nothing has been read.
    pub const NONE: Self = Self {
        bdat: Announced::chunk(0),
        at: 0,
        end: 0,
        first: 0,
        piece_at: 0,
        piece_length: 0,
        loop_from: 0,
        loop_read: 0,
        banner_kept: 0,
        begins: 0,
    };
}

/// No offset.
pub const NOWHERE: u32 = u32::MAX;

/// How far the scanner has come in the current segment. Offsets are in the payload.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Offset after an end of data; [`NOWHERE`] if there is none.
    pub end_of_data: u32,
    /// Offset that it has reached.
    pub at: u32,
    /// Offset where it ends.
    pub to: u32,
    /// Bytes from `at` on that are read one by one.
    pub exact: u32,
    /// Bytes from `at` on that lie in a field with dots.
    pub dotted: u32,
    /// The state.
    pub state: State,
}

impl Progress {
    /// It has not begun.
    pub const NONE: Self = Self { end_of_data: NOWHERE, at: 0, to: 0, exact: 0, dotted: 0, state: State::MIDDLE };
}
