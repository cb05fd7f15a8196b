//! Rewriting in place: bytes change, their number never (I5).
//!
//! The pass that judges only notes that something is to be rewritten; the pass that reports does it.

use core::marker::PhantomData;

use crate::{
    bounds::{EXCERPT, PATCH},
    branchless::same,
    direction::Direction,
    event::EXCERPT_MORE,
    host::{Host, Patch, Step},
    reason::Reason,
    work::Work,
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

/// The same byte eight times.
const fn all(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

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
    fn word<H: Host>(&self, at: u32, old: u64) -> u64 {
        const NOOP: u64 = u32::from_le_bytes(*b"NOOP") as u64;
        let before = self.from.wrapping_sub(at);
        let filled = (old & all(self.keep)) ^ all(self.fill);
        // The first patch begins at most three bytes before the change, so the four letters lie in its first word.
        let letters = between::<H>(before, before.wrapping_add(4)) & all(self.noop).wrapping_mul(0xff);
        let filled = (filled & !letters) | (NOOP << ((self.from & 3) * 8) & letters);
        let stays = (is(old, b'2') | is(old, b'0')) & all(self.digits).wrapping_mul(0xff);
        let inside = between::<H>(before, self.to.wrapping_sub(at)) & !stays;
        let new = (old & !inside) | (filled & inside);
        let end = self.crlf.wrapping_sub(at);
        let cr = between::<H>(end, end.wrapping_add(1)) & inside;
        let lf = between::<H>(end.wrapping_add(1), end.wrapping_add(2)) & inside;
        (new & !(cr | lf)) | (all(b'\r') & cr) | (all(b'\n') & lf)
    }
}

/// Computes the words of a patch, one by one.
struct Words<'a, H> {
    work: &'a mut Work,
    /// Offset in the payload of the patch.
    start: u32,
    length: u32,
    host: PhantomData<H>,
}

impl<H: Host> Step for Words<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let work = &mut *self.work;
        let i = index as usize & (PATCH / 8 - 1);
        let there = present::<H>(self.length.wrapping_sub(index * 8));
        let old = work.old[i] & there;
        work.old[i] = old;
        work.new[i] = work.change.word::<H>(self.start.wrapping_add(index * 8), old) & there;
        false
    }
}

/// 0xff in every byte that equals `byte`.
#[inline(always)]
const fn is(word: u64, byte: u8) -> u64 {
    let differs = word ^ all(byte);
    let nonzero = (((differs & all(0x7f)) + all(0x7f)) | differs) & all(0x80);
    ((nonzero ^ all(0x80)) >> 7).wrapping_mul(0xff)
}

/// 0xff in the first `left` bytes of a word: in none if it is negative, in all if it is eight or more. The sign bits
/// are hidden from the compiler, which would otherwise make jumps of them.
#[inline(always)]
pub(crate) fn present<H: Host>(left: u32) -> u64 {
    let below = H::opaque(((left as i32) >> 31) as u32);
    let left = left & !below;
    let whole = H::opaque(((7_u32.wrapping_sub(left) as i32) >> 31) as u32) as i32 as i64 as u64;
    (1_u64 << ((left & 7) * 8)).wrapping_sub(1) | whole
}

/// 0xff in the bytes `from..to` of a word; either may lie outside.
#[inline(always)]
pub(crate) fn between<H: Host>(from: u32, to: u32) -> u64 {
    present::<H>(to) & !present::<H>(from)
}

struct Patches<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Patches<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let change = &{ work.change };
        let start = (change.from & !3).wrapping_add(index * PATCH as u32);
        if start >= change.to || change.to > work.segment.length {
            return true;
        }
        let length = patch_length(change.to, start, work.segment.length);
        if !host.fetch_patch(start, length, &mut work.old) {
            work.hold_back(Reason::Unfetched);
            return true;
        }
        H::run_steps(PATCH as u32 / 8, &mut Words::<H> { work, start, length, host: PhantomData });
        // Read again instead of kept over the loop: the stack is small here.
        let change = &{ work.change };
        if change.digits != 0 {
            work.state.session.masks_banner |= changes::<H>(&work.old, &work.new);
        }
        if change.only_checks != 0 {
            return false;
        }
        if index == 0 && change.shows != 0 {
            show::<H>(work, change.from, change.to, change.shows);
        }
        if !host.replace(start, length, &work.old, &work.new) {
            work.hold_back(Reason::Unfetched);
            return true;
        }
        false
    }
}

/// Length of the patch at `start` for a change up to `to`: rounded up to a multiple of 4 if the payload is long enough.
#[inline(always)]
pub(crate) const fn patch_length(to: u32, start: u32, payload: u32) -> u32 {
    let wanted = (to - start + 3) & !3;
    let left = payload - start;
    let length = if wanted < left { wanted } else { left };
    if length < PATCH as u32 { length } else { PATCH as u32 }
}

/// 1 where the patches differ. Without a branch.
#[inline(always)]
pub(super) fn changes<H: Host>(old: &Patch, new: &Patch) -> u8 {
    let (mut differs, mut i) = (0_u64, 0);
    while i < PATCH / 8 {
        differs |= H::opaque_word(old[i] ^ new[i]);
        i += 1;
    }
    ((differs | H::opaque_word(differs.wrapping_neg())) >> 63) as u8
}

/// Copies the old and the new bytes into the current event.
#[inline(always)]
pub(super) fn show<H: Host>(work: &mut Work, from: u32, to: u32, shows: u8) {
    let shift = (from & 3) * 8;
    let mut i = 0;
    while i < EXCERPT / 8 {
        let old = (work.old[i] >> shift) | (work.old[i + 1] << 1) << (63 - shift);
        let new = (work.new[i] >> shift) | (work.new[i + 1] << 1) << (63 - shift);
        let shown = present::<H>((shows as u32).wrapping_sub(i as u32 * 8));
        let (old, new) = ((old & shown).to_le_bytes(), (new & shown).to_le_bytes());
        let mut k = 0;
        while k < 8 {
            work.event.excerpt[i * 8 + k] = old[k];
            work.event.became[i * 8 + k] = new[k];
            k += 1;
        }
        i += 1;
    }
    let more = if to.wrapping_sub(from) > shows as u32 { EXCERPT_MORE } else { 0 };
    work.event.excerpt_length = shows | more;
    work.event.became_length = shows | more;
}

/// Makes the requested change in direction `D`.
#[inline(always)]
pub fn make<H: Host, D: Direction>(host: &mut H, work: &mut Work) -> bool {
    let change = &{ work.change };
    work.change.pending = 0;
    work.tally.rewrites = 1;
    if change.to <= change.from {
        return true;
    }
    if change.only_checks == 0 {
        let side = &mut work.state.side[D::INDEX];
        side.rewrote = 1;
        side.rewritten = work.segment.sequence_at(change.to);
    }
    if work.tally.reporting != 0 {
        let patches = (change.to - (change.from & !3)) / PATCH as u32 + 1;
        H::run_steps(patches, &mut Patches { host, work });
    }
    !work.is_blocked()
}

/// Where a line and its word lie in the current segment: offsets in the payload.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// First new byte of the line.
    pub from: u32,
    /// End of the line without its LF.
    pub to: u32,
    /// First letter of the word. If an earlier segment had it, it wraps to a value far beyond the payload.
    pub word: u32,
    /// After the last letter of the word; wraps likewise.
    pub word_end: u32,
}

impl Span {
    /// For the current line of a side, as far as it was read; `before` is the number of bytes before its word.
    #[inline(always)]
    pub fn of(work: &Work, side: usize, before: u32) -> Self {
        let (line, at) = (&work.state.line[side], work.reading.at);
        let start = work.segment.offset_of(line.start);
        let first = work.reading.first;
        // The line began before the first new byte: its start wrapped, or is among the retransmitted bytes.
        let from = if start.wrapping_sub(first) as i32 >= 0 { start } else { first };
        let word = start.wrapping_add(before);
        Self { from, to: at - line.done() as u32, word, word_end: word.wrapping_add(line.word_length as u32) }
    }

    /// Whether the first letters of the word can still be changed.
    #[inline(always)]
    pub const fn has_word(&self, from: u32) -> bool {
        self.word.wrapping_sub(from) as i32 >= 0
    }

    /// Whether overwriting the available bytes turns the word into another one: its last letter is among them, or a
    /// byte after it that is not part of the line's end. `last` is the number of bytes (0 or 1) of the line's end that
    /// are available, not counting the LF.
    #[inline(always)]
    pub const fn breaks_word(&self, last: u32) -> bool {
        let letter = self.word_end.wrapping_sub(1).wrapping_sub(self.from) as i32 >= 0;
        let after = self.word_end.wrapping_sub(self.from) as i32 >= 0
            && self.to.wrapping_sub(last).wrapping_sub(self.word_end) as i32 > 0;
        letter || after
    }
}

/// Whether the last byte before a line's LF, at offset `to - 1`, is a CR: 1 or 0.
#[inline(always)]
pub fn ends_with_cr<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32) -> u32 {
    if to <= from {
        return 0;
    }
    work.old[0] = 0;
    if !host.fetch_patch(to - 1, 1, &mut work.old) {
        return 0;
    }
    same::<H>(work.old[0] as u32 & 0xff, b'\r' as u32)
}
