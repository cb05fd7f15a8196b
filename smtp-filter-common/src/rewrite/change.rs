//! A change: which bytes of a segment, and what replaces them.

use crate::{
    bounds::EXCERPT,
    branchless::{Opaque, all, between, equal_bytes},
};

/// What replaces payload `from..to`. A change is requested in the working area and made in one place of the loop over
/// the segment.
// verifier: it knows nothing of the working area's contents, so it walks that code once.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Offset in the payload of the first byte.
    pub from: u32,
    /// Offset in the payload after the last byte.
    pub to: u32,
    /// Offset in the payload where CRLF is written over everything else; [`NO_END`]: none.
    pub crlf: u32,
    /// Bits of the old byte that are kept.
    pub keep: u8,
    /// Bits that are inverted after that.
    pub fill: u8,
    /// 1: the new text begins with NOOP.
    pub noop: u8,
    /// 1: the digits 2 and 0 are kept.
    pub digits: u8,
    /// 1: it has yet to be made.
    pub pending: u8,
    /// Bytes of it that the current event shows, at most [`EXCERPT`].
    pub shows: u8,
    /// 1: nothing is written; it is only checked whether it would change anything (mode `monitor`).
    pub only_checks: u8,
    /// Zero.
    pub reserved: u8,
}

/// `Change::crlf`: none. It is beyond every payload, and so is the offset after it.
pub const NO_END: u32 = 1 << 30;

impl Change {
    /// Every byte becomes `fill`.
    pub const fn fill(from: u32, to: u32, fill: u8) -> Self {
        Self {
            from,
            to,
            crlf: NO_END,
            keep: 0,
            fill,
            noop: 0,
            digits: 0,
            pending: 1,
            shows: 0,
            only_checks: 0,
            reserved: 0,
        }
    }

    /// No change.
    pub const NONE: Self = Self { pending: 0, ..Self::fill(0, 0, 0) };

    /// The first two letters of EHLO become those of HELO, each in its own case: E and H differ in the same bits in
    /// both cases.
    pub const fn downgrade(at: u32) -> Self {
        Self { keep: 0xff, ..Self::fill(at, at + 2, b'E' ^ b'H') }
    }

    /// Nothing is written; it is only checked.
    #[inline(always)]
    pub const fn only_checked(self) -> Self {
        Self { only_checks: 1, ..self }
    }

    /// The current event shows it.
    #[inline(always)]
    pub const fn reported(self) -> Self {
        self.reported_up_to(self.to)
    }

    /// The current event shows it, up to this offset in the payload.
    #[inline(always)]
    pub const fn reported_up_to(self, end: u32) -> Self {
        let length = end.wrapping_sub(self.from);
        let length = if length as i32 <= 0 { 0 } else { length };
        Self { shows: if length > EXCERPT as u32 { EXCERPT as u8 } else { length as u8 }, ..self }
    }

    /// The new value of the eight bytes at offset `at`.
    #[inline(always)]
    pub(super) fn word<H: Opaque>(&self, at: u32, old: u64) -> u64 {
        const NOOP: u64 = u32::from_le_bytes(*b"NOOP") as u64;
        let before = self.from.wrapping_sub(at);
        let filled = (old & all(self.keep)) ^ all(self.fill);
        // The first patch begins at most three bytes before the change, so the four letters lie in its first word.
        let letters = between::<H>(before, before.wrapping_add(4)) & all(self.noop).wrapping_mul(0xff);
        let filled = (filled & !letters) | (NOOP << ((self.from & 3) * 8) & letters);
        let stays = (equal_bytes(old, b'2') | equal_bytes(old, b'0')) & all(self.digits).wrapping_mul(0xff);
        let inside = between::<H>(before, self.to.wrapping_sub(at)) & !stays;
        let new = (old & !inside) | (filled & inside);
        let end = self.crlf.wrapping_sub(at);
        let cr = between::<H>(end, end.wrapping_add(1)) & inside;
        let lf = between::<H>(end.wrapping_add(1), end.wrapping_add(2)) & inside;
        (new & !(cr | lf)) | (all(b'\r') & cr) | (all(b'\n') & lf)
    }
}
