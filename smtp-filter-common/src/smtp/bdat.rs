//! The argument of BDAT (RFC 3030 section 2): the chunk's octets, then nothing or LAST.
//!
//! What is not written that way has no size, for servers would differ about it: a sign, other bases, a number of more
//! than 18 digits, words behind. [`next`] is the readable rule that the table is made of.

use crate::{
    entry::Line,
    host::{Host, Step},
    limits::ARG_ROOM,
};

/// Longest argument that is read: 18 digits, ` LAST`, CR.
const ROOM: u32 = 24;
/// A size of so many digits fits 64 bits.
const DIGITS: u32 = 18;

const NONE: u8 = 0;
const NUMBER: u8 = 1;
const GAP: u8 = 2;
const L: u8 = 3;
const LA: u8 = 4;
const LAS: u8 = 5;
const LAST: u8 = 6;
const AFTER_LAST: u8 = 7;
const END: u8 = 8;
const END_LAST: u8 = 9;
const BAD: u8 = 10;

/// The rule: the state behind a byte.
const fn next(state: u8, byte: u8) -> u8 {
    match (state, byte.to_ascii_uppercase()) {
        (NONE | NUMBER, b'0'..=b'9') => NUMBER,
        (NUMBER | GAP, b' ') => GAP,
        (NUMBER | GAP, b'\r') => END,
        (GAP, b'L') => L,
        (L, b'A') => LA,
        (LA, b'S') => LAS,
        (LAS, b'T') => LAST,
        (LAST | AFTER_LAST, b' ') => AFTER_LAST,
        (LAST | AFTER_LAST, b'\r') => END_LAST,
        _ => BAD,
    }
}

static CLASS: [u8; 256] = {
    let mut table = [7; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match (i as u8).to_ascii_uppercase() {
            b'0'..=b'9' => 0,
            b' ' => 1,
            b'\r' => 2,
            b'L' => 3,
            b'A' => 4,
            b'S' => 5,
            b'T' => 6,
            _ => 7,
        };
        i += 1;
    }
    table
};

static NEXT: [u8; 128] = {
    const BYTES: [u8; 8] = *b"0 \rLASTx";
    let mut table = [BAD; 128];
    let mut i = 0;
    while i < 128 {
        table[i] = next((i / 8) as u8, BYTES[i % 8]);
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
        *self.state = NEXT[(*self.state as usize * 8 + class as usize) & 127];
        if class == 0 {
            *self.size = self.size.wrapping_mul(10).wrapping_add((byte & 15) as u64);
            *self.digits += 1;
        }
        false
    }
}

/// The octets, and whether this is the last chunk; `None` where the argument is not written as it has to be.
#[inline(always)]
pub fn size<H: Host>(arg: &[u8; ARG_ROOM], line: &Line) -> Option<(u64, bool)> {
    let (mut size, mut digits, mut state) = (0, 0, NONE);
    let length = line.arg_length as u32;
    if length > ROOM || line.arg_more != 0 {
        return None;
    }
    H::repeat(ROOM, &mut Read { arg, length, size: &mut size, digits: &mut digits, state: &mut state });
    if digits > DIGITS {
        return None;
    }
    match state {
        NUMBER | GAP | END => Some((size, false)),
        LAST | AFTER_LAST | END_LAST => Some((size, true)),
        _ => None,
    }
}
