//! Making a change: a patch of 64 bytes at a time.

use core::marker::PhantomData;

use crate::{
    bounds::{EXCERPT, PATCH},
    branchless::{differ, present},
    direction::Direction,
    event::EXCERPT_MORE,
    host::{Host, Step},
    reason::Reason,
    work::Work,
};

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
            work.state.session.masks_banner |= differ::<H, _>(&work.old, &work.new);
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

/// Copies the old and the new bytes into the current event.
#[inline(always)]
pub(crate) fn show<H: Host>(work: &mut Work, from: u32, to: u32, shows: u8) {
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
