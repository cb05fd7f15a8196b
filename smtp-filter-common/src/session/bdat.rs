//! The argument of BDAT (RFC 3030 section 2): the chunk's octets, then nothing or LAST.
//!
//! An argument that is not written plainly has no size, because servers would differ about it: blanks other than one
//! space, a sign, leading zeros, more than nine digits (some servers keep 32 bits), further words, a line that ends
//! with a bare LF. The table is built from `next`, which is the readable form of the rule.

use crate::{
    bounds::ARG_ROOM,
    direction::{Client, Direction as _},
    host::{Host, Step},
    session::reading::Announced,
    work::Work,
};

/// Longest argument that is read: nine digits, ` LAST`, CR.
const ROOM: u32 = 15;
/// A size of so many digits fits 32 bits.
const DIGITS: u32 = 9;

const NONE: u8 = 0;
const NUMBER: u8 = 1;
const GAP: u8 = 2;
const L: u8 = 3;
const LA: u8 = 4;
const LAS: u8 = 5;
const LAST: u8 = 6;
const ZERO: u8 = 7;
const END: u8 = 8;
const END_LAST: u8 = 9;
const BAD: u8 = 10;

/// The rule: the state after a byte.
const fn next(state: u8, byte: u8) -> u8 {
    match (state, byte.to_ascii_uppercase()) {
        (NONE, b'0') => ZERO,
        (NONE, b'1'..=b'9') | (NUMBER, b'0'..=b'9') => NUMBER,
        (ZERO | NUMBER, b' ') => GAP,
        (ZERO | NUMBER, b'\r') => END,
        (GAP, b'L') => L,
        (L, b'A') => LA,
        (LA, b'S') => LAS,
        (LAS, b'T') => LAST,
        (LAST, b'\r') => END_LAST,
        _ => BAD,
    }
}

/// One byte of each class.
const BYTES: [u8; 16] = *b"01 \rLASTxxxxxxxx";

static CLASS: [u8; 256] = {
    let mut table = [8; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match (i as u8).to_ascii_uppercase() {
            b'0' => 0,
            b'1'..=b'9' => 1,
            b' ' => 2,
            b'\r' => 3,
            b'L' => 4,
            b'A' => 5,
            b'S' => 6,
            b'T' => 7,
            _ => 8,
        };
        i += 1;
    }
    table
};

static NEXT: [u8; 256] = {
    let mut table = [BAD; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = next((i / 16) as u8, BYTES[i % 16]);
        i += 1;
    }
    table
};

struct Read<'a> {
    arg: &'a [u8; ARG_ROOM],
    length: u32,
    size: &'a mut u64,
    digits: &'a mut u32,
    state: &'a mut u8,
}

impl Step for Read<'_> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        if index >= self.length {
            return true;
        }
        let byte = self.arg[index as usize & (ARG_ROOM - 1)];
        let class = CLASS[byte as usize];
        *self.state = NEXT[(*self.state as usize * 16 + class as usize) & 255];
        if class < 2 {
            *self.size = self.size.wrapping_mul(10).wrapping_add((byte & 15) as u64);
            *self.digits += 1;
        }
        false
    }
}

/// Reads the argument of the current line.
// verifier: not inlined, so that its stack frame is not part of its callers'.
#[inline(never)]
pub fn read<H: Host>(work: &Work) -> Announced {
    let (mut size, mut digits, mut state) = (0, 0, NONE);
    let (arg, line) = (&work.state.arg, &work.state.line[Client::INDEX]);
    let length = line.arg_length as u32;
    if length > ROOM || !line.is_plain() {
        return Announced::UNREADABLE;
    }
    H::run_steps(ROOM, &mut Read { arg, length, size: &mut size, digits: &mut digits, state: &mut state });
    if digits > DIGITS {
        return Announced::UNREADABLE;
    }
    match state {
        END => Announced::chunk(size),
        END_LAST => Announced::last_chunk(size),
        _ => Announced::UNREADABLE,
    }
}
