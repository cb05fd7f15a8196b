//! The scanner of mail data.
//!
//! Eight bytes at a time are checked for a dot after a control byte. Only if there is one are the bytes read one by
//! one.

use crate::{
    bounds::PIECE,
    branchless::{all, zeros},
    host::{Host, Piece, Step, byte},
    reason::Reason,
    session::{
        data::{State, next, state_after},
        reading::NOWHERE,
    },
    work::Work,
};

static NEXT: [u8; 32] = {
    const BYTES: [u8; 4] = [b'a', b'\r', b'\n', b'.'];
    let mut table = [State::END.0; 32];
    let mut i = 0;
    while i < 32 {
        table[i] = next(State((i / 4) as u8), BYTES[i % 4]).0;
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

/// Sets the high bit of each dot.
#[inline(always)]
const fn dots(word: u64) -> u64 {
    zeros(word ^ all(b'.'))
}

/// Sets the high bit of each dot after a control byte, within `word` or across its border with the word before. A byte
/// is zero here if it is a dot and the upper three bits of the byte before it are zero.
#[inline(always)]
const fn dots_after_controls(before: u64, word: u64) -> u64 {
    let previous = word << 8 | before >> 56;
    zeros((word ^ all(b'.')) | (previous & all(0xe0)))
}

/// Words that one step checks for dots. Most mail data is base64, which has none at all.
const FIELD: u32 = 64;

/// Bytes in a field.
const FIELD_BYTES: u32 = FIELD * 8;

/// Words that one step checks for dots after control bytes, in a field that has dots.
const BLOCK: u32 = 16;

/// Bytes in a block.
const BLOCK_BYTES: u32 = BLOCK * 8;

/// Bytes that one step reads one by one, in a block that may contain an end of data.
const GROUP: u32 = 8;

/// A single loop, so that few stack frames are on top of each other. A step handles a field, a block of a field that
/// has dots, or a group of bytes of a block that may contain an end of data.
struct Scan<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Scan<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let left = work.scan.to.wrapping_sub(work.scan.at);
        if left == 0 || work.scan.end_of_data != NOWHERE {
            return true;
        }
        let mut here = work.scan.at.wrapping_sub(work.reading.piece_at);
        if here >= work.reading.piece_length {
            if !piece(host, work, left) {
                return true;
            }
            here = 0;
        }
        // verifier: forgets how the value came about.
        let here = work.unknown_number::<H>(here);
        if work.scan.exact != 0 {
            group::<H>(work, here);
            return false;
        }
        // A field begins where the last one ended. If a block was handled on its own, further blocks lead to the next
        // field.
        if work.scan.dotted == 0 && work.scan.state.0 < State::DOT.0 && here & (FIELD_BYTES - 1) == 0 {
            field(work, here);
        } else {
            block(work, here);
        }
        false
    }
}

/// Checks the field at `here` for dots; without any it is done.
#[inline(always)]
fn field(work: &mut Work, here: u32) {
    let first = (here >> 3) as usize & (PIECE / 8 - FIELD as usize);
    let (mut found, mut i) = (0, 0);
    while i < FIELD as usize {
        found |= dots(work.piece[first + 1 + i]) | dots(work.piece[first + 2 + i]);
        i += 2;
    }
    let length = shorter(work.reading.piece_length - here, FIELD_BYTES);
    if found & all(0x80) != 0 || work.reading.piece_length < 4 {
        work.scan.dotted = length;
    } else {
        done(work, here, length);
    }
}

/// Checks the block at `here` for a possible end of data; without one it is done. Not if an end of data is already
/// under way: its dot may lie before the block.
#[inline(always)]
fn block(work: &mut Work, here: u32) {
    let first = (here >> 3) as usize & (PIECE / 8 - BLOCK as usize);
    let (mut found, mut before, mut i) = (0, work.piece[first], 0);
    while i < BLOCK as usize {
        let word = work.piece[first + 1 + i];
        found |= dots_after_controls(before, word);
        before = word;
        i += 1;
    }
    let length = shorter(work.reading.piece_length - here, BLOCK_BYTES);
    work.scan.dotted -= shorter(work.scan.dotted, length);
    // Less than four bytes say too little about the state after them.
    if found & all(0x80) == 0 && work.scan.state.0 < State::DOT.0 && work.reading.piece_length >= 4 {
        done(work, here, length);
        return;
    }
    if here > 0 {
        work.scan.state = state_after((work.piece[first] >> 32) as u32);
    }
    work.scan.exact = length;
}

/// `length` bytes from `here` on contain no possible end of data.
#[inline(always)]
fn done(work: &mut Work, here: u32, length: u32) {
    work.scan.at += length;
    if here + length == work.reading.piece_length {
        work.scan.state = state_after(last_four(&work.piece, work.reading.piece_length));
    }
}

#[inline(always)]
const fn shorter(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}

/// Fetches the next piece of at most `left` bytes.
#[inline(always)]
fn piece<H: Host>(host: &mut H, work: &mut Work, left: u32) -> bool {
    let length = if left > PIECE as u32 { PIECE as u32 } else { left };
    let at = work.scan.at;
    work.reading.piece_length = 0;
    if !host.fetch(at, length, &mut work.piece) {
        work.hold_back(Reason::Unfetched);
        return false;
    }
    work.reading.piece_at = at;
    work.reading.piece_length = length;
    // The state before decides whether a dot in the first byte is at the start of a line.
    work.piece[0] = if work.scan.state == State::LINE { (b'\n' as u64) << 56 } else { (b'a' as u64) << 56 };
    true
}

/// One step of the rule, from the table.
#[inline(always)]
fn step<H: Host>(state: u32, byte: u8) -> u32 {
    NEXT[H::opaque(state << 2 | CLASS[byte as usize] as u32) as usize & 31] as u32
}

/// Reads the next bytes of the block one by one.
#[inline(always)]
fn group<H: Host>(work: &mut Work, here: u32) {
    let length = work.scan.exact;
    let (mut state, mut read, mut i) = (work.scan.state.0 as u32, 0, 0);
    while i < GROUP {
        // 1 as long as there are bytes left and no end was found.
        let open = (i.wrapping_sub(length) >> 31) & (state.wrapping_sub(State::END.0 as u32) >> 31);
        state = step::<H>(state, byte(&work.piece, here + i)) * open + state * (1 - open);
        read += open;
        i += 1;
    }
    work.scan.state = State(state as u8);
    work.scan.exact = length - read;
    work.scan.at += read;
    if state == State::END.0 as u32 {
        work.scan.end_of_data = work.scan.at;
    }
}

/// The last four of `length` bytes of a piece, the last one highest.
#[inline(always)]
fn last_four(piece: &Piece, length: u32) -> u32 {
    let at = length - 1;
    let word = 1 + ((at >> 3) as usize & (PIECE / 8 - 1));
    let up = (7 - (at & 7)) * 8;
    // Together the two words hold at least eight bytes up to the last one.
    let high = piece[word] << up;
    let low = (piece[word - 1] >> 8) >> (56 - up);
    ((high | low) >> 32) as u32
}

/// Scans payload `from..to`, starting in state `scan.state`. Afterwards `scan.state` is the state after the bytes, and
/// `scan.end_of_data` the offset after an end of data, if there is one.
#[inline(always)]
pub fn scan<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32) {
    work.scan.end_of_data = NOWHERE;
    work.scan.at = from;
    work.scan.to = to;
    work.scan.exact = 0;
    work.scan.dotted = 0;
    work.reading.piece_length = 0;
    host.scan(work);
}

/// The same for payload `scan.at..scan.to`.
#[inline(always)]
pub fn run<H: Host>(host: &mut H, work: &mut Work) {
    let length = work.scan.to.wrapping_sub(work.scan.at);
    // Every step reads at least a group, except those that only find that a field has dots or a block needs a closer
    // look.
    let steps = length / GROUP + length / BLOCK_BYTES * 2 + 8;
    H::run_steps(steps, &mut Scan { host, work });
}
