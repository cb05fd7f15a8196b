//! A line of either direction, read byte by byte: word and argument of a command, code and keyword of a reply line.
//!
//! A line ends at LF. Bytes up to 0x20 and 0x7f separate words: servers differ in which of them they skip, and a NUL
//! ends the word for servers written in C, so `EHLO<NUL>x` is EHLO. The table is built from `next`, which is the
//! readable form of the rule.

use core::marker::PhantomData;

use crate::{
    bounds::{ARG, ARG_ROOM, PIECE},
    entry::Line,
    host::{Host, Piece, Step, byte},
    reason::Reason,
    seq::Seq,
    word::Word,
    work::Work,
};

/// `Line::state`: before the word.
pub const BLANK: u8 = 0;
/// `Line::state`: in the word.
pub const IN_WORD: u8 = 1;
/// `Line::state`: between word and argument.
pub const GAP: u8 = 2;
/// `Line::state`: in the argument.
pub const IN_ARG: u8 = 3;
/// `Line::state`: before the four bytes of code and separator of a reply line; the next three states are inside them.
pub const HEAD: u8 = 4;
/// `Line::state`: the line end has been read.
pub const DONE: u8 = 8;

/// `Line::facts`: the argument is longer than what is kept.
pub const MORE: u8 = 1;
/// `Line::facts`: there is something other than one space before the word, or between it and the argument.
pub const ODD: u8 = 2;
/// `Line::facts`: EHLO became HELO.
pub const DOWNGRADED: u8 = 4;
/// `Line::facts`: the line became X from some byte on, and its rest becomes X.
pub const CROSSED: u8 = 8;
/// `Line::facts`: the line became NOOP, and its rest becomes spaces.
pub const NOOPED: u8 = 16;
/// `Line::facts`: the line was overwritten.
pub const MASKED: u8 = CROSSED | NOOPED;

const NEWLINE: u8 = 0;
const SPACE: u8 = 1;
const OTHER: u8 = 2;
/// Class of the bytes after the last one: changes nothing.
const NOTHING: u8 = 3;

const TO_WORD: u8 = 0x10;
const TO_ARG: u8 = 0x20;
const TO_HEAD: u8 = 0x40;

/// The rule: next state, and where the byte is stored.
const fn next(state: u8, class: u8) -> u8 {
    match (state, class) {
        (DONE.., _) | (_, NOTHING..) => state,
        (_, NEWLINE) => DONE,
        (HEAD..DONE, _) => TO_HEAD | if state == DONE - 1 { BLANK } else { state + 1 },
        (BLANK, SPACE) => BLANK,
        (BLANK | IN_WORD, OTHER) => TO_WORD | IN_WORD,
        (IN_WORD | GAP, SPACE) => GAP,
        (GAP | IN_ARG, _) => TO_ARG | IN_ARG,
    }
}

const fn class(byte: u8) -> u8 {
    match byte {
        b'\n' => NEWLINE,
        0..=b' ' | 0x7f => SPACE,
        _ => OTHER,
    }
}

static NEXT: [u8; 64] = {
    let mut table = [0; 64];
    let mut i = 0;
    while i < 64 {
        table[i] = next((i / 4) as u8, (i % 4) as u8);
        i += 1;
    }
    table
};

/// Class in the upper byte, the byte in upper case in the lower one. The highest bit is set for separators other than
/// the space, the one below it for bytes that end a keyword as a space does (`AUTH=LOGIN`, a form from before RFC
/// 2554).
static BYTES: [u16; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let odd = class(i as u8) == SPACE && i as u8 != b' ';
        let equals = i as u8 == b'=';
        table[i] = (odd as u16) << 15
            | (equals as u16) << 14
            | (class(i as u8) as u16) << 8
            | (i as u8).to_ascii_uppercase() as u16;
        i += 1;
    }
    table
};

impl Line {
    /// Starts a new line: a command, or (`head`) a reply line.
    #[inline(always)]
    pub fn begin(&mut self, head: bool, start: Seq) {
        *self = Self {
            word: Word { high: 0, low: 0 },
            head: 0,
            length: 0,
            start,
            state: if head { HEAD } else { BLANK },
            word_length: 0,
            arg_length: 0,
            facts: 0,
        };
    }

    /// Whether the end of the line has been read.
    #[inline(always)]
    pub const fn done(&self) -> bool {
        self.state == DONE
    }

    /// The word, if it is short enough to have a name.
    #[inline(always)]
    pub const fn name(&self) -> Word {
        if self.word_length as usize <= crate::bounds::WORD { self.word } else { Word { high: 0, low: 0 } }
    }

    /// Whether the line begins with its word, and exactly one space separates it from the argument, if any. Servers do
    /// not differ about such a line.
    #[inline(always)]
    pub const fn is_plain(&self) -> bool {
        self.facts & (MORE | ODD) == 0
            && self.arg_length != 0
            && self.length == self.word_length as u32 + 1 + self.arg_length as u32 + self.done() as u32
    }

    /// Whether the argument is longer than the part that is kept.
    #[inline(always)]
    pub const fn has_more(&self) -> bool {
        self.facts & MORE != 0
    }

    /// Reads one byte, unless the line is done or `present` is 0; returns 1 if it was read.
    #[inline(always)]
    fn step<H: Host, const REPLY: u32>(&mut self, arg: &mut [u8; ARG_ROOM], byte: u8, present: u32) -> u32 {
        let facts = BYTES[byte as usize];
        let class = (facts >> 8 & 3) as u32;
        // Turns OTHER into SPACE.
        let class = (class ^ (3 * (facts as u32 >> 14 & REPLY))) | (3 * (1 - present));
        let read = present & (1 - (self.state as u32 >> 3));
        let between = (self.state as u32).wrapping_sub(IN_ARG as u32) >> 31;
        let entry = NEXT[H::opaque((self.state as u32) << 2 | class) as usize & 63];
        self.state = entry & 0x0f;

        let word = (entry >> 4 & 1) as u64;
        let upper = (facts & 0xff) as u64;
        self.word.high = (self.word.high << (word * 8)) | ((self.word.low >> 56) * word);
        self.word.low = (self.word.low << (word * 8)) | (upper * word);
        // Stops at 128, which is too long for any name.
        self.word_length += word as u8 & (1 ^ H::opaque((self.word_length >> 7) as u32) as u8);

        let kept = entry >> 5 & 1;
        let room = ((self.arg_length as u32).wrapping_sub(ARG as u32) >> 31) as u8;
        arg[self.arg_length as usize & (ARG_ROOM - 1)] = byte;
        self.arg_length += kept & room;
        let odd = (facts >> 15) as u32 & between & read;
        self.facts |= kept & (1 ^ H::opaque(room as u32) as u8) | (odd as u8) << 1;

        let head = (entry >> 6 & 1) as u32;
        self.head = (self.head << (head * 8)) | (byte as u32 * head);
        // True because BLANK is 0.
        let blank = (self.state as u32).wrapping_sub(1) >> 31;
        self.head += blank & read & (1 - REPLY);
        self.length += read & (1 ^ H::opaque(self.length >> 31));
        read
    }
}

/// Bytes that one step of the loop reads.
const GROUP: u32 = 8;

struct Read<'a, H, const REPLY: u32> {
    line: &'a mut Line,
    arg: &'a mut [u8; ARG_ROOM],
    piece: &'a Piece,
    read: &'a mut u32,
    from: u32,
    length: u32,
    host: PhantomData<H>,
}

impl<H: Host, const REPLY: u32> Step for Read<'_, H, REPLY> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        let mut line = *self.line;
        let mut read = 0;
        let mut i = 0;
        while i < GROUP {
            let at = first + i;
            let present = at.wrapping_sub(self.length) >> 31;
            read += line.step::<H, REPLY>(self.arg, byte(self.piece, self.from + at), present);
            i += 1;
        }
        *self.read += read;
        *self.line = line;
        line.done() | (first + GROUP >= self.length)
    }
}

/// Reads a line of a command or (`REPLY` is 1) of a reply, from byte `from` of a piece on, at most `length` bytes. Adds
/// the number of bytes read to `read`.
#[inline(always)]
pub fn read<H: Host, const REPLY: u32>(
    line: &mut Line,
    arg: &mut [u8; ARG_ROOM],
    piece: &Piece,
    (from, length): (u32, u32),
    read: &mut u32,
) {
    let step = &mut Read::<H, REPLY> { line, arg, piece, read, from, length, host: PhantomData };
    H::run_steps(length / GROUP + 1, step);
}

/// Makes sure that the segment's next bytes are in the piece. Returns where they begin there, and how many there are; 0
/// if they could not be fetched, and then there is a verdict against the segment.
#[inline(always)]
pub fn at_hand<H: Host>(host: &mut H, work: &mut Work) -> (u32, u32) {
    let at = work.reading.at;
    let left = work.reading.end - at;
    let from = at.wrapping_sub(work.reading.piece_at);
    if from < work.reading.piece_length {
        let here = work.reading.piece_length - from;
        return (from, if here > left { left } else { here });
    }
    let length = if left > PIECE as u32 { PIECE as u32 } else { left };
    work.reading.piece_length = 0;
    if !host.fetch(at, length, &mut work.piece) {
        work.hold_back(Reason::Unfetched);
        return (0, 0);
    }
    work.reading.piece_at = at;
    work.reading.piece_length = length;
    (0, length)
}
