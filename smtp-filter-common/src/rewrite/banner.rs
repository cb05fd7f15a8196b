//! Masking of the banner. In every line the code, its separator and the line's end are kept, and what the policy shows.

use crate::{
    bounds::PATCH,
    branchless::{choose, choose_number, differ, less, present, same},
    direction::{Direction as _, Server},
    host::{Host, Patch, Step},
    policy::{Policy, SHOW_ALL, SHOW_HOST, SHOW_PIX},
    reason::Reason,
    report,
    rewrite::{Change, Span, ends_with_cr, patch_length, show},
    session::reply_line::BEFORE,
    work::Work,
};

const SIDE: usize = Server::INDEX;
/// `Session::banner`: before the host name.
pub const BEFORE_HOST: u8 = 0;
/// `Session::banner`: in the host name.
pub const IN_HOST: u8 = 1;
/// `Session::banner`: after the host name and white space.
pub const AFTER_SPACE: u8 = 2;
/// `Session::banner`: after the host name, in a word.
pub const IN_WORD: u8 = 3;

/// Masks the current line of the banner, as far as it has arrived; `false` if there is a verdict against it in
/// `block.action`.
#[inline(never)]
pub fn mask<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let masks = policy.banner != SHOW_ALL;
    let line = &work.state.line[SIDE];
    let done = line.done();
    if masks && done && line.head as u8 != b'-' {
        // One event, with the last line of the banner, covers all its lines.
        report::banner(policy, work);
        work.tally.unreported = 1;
    }
    if masks {
        let Span { from, to, .. } = Span::of(work, SIDE, BEFORE);
        if policy.banner == SHOW_PIX {
            digits(host, policy, work, from, to);
        } else {
            words(host, policy, work, from, to);
        }
    }
    if done {
        work.state.session.banner = AFTER_SPACE;
        work.state.session.esmtp = 0;
    }
    !work.is_blocked()
}

/// Masks payload `from..to` except for the digits 2 and 0.
#[inline(always)]
fn digits<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, from: u32, to: u32) {
    let head = work.segment.offset_of(work.state.line[SIDE].start).wrapping_add(BEFORE);
    let from = if head.wrapping_sub(from) as i32 > 0 { head } else { from };
    if to.wrapping_sub(from) as i32 > 0 {
        let cr = ends_with_cr(host, work, from, to);
        let change = Change { digits: 1, ..Change::fill(from, to - cr, b'*') };
        work.change = if policy.enforces() { change.reported() } else { change.only_checked() };
    }
}

/// Masks payload `from..to` except for the host name and, if it is to be shown, the word ESMTP.
#[inline(always)]
fn words<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, from: u32, to: u32) {
    work.tally.rewrites = 1;
    if to <= from {
        return;
    }
    let enforces = policy.enforces();
    if enforces {
        let side = &mut work.state.side[SIDE];
        side.rewrote = 1;
        side.rewritten = work.segment.sequence_at(to);
    }
    let start = work.segment.offset_of(work.state.line[SIDE].start);
    work.reading.banner_kept = from;
    // verifier: one loop for both cases, so that it is walked once.
    let esmtp = work.unknown::<H>((policy.banner == SHOW_HOST) as u8) as u32;
    let enforces = work.unknown::<H>(enforces as u8);
    H::run_steps(to - (from & !3), &mut Bytes { host, work, from, to, start, esmtp, enforces });
}

struct Bytes<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: u32,
    to: u32,
    /// Offset of the line's first byte; it may lie before the payload.
    start: u32,
    esmtp: u32,
    enforces: u8,
}

/// 1 for a byte that separates words.
#[inline(always)]
fn space<H: Host>(byte: u8) -> u32 {
    less::<H>(byte as u32, 0x21) | same::<H>(byte as u32, 0x7f)
}

impl<H: Host> Bytes<'_, H> {
    /// `begun` characters of ESMTP have been read. Returns how many characters at this position (offset in the payload,
    /// and in the patch, which ends at `end`) continue it; 0 if the word is another one. It is enough that the bytes
    /// before `to` match: bytes that have not arrived cannot be judged.
    #[inline(always)]
    fn continues_esmtp(&self, (at, offset, end): (u32, u32, u32), begun: u32) -> u32 {
        const ESMTP: u64 = u64::from_le_bytes(*b"esmtp\0\0\0");
        let (i, shift) = ((offset >> 3) as usize, (offset & 7) * 8);
        let (low, high) = (self.work.old[i & (PATCH / 8 - 1)], self.work.old[(i + 1) & (PATCH / 8 - 1)]);
        let bytes = (low >> shift) | (high << 1) << (63 - shift);
        let wanted = 5_u32.wrapping_sub(begun);
        let end = choose_number::<H>(H::opaque(end.wrapping_sub(self.to) >> 31), end, self.to);
        let left = end.wrapping_sub(at);
        let whole = H::opaque(wanted.wrapping_sub(left) >> 31);
        let count = choose_number::<H>(whole, wanted, left);
        let mask = present::<H>(count);
        let differs = ((bytes | 0x2020_2020_2020_2020) ^ (ESMTP >> ((begun & 7) * 8))) & mask;
        let after = space::<H>((bytes >> ((wanted & 7) * 8)) as u8);
        if differs == 0 && (whole == 0 || after != 0) { count } else { 0 }
    }
}

impl<H: Host> Step for Bytes<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let patch = (self.from & !3).wrapping_add(index & !(PATCH as u32 - 1));
        let offset = index & (PATCH as u32 - 1);
        let at = patch.wrapping_add(offset);
        if at >= self.to || self.to > self.work.segment.length {
            return true;
        }
        // verifier: forgets how the value came about.
        let length = patch_length(self.to, patch, self.work.segment.length);
        let length = self.work.unknown_number::<H>(length);
        if offset == 0 {
            clear(&mut self.work.old);
            if !self.host.fetch_patch(patch, length, &mut self.work.old) {
                self.work.hold_back(Reason::Unfetched);
                return true;
            }
            self.work.new = self.work.old;
        }
        let (i, shift) = ((offset >> 3) as usize & (PATCH / 8 - 1), (offset & 7) * 8);
        let byte = (self.work.old[i] >> shift) as u8;
        let head = at.wrapping_sub(self.start).wrapping_sub(BEFORE) >> 31;
        if at >= self.from && head == 0 {
            let shown = self.shown((at, offset, patch.wrapping_add(length)), byte);
            self.work.new[i] ^= ((choose::<H>(shown, byte, b'X') ^ byte) as u64) << shift;
        }
        // verifier: one path, whatever the byte was.
        let goes_on = (offset + 1 < PATCH as u32 && at + 1 < self.to || self.work.tally.reporting == 0) as u8;
        if self.work.unknown::<H>(goes_on) != 0 {
            return false;
        }
        let (host, work) = (&mut *self.host, &mut *self.work);
        work.state.session.masks_banner |= differ::<H, _>(&work.old, &work.new);
        if self.enforces == 0 {
            return false;
        }
        if patch == self.from & !3 {
            let change = Change::fill(self.from, self.to, b'X').reported();
            show::<H>(work, self.from, self.to, change.shows);
        }
        if !host.replace(patch, length, &work.old, &work.new) {
            work.hold_back(Reason::Unfetched);
        }
        work.is_blocked()
    }
}

/// Zeroes a patch: bytes after those that are fetched have to be 0.
#[inline(always)]
const fn clear(patch: &mut Patch) {
    let mut i = 0;
    while i < PATCH / 8 {
        patch[i] = 0;
        i += 1;
    }
}

impl<H: Host> Bytes<'_, H> {
    /// Whether a byte of the text is kept: 1 or 0. The state before it is kept in the working area, so that the
    /// verifier knows nothing of it.
    #[inline(always)]
    fn shown(&mut self, span: (u32, u32, u32), byte: u8) -> u32 {
        let at = span.0;
        let space = space::<H>(byte);
        let before = self.work.state.session.banner;
        if before <= IN_HOST {
            // White space before the host name does not count as white space after it.
            let after = choose::<H>(before as u32, AFTER_SPACE, BEFORE_HOST);
            self.work.state.session.banner = choose::<H>(space, after, IN_HOST);
            return 1;
        }
        self.work.state.session.banner = choose::<H>(space, AFTER_SPACE, IN_WORD);
        let begun = self.work.state.session.esmtp * (before & 1);
        self.work.state.session.esmtp = begun * (1 ^ space as u8);
        let goes_on = before == AFTER_SPACE || begun != 0 && begun <= 5;
        if space == 0 && goes_on && at.wrapping_sub(self.work.reading.banner_kept) as i32 >= 0 {
            let count = self.continues_esmtp(span, begun as u32) * self.esmtp;
            self.work.reading.banner_kept = at.wrapping_add(count);
            self.work.state.session.esmtp = if count == 0 { u8::MAX } else { begun + count as u8 };
        }
        space | at.wrapping_sub(self.work.reading.banner_kept) >> 31
    }
}
