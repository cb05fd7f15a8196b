//! Atomic operations on 64 bits, which the target has and `core` does not offer for it.

use core::{arch::asm, sync::atomic::AtomicU64};

/// Reads a word that others may write.
#[inline(always)]
pub fn load(word: &AtomicU64) -> u64 {
    // SAFETY: an aligned load of 64 bits is one access on every machine that runs eBPF.
    unsafe { word.as_ptr().read_volatile() }
}

/// Writes a word that others may read.
#[inline(always)]
pub fn store(word: &AtomicU64, value: u64) {
    // SAFETY: an aligned store of 64 bits is one access on every machine that runs eBPF.
    unsafe { word.as_ptr().write_volatile(value) }
}

/// Replaces `old` by `new`; `false` if the word has another value. Fully ordered.
#[inline(always)]
pub fn compare_exchange(word: &AtomicU64, old: u64, new: u64) -> bool {
    let mut found = old;
    // SAFETY: one instruction on the word's own 64 bits.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word.as_ptr(),
            new = in(reg) new,
            inout("r0") found,
            options(nostack),
        );
    }
    found == old
}

/// Writes a word, fully ordered.
#[inline(always)]
pub fn publish(word: &AtomicU64, value: u64) {
    // SAFETY: one instruction on the word's own 64 bits; an exchange is fully ordered.
    unsafe {
        asm!(
            "{value} = xchg_64({word} + 0, {value})",
            word = in(reg) word.as_ptr(),
            value = inout(reg) value => _,
            options(nostack),
        );
    }
}

/// Sets bits.
#[inline(always)]
pub fn set(word: &AtomicU64, bits: u64) {
    // SAFETY: one instruction on the word's own 64 bits.
    unsafe {
        asm!("lock *(u64 *)({word} + 0) |= {bits}", word = in(reg) word.as_ptr(), bits = in(reg) bits, options(nostack));
    }
}

/// Clears all other bits.
#[inline(always)]
pub fn retain(word: &AtomicU64, bits: u64) {
    // SAFETY: one instruction on the word's own 64 bits.
    unsafe {
        asm!("lock *(u64 *)({word} + 0) &= {bits}", word = in(reg) word.as_ptr(), bits = in(reg) bits, options(nostack));
    }
}
