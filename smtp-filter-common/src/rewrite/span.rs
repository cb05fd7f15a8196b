//! Where a line and its word lie in a segment.

use crate::{branchless::same, host::Host, work::Work};

/// Where a line and its word lie in the current segment: offsets in the payload.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// First new byte of the line.
    pub from: u32,
    /// End of the line without its LF.
    pub to: u32,
    /// First letter of the word. If an earlier segment had it, it wraps to a value far beyond the payload.
    pub word: u32,
    /// After the last letter of the word; wraps likewise.
    pub word_end: u32,
}

impl Span {
    /// For the current line of a side, as far as it was read; `before` is the number of bytes before its word.
    #[inline(always)]
    pub fn of(work: &Work, side: usize, before: u32) -> Self {
        let (line, at) = (&work.state.line[side], work.reading.at);
        let start = work.segment.offset_of(line.start);
        let first = work.reading.first;
        // The line began before the first new byte: its start wrapped, or is among the retransmitted bytes.
        let from = if start.wrapping_sub(first) as i32 >= 0 { start } else { first };
        let word = start.wrapping_add(before);
        Self { from, to: at - line.done() as u32, word, word_end: word.wrapping_add(line.word_length as u32) }
    }

    /// Whether the first letters of the word can still be changed.
    #[inline(always)]
    pub const fn has_word(&self, from: u32) -> bool {
        self.word.wrapping_sub(from) as i32 >= 0
    }

    /// Whether overwriting the available bytes turns the word into another one: its last letter is among them, or a
    /// byte after it that is not part of the line's end. `last` is the number of bytes (0 or 1) of the line's end that
    /// are available, not counting the LF.
    #[inline(always)]
    pub const fn breaks_word(&self, last: u32) -> bool {
        let letter = self.word_end.wrapping_sub(1).wrapping_sub(self.from) as i32 >= 0;
        let after = self.word_end.wrapping_sub(self.from) as i32 >= 0
            && self.to.wrapping_sub(last).wrapping_sub(self.word_end) as i32 > 0;
        letter || after
    }
}

/// Whether the last byte before a line's LF, at offset `to - 1`, is a CR: 1 or 0.
#[inline(always)]
pub fn ends_with_cr<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32) -> u32 {
    if to <= from {
        return 0;
    }
    work.old[0] = 0;
    if !host.fetch_patch(to - 1, 1, &mut work.old) {
        return 0;
    }
    same::<H>(work.old[0] as u32 & 0xff, b'\r' as u32)
}
