//! Out-of-order segments of mail data. Dropping them would cost nearly all throughput under loss or reordering, so they pass
//! where no end of data is possible in them, whatever stands before; their ranges are remembered until the gap fills: a few
//! in the entry, and where there are more in a slot of the shared pool.
//!
//! A segment whose first bytes would end the mail data after one certain state (`\r\n` after a dot at a line's start) passes as
//! well, for it is next to never so; what follows them would be commands. That state is remembered with the range as barred, and
//! the segment that fills the gap does not pass if it ends in it. One that goes beyond the range's start does not pass either: it
//! would have to be remembered which state it has there. From the moment that the gap is filled the state at the range's start is
//! a known one, and is remembered like any other.
//!
//! A range in the pool is never removed when it is read: one that ends at `Half::next` or before is over, and its place is
//! used again by the next one that is added.

use super::{ahead, later, marks, pool};
use crate::{
    entry::Memory,
    event::CLIENT,
    host::{Host, List, Step},
    limits::{EARLY, RANGES},
    reason::Reason,
    smtp::text,
    work::Work,
};

/// Range in use.
const USED: u8 = 0x80;
/// The state in a range's byte.
const STATE: u8 = 0x0f;
/// And what is barred before the range: one less than the state, or 0 for none.
const BARRED: u8 = 0x30;
const _: () = assert!(text::LINE - 1 == 1 && text::DOT_CR - 1 == 3);
/// In the pool a range is one word: start, length in 27 bits, what is barred in 2, state in 3.
const LENGTH: u32 = (1 << 27) - 1;
/// Shorter segments that might end the mail data wait for what comes before them: a client may have sent its QUIT with the end.
pub const LONG: u32 = 16;
/// No range.
const NONE: u32 = u32::MAX;

/// What an out-of-order segment is to the ranges that are there: apart from all.
pub const APART: u32 = 0;
/// Right after one, whose state at its end is known.
pub const AFTER: u32 = 1;
/// Inside one.
pub const INSIDE: u32 = 2;
/// Across the border of one.
pub const ACROSS: u32 = 3;

/// What a look at the ranges came to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// [`APART`] and the others.
    pub place: u32,
    /// With [`AFTER`], the state before the segment; else [`text::END`].
    pub before: u32,
    /// The range that ends where the segment begins.
    left: u32,
    /// The range that begins where the segment ends.
    right: u32,
    /// One that is not in use.
    free: u32,
    /// Ranges in the pool, up to the last one in use.
    last: u32,
    /// The sequence number that joining has reached.
    pub reached: u32,
    /// The scanner's state there.
    pub text: u32,
    /// Not 0: the bytes up to there ended inside a range where an end of data may be under way: how that goes on is not
    /// known any more.
    pub astray: u32,
    /// The range that is looked at next.
    cursor: u32,
    /// Ranges that were looked at since one was joined.
    quiet: u32,
    /// Not 0: what was read ends inside a range.
    pub inside: u32,
    /// The state that is barred where the segment ends (0: none): a range begins there. With [`INSIDE`], where both begin.
    pub barred: u32,
    /// The state that is barred before the segment, if it becomes a range of its own.
    pub barred_before: u32,
}

/// Values of [`Found::astray`]: the segment has to wait.
const WAITS: u32 = 1;
/// It would complete an end of data, after which others have passed.
pub const ENDS: u32 = 2;

/// The state that is barred before a range, or 0.
#[inline(always)]
const fn barred(state: u8) -> u32 {
    let code = (state & BARRED) >> 4;
    (code + (code != 0) as u8) as u32
}

/// The same as it is remembered.
#[inline(always)]
const fn bar(barred: u32) -> u8 {
    (barred as u8).saturating_sub(1) << 4 & BARRED
}

/// How many ranges there may be, those in the entry first.
#[inline(always)]
pub const fn count(memory: &Memory) -> u32 {
    EARLY as u32 + memory.ranges as u32
}

/// The word of a slot for range `index`, which is not in the entry.
#[inline(always)]
fn word<H: Host>(list: &mut List, index: u32) -> &mut u64 {
    &mut list[H::opaque(index.wrapping_sub(EARLY as u32)) as usize & (RANGES - 1)]
}

/// Start and end of a range, and the state at its end with [`USED`]; 0 where it is not in use or ends at `next` or before.
#[inline(always)]
fn range<H: Host>(host: &mut H, memory: &Memory, index: u32, next: u32) -> (u32, u32, u8) {
    if index < EARLY as u32 {
        let i = H::opaque(index) as usize & (EARLY - 1);
        return (memory.early_start[i], memory.early_end[i], memory.early_state[i]);
    }
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return (0, 0, 0) };
    let word = *word::<H>(list, index);
    let (start, length) = (word as u32, (word >> 32) as u32 & LENGTH);
    let end = start.wrapping_add(length);
    let state = (word >> 61) as u8 | (word >> 55) as u8 & BARRED | USED;
    (start, end, if length != 0 && ahead(end, next) > 0 { state } else { 0 })
}

/// The end of a range, and the state there; [`text::END`] where it is not in use.
#[inline(always)]
pub fn end<H: Host>(host: &mut H, memory: &Memory, index: u32, next: u32) -> (u32, u8) {
    let (_, end, state) = range(host, memory, index, next);
    (end, if state & USED != 0 { state & STATE } else { text::END })
}

impl Memory {
    /// Whether any bytes after an end of data at `at` have passed out of order, or others in its place: no range that ends
    /// there would have passed with it.
    #[inline(always)]
    pub fn has_early_behind(&self, at: u32) -> bool {
        let mut used = 0;
        let mut i = 0;
        while i < EARLY {
            let behind = ahead(self.early_end[i], at) >= 0;
            used |= if behind { self.early_state[i] } else { 0 };
            i += 1;
        }
        used & USED != 0 || self.ranges != 0 && ahead(self.top_range, at) >= 0
    }

    /// Whether any bytes have passed out of order.
    #[inline(always)]
    pub fn has_early(&self) -> bool {
        let mut used = 0;
        let mut i = 0;
        while i < EARLY {
            used |= self.early_state[i];
            i += 1;
        }
        used & USED != 0 || self.ranges != 0
    }

    /// Forgets all ranges.
    #[inline(always)]
    pub fn forget_early(&mut self) {
        self.early_state = [0; EARLY];
        self.ranges = 0;
    }
}

/// A segment among the ranges.
struct Search<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    start: u32,
    end: u32,
}

impl<H: Host> Step for Search<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let next = work.state.half[CLIENT as usize].next;
        let (from, to, state) = range(host, &work.state.memory, index, next);
        let found = &mut work.run.ranges;
        if state & USED == 0 {
            found.free = if found.free == NONE { index } else { found.free };
            return false;
        }
        found.last = (index + 1).saturating_sub(EARLY as u32);
        if self.start == to {
            found.left = index;
            found.place |= AFTER;
            found.before = (state & STATE) as u32;
        } else if self.end == from {
            found.right = index;
            found.barred = barred(state);
        } else if ahead(self.end, from) > 0 && ahead(self.start, to) < 0 {
            let inside = ahead(self.start, from) >= 0 && ahead(self.end, to) <= 0;
            found.place = if inside { INSIDE } else { ACROSS };
            found.barred = if self.start == from { barred(state) } else { 0 };
            return true;
        }
        false
    }
}

/// Where `start..end` lies among the ranges: `run.ranges` tells.
#[inline(never)]
pub fn search<H: Host>(host: &mut H, work: &mut Work, start: u32, end: u32) -> bool {
    work.run.ranges = Found::NONE;
    let count = count(&work.state.memory);
    H::repeat(count, &mut Search { host, work, start, end });
    true
}

/// Puts a range, or (`state` 0) none, at `index`.
#[inline(always)]
fn put<H: Host>(host: &mut H, work: &mut Work, index: u32, (start, end): (u32, u32), state: u8) -> bool {
    let memory = &mut work.state.memory;
    if index < EARLY as u32 {
        let i = H::opaque(index) as usize & (EARLY - 1);
        memory.early_start[i] = start;
        memory.early_end[i] = end;
        memory.early_state[i] = state;
        return true;
    }
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return false };
    let length = if state == 0 { 0 } else { end.wrapping_sub(start) };
    *word::<H>(list, index) =
        start as u64 | (length as u64) << 32 | ((state & BARRED) as u64) << 55 | (state as u64) << 61;
    true
}

/// Remembers `start..end`, which [`search`] has just found to be apart from all ranges or right after one, with the state at
/// its end. `false` where no more are remembered. What is written into the pool counts at once: the segment passes then.
#[inline(never)]
pub fn add<H: Host>(host: &mut H, work: &mut Work, start: u32, end: u32, state: u8) -> bool {
    let (mut start, mut end, mut state) = (start, end, state);
    let next = work.state.half[CLIENT as usize].next;
    let Found { left, right, free, last, barred_before, .. } = work.run.ranges;
    let mut before = bar(barred_before);
    let memory = &work.state.memory;
    let fresh = if free == NONE { count(memory) } else { free };
    let index = if left != NONE {
        left
    } else if right != NONE {
        right
    } else {
        fresh
    };
    if index >= (EARLY + RANGES) as u32 {
        return false;
    }
    if left != NONE {
        let (from, _, behind) = range(host, memory, left, next);
        (start, before) = (from, behind & BARRED);
    }
    if right != NONE {
        let (_, to, behind) = range(host, memory, right, next);
        (end, state) = (to, behind & STATE);
    }
    if end.wrapping_sub(start) > LENGTH {
        return false;
    }
    if index >= EARLY as u32 && !need_slot(host, work) {
        return false;
    }
    if left != NONE && right != NONE && !put(host, work, right, (start, start), 0) {
        return false;
    }
    let used = index.wrapping_sub(EARLY as u32).wrapping_add(1);
    let memory = &mut work.state.memory;
    if index >= EARLY as u32 {
        memory.top_range = if memory.ranges == 0 { end } else { later(memory.top_range, end) };
        memory.ranges = if last > used { last } else { used } as u16;
    }
    put(host, work, index, (start, end), state | before | USED)
}

/// Sees to it that the connection has a slot for ranges and boundaries; `false` where none is free.
#[inline(always)]
pub fn need_slot<H: Host>(host: &mut H, work: &mut Work) -> bool {
    if work.state.memory.slot == 0 {
        work.state.memory.slot = pool::take(host, &work.key, pool::PLACES);
        if work.state.memory.slot == 0 {
            work.hold_back(Reason::Pool);
            return false;
        }
    }
    true
}

/// Forgets what is over, gives back a slot that was not needed any more when the last segment had passed, and sees to it that
/// another one is still there. A dropped segment leaves the state as it was: what it had forgotten is forgotten anew.
#[inline(never)]
pub fn look_after<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let next = work.state.half[CLIENT as usize].next;
    let memory = &mut work.state.memory;
    if memory.ranges | memory.boundaries == 0 {
        pool::release(host, memory.slot, pool::PLACES);
        work.state.memory.slot = 0;
        return true;
    }
    if memory.ranges != 0 && ahead(next, memory.top_range) >= 0 {
        memory.ranges = 0;
    }
    if pool::holds(host, memory.slot, pool::PLACES) {
        marks::forget_first(host, work);
        return true;
    }
    let memory = &mut work.state.memory;
    if memory.ranges != 0 || ahead(work.run.acknowledged, next) < 0 {
        work.hold_back(Reason::Forgotten);
        return false;
    }
    memory.slot = 0;
    memory.boundaries = 0;
    true
}

/// The gap before a range may be filled.
struct Join<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    /// Where reading stood before the segment.
    next: u32,
}

impl<H: Host> Step for Join<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (start, end, state) = range(host, &work.state.memory, work.run.ranges.cursor, self.next);
        let count = count(&work.state.memory);
        let found = &mut work.run.ranges;
        found.cursor = if found.cursor + 1 >= count { 0 } else { found.cursor + 1 };
        found.quiet += 1;
        if state & USED != 0 && ahead(start, found.reached) <= 0 && ahead(end, found.reached) > 0 {
            let barred = barred(state);
            found.barred |= barred;
            found.astray |= if barred != 0 && barred == found.text { ENDS } else { 0 };
            found.reached = end;
            found.text = (state & STATE) as u32;
            found.quiet = 0;
        }
        found.quiet >= count
    }
}

/// A range in which, or at whose end, what was read ends.
struct Border<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    next: u32,
}

impl<H: Host> Step for Border<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (start, end, state) = range(host, &work.state.memory, index, self.next);
        let found = &mut work.run.ranges;
        if state & USED == 0 || ahead(start, found.reached) >= 0 {
            return false;
        }
        // Which state the segment has at the range's start would have to be remembered.
        found.astray |= (barred(state) != 0) as u32 * WAITS;
        if ahead(end, found.reached) < 0 {
            return found.astray != 0;
        }
        // At a range's end, and close before it, the state there tells that of the first copy; elsewhere nothing
        // may be under way.
        let known = marks::under_way::<H>(state & STATE, end.wrapping_sub(found.reached));
        let expected = if known == text::END { text::MIDDLE } else { known };
        found.astray |= (found.text != expected as u32) as u32 * WAITS;
        found.inside |= (end != found.reached) as u32;
        found.astray != 0
    }
}

/// Rounds over the ranges: those in the entry and those in the pool may touch one another in turns.
const ROUNDS: u32 = 2 * EARLY as u32 + 2;

/// Joins the ranges that have been reached: `run.ranges` tells how far. Before the segment reading stood at `next`.
#[inline(never)]
pub fn join<H: Host>(host: &mut H, work: &mut Work, next: u32) -> bool {
    let count = count(&work.state.memory);
    let (reached, text) = (work.state.half[CLIENT as usize].next, work.state.memory.text as u32);
    work.run.ranges = Found { reached, text, ..Found::NONE };
    H::repeat(count, &mut Border { host: &mut *host, work: &mut *work, next });
    H::repeat(count * ROUNDS, &mut Join { host, work, next });
    let reached = work.run.ranges.reached;
    let memory = &mut work.state.memory;
    let mut i = 0;
    while i < EARLY {
        let over = ahead(memory.early_start[i], reached) <= 0;
        memory.early_state[i] = if over { 0 } else { memory.early_state[i] };
        i += 1;
    }
    true
}

impl Found {
    /// Where a look at lines of chunks stands: number of the word, and which of the chunks alike.
    #[inline(always)]
    pub const fn line(&self) -> (u32, u32) {
        (self.cursor, self.quiet)
    }

    /// Sets it.
    #[inline(always)]
    pub const fn set_line(&mut self, number: u32, which: u32) {
        self.cursor = number;
        self.quiet = which;
    }

    /// Nothing looked at.
    pub const NONE: Self = Self {
        place: APART,
        before: text::END as u32,
        left: NONE,
        right: NONE,
        free: NONE,
        last: 0,
        reached: 0,
        text: 0,
        astray: 0,
        cursor: 0,
        quiet: 0,
        inside: 0,
        barred: 0,
        barred_before: 0,
    };
}
