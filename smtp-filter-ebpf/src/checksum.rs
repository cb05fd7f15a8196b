//! What the frame's checksums say, and the sum of a segment.

use core::{ffi::c_void, ptr::null_mut};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_CSUM_LEVEL_DEC, BPF_CSUM_LEVEL_INC, BPF_CSUM_LEVEL_QUERY},
    helpers::{bpf_csum_diff, bpf_csum_level, bpf_csum_update, bpf_skb_load_bytes},
};
use smtp_filter_common::{
    branchless::Opaque as _,
    host::{FULL, Host as _, MADE, Piece, Step, UNKNOWN},
};

use crate::{host::Kernel, replay};

/// Bytes that are summed at once: as many as `bpf_csum_diff` takes on every kernel since 6.1. A power of two.
const CHUNK: u32 = 512;
/// Longest segment that is summed; merged segments are not.
const SUMMED: u32 = 1 << 16;

/// Sums a segment, chunk by chunk.
struct Sum {
    skb: *mut __sk_buff,
    /// Offset of the TCP header.
    header: u32,
    /// Bytes from there.
    length: u32,
    /// Room for a chunk.
    piece: *mut u64,
    /// Sum so far; negative: the kernel could not fetch the bytes.
    sum: i64,
}

impl Step for Sum {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let at = index * CHUNK;
        if at >= self.length {
            return true;
        }
        let left = self.length - at;
        let whole = left >= CHUNK;
        let less = if whole { CHUNK - 1 } else { Kernel::opaque(left.wrapping_sub(1)) & (CHUNK - 1) };
        let offset = self.header.wrapping_add(at);
        let chunk = self.piece.cast::<u8>();
        // SAFETY: a piece has room for CHUNK bytes and more; the length is at most that.
        if unsafe { bpf_skb_load_bytes(self.skb.cast::<c_void>(), offset, chunk.cast::<c_void>(), less + 1) } != 0 {
            self.sum = -1;
            return true;
        }
        let mut i = 1;
        while i < 4 {
            // SAFETY: as above.
            unsafe { chunk.add((less + i) as usize).write(0) };
            i += 1;
        }
        // Up to the next multiple of 4.
        let words = (less & !3) + 4;
        // SAFETY: as above.
        let sum = unsafe { bpf_csum_diff(null_mut(), 0, chunk.cast::<u32>(), words, self.sum as u32) };
        // Negative values are errors; a sum has 32 bits.
        self.sum = sum;
        sum < 0 || !whole
    }
}

/// The sum of `length` bytes from the TCP header on, which is at `header` in the frame: see
/// [`smtp_filter_common::host::Host::sum`].
#[inline(always)]
pub fn sum(skb: *mut __sk_buff, header: u32, length: u32, piece: &mut Piece) -> Option<u16> {
    let mut sum = Sum { skb, header, length, piece: piece.as_mut_ptr(), sum: 0 };
    Kernel::run_steps(SUMMED / CHUNK + 1, &mut sum);
    if sum.sum < 0 {
        return None;
    }
    let folded = (sum.sum & 0xffff) + (sum.sum >> 16 & 0xffff);
    Some(u16::from_be((folded + (folded >> 16)) as u16))
}

/// What is known of the frame's checksums: see [`smtp_filter_common::host::Host::carried`].
#[inline(always)]
pub fn carried(skb: *mut __sk_buff) -> u8 {
    if replay::is_on() {
        return UNKNOWN;
    }
    // SAFETY: the context is the kernel's.
    if unsafe { (*skb).gso_size } != 0 {
        return MADE;
    }
    // SAFETY: the helper takes the context and reports on it.
    let level = |what: u32| unsafe { bpf_csum_level(skb, what as u64) };
    if level(BPF_CSUM_LEVEL_QUERY) >= 0 {
        return MADE;
    }
    // Nothing says whether the checksum has been verified. But the kernel lets this level be raised, and lowered
    // again, only if it has not.
    level(BPF_CSUM_LEVEL_INC);
    if level(BPF_CSUM_LEVEL_QUERY) >= 0 {
        level(BPF_CSUM_LEVEL_DEC);
        return FULL;
    }
    // SAFETY: adds nothing to the sum over the frame if the device computed one; otherwise it fails.
    let summed = unsafe { bpf_csum_update(skb, 0) } >= 0;
    // Neither verified nor summed: it will be computed later.
    if summed { FULL } else { MADE }
}
