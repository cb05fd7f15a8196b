//! Comparisons as arithmetic. The compiler would turn them back into jumps, so the values are hidden from it
//! ([`Host::opaque`]).

// verifier: eBPF compares only by jumping, and it walks both outcomes. So what much code follows is computed without a
// jump.

use crate::host::Host;

/// 1 if `a` equals `b`, else 0.
#[inline(always)]
pub(crate) fn same<H: Host>(a: u32, b: u32) -> u32 {
    let differs = a ^ b;
    1 ^ H::opaque((differs | H::opaque(differs.wrapping_neg())) >> 31)
}

/// 1 if `a` is less than `b`, else 0. Both are below 2^31.
#[inline(always)]
pub(crate) fn less<H: Host>(a: u32, b: u32) -> u32 {
    H::opaque(a.wrapping_sub(b) >> 31)
}

/// `a` if `is` is 1, `b` if it is 0.
#[inline(always)]
pub(crate) fn choose<H: Host>(is: u32, a: u8, b: u8) -> u8 {
    b ^ ((a ^ b) & H::opaque(is.wrapping_neg()) as u8)
}

/// The same for wider numbers.
#[inline(always)]
pub(crate) fn choose_number<H: Host>(is: u32, a: u32, b: u32) -> u32 {
    b ^ ((a ^ b) & H::opaque(is.wrapping_neg()))
}
