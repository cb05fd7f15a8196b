//! Mail text: where its end is, and nothing else (RFC 5321 section 4.1.1.4: the end of data is CRLF.CRLF alone).
//!
//! A word of eight bytes at a time is looked at for a dot behind a control byte; only where there is one are bytes
//! looked at one by one.

use crate::{
    host::{Host, Piece, Step, byte},
    limits::PIECE,
    work::{NOWHERE, Work},
};

/// In a line.
pub const MIDDLE: u8 = 0;
/// Behind CR.
pub const CR: u8 = 1;
/// At a line's start.
pub const LINE: u8 = 2;
/// Behind a dot at a line's start.
pub const DOT: u8 = 3;
/// Behind CR behind that dot.
pub const DOT_CR: u8 = 4;
/// Behind the end of data.
pub const END: u8 = 5;

/// The rule: the state behind a byte.
pub const fn next(state: u8, byte: u8) -> u8 {
    match (state, byte) {
        (END.., _) => END,
        (DOT_CR, b'\n') => END,
        (DOT, b'\r') => DOT_CR,
        (LINE, b'.') => DOT,
        (CR, b'\n') => LINE,
        (_, b'\r') => CR,
        _ => MIDDLE,
    }
}

/// The state behind these four bytes (the last one highest), whatever stood before them, if no end of data lies
/// among them.
#[inline(always)]
pub const fn behind(last: u32) -> u8 {
    const FOUR: u32 = u32::from_le_bytes(*b"\r\n.\r");
    const THREE: u32 = u32::from_le_bytes(*b"\0\r\n.") >> 8;
    const TWO: u32 = u32::from_le_bytes(*b"\0\0\r\n") >> 16;
    if last == FOUR {
        DOT_CR
    } else if last >> 8 == THREE {
        DOT
    } else if last >> 16 == TWO {
        LINE
    } else if last >> 24 == b'\r' as u32 {
        CR
    } else {
        MIDDLE
    }
}

/// Whether text that begins with these four bytes (the first one lowest) might end an end of data that began before.
#[inline(always)]
pub const fn may_end(first: u32) -> bool {
    const DOT_LINE: u32 = u32::from_le_bytes(*b".\r\n\0");
    const LINE_END: u32 = u32::from_le_bytes(*b"\r\n\0\0");
    first & 0xff == b'\n' as u32 || first & 0xffff == LINE_END || first & 0x00ff_ffff == DOT_LINE
}

static NEXT: [u8; 32] = {
    const BYTES: [u8; 4] = [b'a', b'\r', b'\n', b'.'];
    let mut table = [END; 32];
    let mut i = 0;
    while i < 32 {
        table[i] = next((i / 4) as u8, BYTES[i % 4]);
        i += 1;
    }
    table
};

static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    table[b'\r' as usize] = 1;
    table[b'\n' as usize] = 2;
    table[b'.' as usize] = 3;
    table
};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Not 0 if a dot stands behind a control byte: in `word`, or between it and the word before. May be not 0 without
/// one, but is never 0 with one.
#[inline(always)]
const fn dot_behind_control(before: u64, word: u64) -> u64 {
    let previous = word << 8 | before >> 56;
    let dots = word ^ (ONES * b'.' as u64);
    let dots = dots.wrapping_sub(ONES) & !dots;
    let controls = previous.wrapping_sub(ONES * 0x20) & !previous;
    dots & controls & HIGH
}

/// Words in a step of the fast loop.
const BLOCK: u32 = 32;
/// Bytes in such a step.
const BLOCK_BYTES: u32 = BLOCK * 8;
/// Bytes in a step of the exact loop.
const GROUP: u32 = 8;

/// Byte by byte through a part of a piece.
struct Exact<'a> {
    piece: &'a Piece,
    text: &'a mut u8,
    found: &'a mut u32,
    from: u32,
    length: u32,
    base: u32,
}

impl Step for Exact<'_> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        let mut state = *self.text as u32;
        let mut read = 0;
        let mut i = 0;
        while i < GROUP {
            let at = first + i;
            let present = at.wrapping_sub(self.length) >> 31;
            let class = CLASS[byte(self.piece, self.from + at) as usize] as u32;
            let next = NEXT[(state << 2 | class) as usize & 31] as u32;
            // 1 while there is a byte and no end has been found.
            let open = present & (state.wrapping_sub(END as u32) >> 31);
            state = next * open + state * (1 - open);
            read += open;
            i += 1;
        }
        *self.text = state as u8;
        if state == END as u32 {
            *self.found = self.base + first + read;
            return true;
        }
        first + GROUP >= self.length
    }
}

/// Block by block through a piece.
struct Blocks<'a, H> {
    work: &'a mut Work,
    length: u32,
    base: u32,
    host: core::marker::PhantomData<H>,
}

impl<H: Host> Step for Blocks<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = H::opaque(index) as usize & (PIECE / 8 / BLOCK as usize - 1);
        let first = first * BLOCK as usize;
        let mut candidates = 0;
        let mut before = self.work.piece[first];
        let mut i = 0;
        while i < BLOCK as usize {
            let word = self.work.piece[first + 1 + i];
            candidates |= dot_behind_control(before, word);
            before = word;
            i += 1;
        }
        if candidates == 0 {
            return false;
        }
        let from = first as u32 * 8;
        let length = self.length.wrapping_sub(from);
        let length = if length > BLOCK_BYTES { BLOCK_BYTES } else { length };
        if from > 0 {
            self.work.run.text = behind((self.work.piece[first] >> 32) as u32);
        }
        let Work { piece, run, .. } = &mut *self.work;
        H::repeat(
            BLOCK_BYTES / GROUP,
            &mut Exact { piece, text: &mut run.text, found: &mut run.found, from, length, base: self.base + from },
        );
        self.work.run.found != NOWHERE
    }
}

/// Piece by piece through a part of the segment.
struct Pieces<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: u32,
    to: u32,
}

impl<H: Host> Step for Pieces<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let base = self.from + index * PIECE as u32;
        if base >= self.to {
            return true;
        }
        let left = self.to - base;
        let length = if left > PIECE as u32 { PIECE as u32 } else { left };
        let work = &mut *self.work;
        work.run.piece_length = 0;
        if !self.host.fetch(base, length, &mut work.piece) {
            work.hold_back(crate::reason::Reason::Unfetched);
            return true;
        }
        // What stood before decides whether a dot in the first place is one at a line's start.
        work.piece[0] = if work.run.text == LINE { (b'\n' as u64) << 56 } else { (b'a' as u64) << 56 };
        if work.run.text >= DOT {
            // In the midst of what may be an end of data: byte by byte over the few bytes that decide.
            let short = if length > GROUP { GROUP } else { length };
            let Work { piece, run, .. } = &mut *work;
            let mut text = run.text;
            H::repeat(1, &mut Exact { piece, text: &mut text, found: &mut run.found, from: 0, length: short, base });
            if run.found != NOWHERE {
                run.text = text;
                return true;
            }
        }
        H::repeat(
            (length - 1) / BLOCK_BYTES + 1,
            &mut Blocks::<H> { work: &mut *work, length, base, host: core::marker::PhantomData },
        );
        if work.run.found != NOWHERE {
            return true;
        }
        work.run.text = if length >= 4 {
            behind(last_four(&work.piece, length))
        } else {
            let mut state = work.run.text;
            let mut i = 0;
            while i < 3 {
                if i < length {
                    state = next(state, byte(&work.piece, i));
                }
                i += 1;
            }
            state
        };
        false
    }
}

/// The last four of `length` bytes of a piece, the last one highest.
#[inline(always)]
fn last_four(piece: &Piece, length: u32) -> u32 {
    let at = length - 1;
    let word = 1 + ((at >> 3) as usize & (PIECE / 8 - 1));
    let up = (7 - (at & 7)) * 8;
    // The two words hold at least eight bytes up to the last one.
    let high = piece[word] << up;
    let low = (piece[word - 1] >> 8) >> (56 - up);
    ((high | low) >> 32) as u32
}

/// Scans payload `from..to` from state `run.text` on, which it leaves at the state behind it, and `run.found` at the
/// place behind an end of data, if there is one.
#[inline(always)]
pub fn scan<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32) {
    work.run.found = NOWHERE;
    if to > from {
        let pieces = (to - from - 1) / PIECE as u32 + 1;
        H::repeat(pieces, &mut Pieces { host, work, from, to });
    }
}
