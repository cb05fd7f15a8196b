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
//! No range touches another one: where a segment fills the gap between two, they become one. Those in the pool are sorted
//! ([`super::sorted`]); one that has been read leaves when the next segment comes.

use super::{ahead, boundaries, later, pool, sorted};
use crate::{
    bounds::{ENTRY_RANGES, POOL_RANGES},
    entry::Memory,
    event::CLIENT,
    host::{Host, Step},
    reason::Reason,
    session::data,
    work::Work,
};

/// Range in use.
const USED: u8 = 0x80;
/// The state in a range's byte.
const STATE: u8 = 0x0f;
/// And what is barred before the range: one less than the state, or 0 for none.
const BARRED: u8 = 0x30;
const _: () = assert!(data::LINE - 1 == 1 && data::DOT_CR - 1 == 3);
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
    /// With [`AFTER`], the state before the segment; else [`data::END`].
    pub before: u32,
    /// The range that ends where the segment begins.
    left: u32,
    /// The range that begins where the segment ends.
    right: u32,
    /// One of the entry that is not in use.
    free: u32,
    /// The sequence number that joining has reached.
    pub reached: u32,
    /// The scanner's state there.
    pub text: u32,
    /// Not 0: the bytes up to there ended inside a range where an end of data may be under way: how that goes on is not
    /// known any more.
    pub astray: u32,
    /// The first range in the pool that is looked at; of chunks, see [`Self::line`].
    cursor: u32,
    /// See [`Self::line`].
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

/// Start and end of a range, and the state at its end with [`USED`]; 0 where it is not in use. Those in the entry come first.
#[inline(always)]
fn range<H: Host>(host: &mut H, memory: &Memory, index: u32) -> (u32, u32, u8) {
    if index < ENTRY_RANGES as u32 {
        let i = H::opaque(index) as usize & (ENTRY_RANGES - 1);
        return (memory.range_start[i], memory.range_end[i], memory.range_state[i]);
    }
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return (0, 0, 0) };
    let number = index - ENTRY_RANGES as u32;
    let word = list[memory.sorted_ranges().index::<H>(number)];
    let state = (word >> 61) as u8 | (word >> 55) as u8 & BARRED | USED;
    (word as u32, sorted::end(word), if number < memory.ranges as u32 { state } else { 0 })
}

/// A range as it lies in the pool: start, length, what is barred in 2 bits, state in 3.
#[inline(always)]
const fn word(start: u32, end: u32, state: u8) -> u64 {
    let length = end.wrapping_sub(start) & sorted::LENGTH;
    start as u64 | (length as u64) << 32 | ((state & BARRED) as u64) << 55 | (state as u64) << 61
}

/// The end of a range, and the state there; [`data::END`] where it is not in use.
#[inline(always)]
pub fn end<H: Host>(host: &mut H, memory: &Memory, index: u32) -> (u32, u8) {
    let (_, end, state) = range(host, memory, index);
    (end, if state & USED != 0 { state & STATE } else { data::END })
}

impl Memory {
    /// Whether any bytes after an end of data at `at` have passed out of order, or others in its place: no range that ends
    /// there would have passed with it.
    #[inline(always)]
    pub fn has_range_after(&self, at: u32) -> bool {
        let mut used = 0;
        let mut i = 0;
        while i < ENTRY_RANGES {
            let behind = ahead(self.range_end[i], at) >= 0;
            used |= if behind { self.range_state[i] } else { 0 };
            i += 1;
        }
        used & USED != 0 || self.ranges != 0 && ahead(self.top_range, at) >= 0
    }

    /// Whether any bytes have passed out of order.
    #[inline(always)]
    pub fn has_ranges(&self) -> bool {
        let mut used = 0;
        let mut i = 0;
        while i < ENTRY_RANGES {
            used |= self.range_state[i];
            i += 1;
        }
        used & USED != 0 || self.ranges != 0
    }

    /// Forgets all ranges.
    #[inline(always)]
    pub fn forget_ranges(&mut self) {
        self.range_state = [0; ENTRY_RANGES];
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
        let index = neighbour(work, index);
        let (from, to, state) = range(host, &work.state.memory, index);
        let found = &mut work.run.ranges;
        if state & USED == 0 {
            found.free = if found.free == NONE && index < ENTRY_RANGES as u32 { index } else { found.free };
            return false;
        }
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

/// The ranges that may be near some place: those in the entry, and two in the pool.
const NEAR: u32 = ENTRY_RANGES as u32 + 2;

/// The range with this number among them.
#[inline(always)]
const fn neighbour(work: &Work, index: u32) -> u32 {
    if index < ENTRY_RANGES as u32 { index } else { index.wrapping_add(work.run.ranges.cursor) }
}

/// How many ranges in the pool end before `at`.
#[inline(always)]
fn before<H: Host>(host: &mut H, work: &Work, at: u32) -> u32 {
    let memory = &work.state.memory;
    if memory.ranges == 0 { 0 } else { sorted::before(host, memory.slot, memory.sorted_ranges(), at) }
}

/// Where `start..end` lies among the ranges: `run.ranges` tells.
#[inline(never)]
pub fn search<H: Host>(host: &mut H, work: &mut Work, start: u32, end: u32) -> bool {
    work.run.ranges = Found { cursor: before(host, work, start), ..Found::NONE };
    H::repeat(NEAR, &mut Search { host, work, start, end });
    true
}

/// Puts a range, or (`state` 0) none, at `index` of the entry.
#[inline(always)]
fn put<H: Host>(memory: &mut Memory, index: u32, (start, end): (u32, u32), state: u8) {
    let i = H::opaque(index) as usize & (ENTRY_RANGES - 1);
    memory.range_start[i] = start;
    memory.range_end[i] = end;
    memory.range_state[i] = state;
}

/// Remembers `start..end`, which [`search`] has just found to be apart from all ranges or right after one, with the state at
/// its end. `false` where no more are remembered. What is written into the pool counts at once: the segment passes then.
#[inline(never)]
pub fn add<H: Host>(host: &mut H, work: &mut Work, start: u32, end: u32, state: u8) -> bool {
    let (mut start, mut end, mut state) = (start, end, state);
    let Found { left, right, free, cursor, barred_before, .. } = work.run.ranges;
    let mut before = bar(barred_before);
    let fresh = if free == NONE { ENTRY_RANGES as u32 + cursor } else { free };
    let index = if left != NONE {
        left
    } else if right != NONE {
        right
    } else {
        fresh
    };
    let in_pool = index >= ENTRY_RANGES as u32;
    let is_new = left & right == NONE;
    if in_pool && is_new && work.state.memory.ranges as usize >= POOL_RANGES {
        return false;
    }
    if left != NONE {
        let (from, _, behind) = range(host, &work.state.memory, left);
        (start, before) = (from, behind & BARRED);
    }
    if right != NONE {
        let (_, to, behind) = range(host, &work.state.memory, right);
        (end, state) = (to, behind & STATE);
    }
    if end.wrapping_sub(start) > sorted::LENGTH {
        return false;
    }
    if in_pool && !need_slot(host, work) {
        return false;
    }
    let memory = &mut work.state.memory;
    let word = word(start, end, state | before);
    let mut ring = memory.sorted_ranges();
    if !in_pool {
        put::<H>(memory, index, (start, end), state | before | USED);
    } else {
        memory.top_range = if memory.ranges == 0 { end } else { later(memory.top_range, end) };
        if !is_new {
            let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return false };
            list[ring.index::<H>(index - ENTRY_RANGES as u32)] = word;
        }
    }
    // The gap between two is filled: the later one is not needed any more.
    let removes = left != NONE && right != NONE;
    if removes && right < ENTRY_RANGES as u32 {
        put::<H>(memory, right, (end, end), 0);
    } else if removes {
        // Those before it move by one place, and what takes the first place leaves at the front.
        let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return false };
        let first = list[ring.index::<H>(0)] as u32;
        ring.count = right - ENTRY_RANGES as u32;
        memory.first_range = memory.first_range.wrapping_add(1);
        memory.ranges -= 1;
        sorted::insert(host, work, ring, first as u64);
    } else if in_pool && is_new {
        memory.ranges += 1;
        sorted::insert(host, work, ring, word);
    }
    true
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
    let next = work.state.side[CLIENT as usize].next;
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
        sorted::sort_boundaries(host, work);
        boundaries::forget_first(host, work);
        let over = before(host, work, next.wrapping_add(1)) as u16;
        let memory = &mut work.state.memory;
        memory.first_range = memory.first_range.wrapping_add(over);
        memory.ranges = memory.ranges.saturating_sub(over);
        return true;
    }
    let memory = &mut work.state.memory;
    if memory.ranges != 0 || ahead(work.run.acknowledged, next) < 0 {
        work.hold_back(Reason::Forgotten);
        return false;
    }
    memory.slot = 0;
    memory.boundaries = 0;
    memory.fresh = 0;
    true
}

/// The gap before a range may be filled.
struct Join<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Join<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (start, end, state) = range(host, &work.state.memory, neighbour(work, index));
        let found = &mut work.run.ranges;
        let joins = state & USED != 0 && ahead(start, found.reached) <= 0 && ahead(end, found.reached) > 0;
        if joins {
            let barred = barred(state);
            found.barred |= barred;
            found.astray |= if barred != 0 && barred == found.text { ENDS } else { 0 };
            found.reached = end;
            found.text = (state & STATE) as u32;
        }
        // None touches another one.
        joins
    }
}

/// A range in which, or at whose end, what was read ends.
struct Border<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Border<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (start, end, state) = range(host, &work.state.memory, index);
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
        let known = boundaries::under_way::<H>(state & STATE, end.wrapping_sub(found.reached));
        let expected = if known == data::END { data::MIDDLE } else { known };
        found.astray |= (found.text != expected as u32) as u32 * WAITS;
        found.inside |= (end != found.reached) as u32;
        found.astray != 0
    }
}

/// Joins the range that has been reached: `run.ranges` tells how far.
#[inline(never)]
pub fn join<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let (reached, text) = (work.state.side[CLIENT as usize].next, work.state.memory.text as u32);
    let cursor = before(host, work, reached);
    work.run.ranges = Found { reached, text, cursor, ..Found::NONE };
    // All that begin in the bytes that were read.
    H::repeat(ENTRY_RANGES as u32 + cursor + 1, &mut Border { host: &mut *host, work: &mut *work });
    H::repeat(NEAR, &mut Join { host, work });
    let reached = work.run.ranges.reached;
    let memory = &mut work.state.memory;
    let mut i = 0;
    while i < ENTRY_RANGES {
        let over = ahead(memory.range_start[i], reached) <= 0;
        memory.range_state[i] = if over { 0 } else { memory.range_state[i] };
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
        before: data::END as u32,
        left: NONE,
        right: NONE,
        free: NONE,
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
