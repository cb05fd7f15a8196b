//! A run of equal chunks in one word, and the BDAT line that announces each.

use crate::{
    bounds::RUN,
    entry::Memory,
    host::{Host, List},
    seq::Seq,
};

/// Low bits of a word: sequence number of the first line. Above it: octets of each chunk in 20 bits, then in 10 bits
/// how many chunks of the same size follow the first one.
pub(super) const OCTETS: u32 = (1 << 20) - 1;

pub(super) const MORE: u32 = (1 << 10) - 1;

/// Or: octets in 30 bits, of a single chunk.
pub(super) const LARGE: u32 = 1 << 30;

/// It is the last chunk of its mail.
pub(super) const IS_LAST: u32 = 1 << 31;

static BEFORE: [u8; 8] = *b"BDAT \0\0\0";

static AFTER: [u8; 8] = *b" LAST\r\n\0";

static POWER: [u32; 16] = {
    let mut table = [1; 16];
    let mut i = 1;
    while i < 10 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// Consecutive chunks of one size.
#[derive(Clone, Copy)]
pub(super) struct Chunks {
    pub(super) start: Seq,
    /// How many follow the first one.
    pub(super) more: u32,
    pub(super) said: Said,
}

/// What the BDAT line announces.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) octets: u32,
    /// 5 if it is not the last chunk, so that ` LAST` is missing in the line.
    pub(super) missing: u32,
    pub(super) digits: u32,
}

impl Chunks {
    #[inline(always)]
    pub(super) fn new(word: u64) -> Self {
        let (start, rest) = (word as u32, (word >> 32) as u32);
        let large = rest & LARGE != 0;
        let octets = rest & if large { LARGE - 1 } else { OCTETS };
        let more = if large { 0 } else { rest >> 20 & MORE };
        let mut digits = 1;
        let mut i = 1;
        while i < 9 {
            // 1 if the number has this digit.
            digits += 1 ^ (octets.wrapping_sub(POWER[i]) >> 31);
            i += 1;
        }
        Self { start: Seq(start), more, said: Said { octets, missing: 5 * (1 ^ rest >> 31), digits } }
    }

    /// Bytes of a line and its chunk.
    #[inline(always)]
    pub(super) const fn whole(self) -> u32 {
        self.said.line() + self.said.octets
    }

    #[inline(always)]
    pub(super) const fn end(self) -> Seq {
        self.start.plus(self.whole().wrapping_mul(self.more + 1))
    }
}

impl Said {
    /// Bytes of the line.
    #[inline(always)]
    pub(super) const fn line(self) -> u32 {
        // `BDAT `, the number, ` LAST`, CRLF.
        5 + self.digits + 5 - self.missing + 2
    }

    /// Byte `at` of the line, in upper case.
    #[inline(always)]
    pub(super) fn byte<H: Host>(self, at: u32) -> u8 {
        let digit = at.wrapping_sub(5);
        if at < 5 {
            return BEFORE[H::opaque(at) as usize & 7];
        }
        if digit < self.digits {
            let power = POWER[H::opaque(self.digits - 1 - digit) as usize & 15];
            let upper = self.octets.checked_div(power).unwrap_or(0);
            return b'0' + (upper % 10) as u8;
        }
        AFTER[H::opaque(digit - self.digits + self.missing) as usize & 7]
    }
}

#[inline(always)]
pub(super) fn index_of<H: Host>(memory: &Memory, number: u32) -> usize {
    H::opaque((memory.first_chunk as u32).wrapping_add(number)) as usize & (RUN - 1)
}

/// Chunks in flight, word `number` from the oldest on. For the newest word the number of equal chunks is kept in the
/// entry, so that a dropped segment does not change it.
#[inline(always)]
pub(super) fn chunks<H: Host>(list: &List, memory: &Memory, number: u32) -> Chunks {
    let found = Chunks::new(list[index_of::<H>(memory, number)]);
    let newest = number.wrapping_add(1) == memory.chunks as u32;
    Chunks { more: if newest { memory.equal_chunks as u32 } else { found.more }, ..found }
}
