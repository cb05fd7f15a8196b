//! Two 32-bit numbers in one word.

use crate::seq::Seq;

/// Two 32-bit numbers in one word.
#[inline(always)]
pub const fn pair(first: u32, second: u32) -> u64 {
    (second as u64) << 32 | first as u64
}

/// The first number of a pair.
#[inline(always)]
pub const fn first(pair: u64) -> u32 {
    pair as u32
}

/// The second number of a pair.
#[inline(always)]
pub const fn second(pair: u64) -> u32 {
    (pair >> 32) as u32
}

/// Two sequence numbers in one word.
#[inline(always)]
pub const fn pair_of(first: Seq, second: Seq) -> u64 {
    pair(first.0, second.0)
}

/// The first number of a pair, as a sequence number.
#[inline(always)]
pub const fn first_of(pair: u64) -> Seq {
    Seq(first(pair))
}

/// The second number of a pair, as a sequence number.
#[inline(always)]
pub const fn second_of(pair: u64) -> Seq {
    Seq(second(pair))
}
