//! Comparisons as arithmetic. The compiler would turn them back into jumps, so the values are hidden from it
//! ([`Opaque::opaque`]).

// verifier: eBPF compares only by jumping, and it walks both outcomes. So what much code follows is computed without a
// jump.

/// Numbers that the compiler knows nothing about.
pub trait Opaque {
    /// Returns `value` without letting the compiler know its bounds. Otherwise it would remove a mask that the verifier
    /// needs.
    fn opaque(value: u32) -> u32;

    /// The same for 64 bits.
    #[inline(always)]
    fn opaque_word(value: u64) -> u64 {
        Self::opaque(value as u32) as u64 | (Self::opaque((value >> 32) as u32) as u64) << 32
    }
}

/// 1 if `a` equals `b`, else 0.
#[inline(always)]
pub(crate) fn same<H: Opaque>(a: u32, b: u32) -> u32 {
    let differs = a ^ b;
    1 ^ H::opaque((differs | H::opaque(differs.wrapping_neg())) >> 31)
}

/// 1 if `a` is less than `b`, else 0. Both are below 2^31.
#[inline(always)]
pub(crate) fn less<H: Opaque>(a: u32, b: u32) -> u32 {
    H::opaque(a.wrapping_sub(b) >> 31)
}

/// `a` if `is` is 1, `b` if it is 0.
#[inline(always)]
pub(crate) fn choose<H: Opaque>(is: u32, a: u8, b: u8) -> u8 {
    b ^ ((a ^ b) & H::opaque(is.wrapping_neg()) as u8)
}

/// The same for wider numbers.
#[inline(always)]
pub(crate) fn choose_number<H: Opaque>(is: u32, a: u32, b: u32) -> u32 {
    b ^ ((a ^ b) & H::opaque(is.wrapping_neg()))
}

/// The same byte eight times.
pub(crate) const fn all(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// 0xff in every byte of a word that equals `byte`, 0 in the others.
#[inline(always)]
pub(crate) const fn equal_bytes(word: u64, byte: u8) -> u64 {
    let differs = word ^ all(byte);
    let nonzero = (((differs & all(0x7f)) + all(0x7f)) | differs) & all(0x80);
    ((nonzero ^ all(0x80)) >> 7).wrapping_mul(0xff)
}

/// 0xff in the first `left` bytes of a word: in none if it is negative, in all if it is eight or more. The sign bits
/// are hidden from the compiler, which would otherwise make jumps of them.
#[inline(always)]
pub(crate) fn present<H: Opaque>(left: u32) -> u64 {
    let below = H::opaque(((left as i32) >> 31) as u32);
    let left = left & !below;
    let whole = H::opaque(((7_u32.wrapping_sub(left) as i32) >> 31) as u32) as i32 as i64 as u64;
    (1_u64 << ((left & 7) * 8)).wrapping_sub(1) | whole
}

/// 0xff in the bytes `from..to` of a word; either may lie outside.
#[inline(always)]
pub(crate) fn between<H: Opaque>(from: u32, to: u32) -> u64 {
    present::<H>(to) & !present::<H>(from)
}

/// 1 if the two differ anywhere, else 0.
#[inline(always)]
pub(crate) fn differ<H: Opaque, const N: usize>(old: &[u64; N], new: &[u64; N]) -> u8 {
    let (mut differs, mut i) = (0_u64, 0);
    while i < N {
        differs |= H::opaque_word(old[i] ^ new[i]);
        i += 1;
    }
    ((differs | H::opaque_word(differs.wrapping_neg())) >> 63) as u8
}

/// Sets the high bit of each zero byte of a word, and perhaps of bytes above one, but never without one.
#[inline(always)]
pub(crate) const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(all(1)) & !word
}

/// Hides nothing: what is hidden in the kernel does not change a result.
#[cfg(test)]
pub(crate) struct Plain;

#[cfg(test)]
impl Opaque for Plain {
    fn opaque(value: u32) -> u32 {
        value
    }
}

#[cfg(test)]
mod tests;
