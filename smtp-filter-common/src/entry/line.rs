//! The line that is being read.

use crate::{seq::Seq, word::Word};

/// A line of either direction, as far as it has been read. 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The verb, or the keyword of a reply line.
    pub word: Word,
    /// The first four bytes of a reply line: code and separator. Of a command: bytes before its verb.
    pub head: u32,
    /// Bytes of the line so far, including its LF. Saturates.
    pub length: u32,
    /// Sequence number of its first byte.
    pub start: Seq,
    /// State of the line's parser: see [`crate::session::line`].
    pub state: u8,
    /// Characters of the word. Saturates at 255.
    pub word_length: u8,
    /// Characters of the argument that are kept.
    pub arg_length: u8,
    /// Bit 0: the argument is longer than the part that is kept. Bit 1: there is something other than one space before
    /// the word, or between it and the argument (see [`Line::is_plain`]). The others:
    /// [`crate::session::line::DOWNGRADED`] and following.
    pub facts: u8,
}

impl Line {
    /// An empty one.
    pub const EMPTY: Self = Self {
        word: Word { high: 0, low: 0 },
        head: 0,
        length: 0,
        start: Seq(0),
        state: 0,
        word_length: 0,
        arg_length: 0,
        facts: 0,
    };
}

const _: () = assert!(size_of::<Line>() == 32);
