//! Out-of-order segments of mail data. Dropping them would cost nearly all throughput under loss or reordering. So they
//! pass if no end of data is possible in them, whatever the bytes before them are. Their ranges are remembered until
//! the gap is filled: a few in the entry, more in a slot of the shared pool.
//!
//! A segment also passes if its first bytes would end the mail data after one particular state (`\r\n` after a dot at a
//! line's start): that state almost never occurs. If it did, the bytes that follow would be commands. So it is
//! remembered as barred, with the range and as a boundary. The segment that fills the gap is held back or reset if it
//! ends in that state, and is held back if it goes beyond the range's start and has that state there. If it ends there,
//! the state is known from then on, and is remembered like any other.
//!
//! Ranges never touch: if a segment fills the gap between two, they become one. Those in the pool are sorted
//! ([`super::sorted`]). A range that has been read is removed when the next segment arrives.

use super::{boundaries, pool, sorted};
use crate::{
    bounds::{ENTRY_RANGES, POOL_RANGES},
    direction::{Client, Direction as _},
    entry::Memory,
    host::{Host, Step},
    reason::Reason,
    seq::Seq,
    session::data,
    work::Work,
};

/// Range in use.
const USED: u8 = 0x80;
/// Bits of the state in a range's byte.
const STATE: u8 = 0x0f;
/// Bits of the state barred before the range: the state minus one, or 0 for none.
const BARRED: u8 = 0x30;
const _: () = assert!(data::LINE - 1 == 1 && data::DOT_CR - 1 == 3);
/// Shorter segments that might end the mail data wait for the bytes before them: a client may have sent QUIT together
/// with the end of data.
pub const LONG: u32 = 16;
/// No index of a range.
const NONE: u32 = u32::MAX;

/// How an out-of-order segment lies relative to the ranges: apart from all of them.
pub const APART: u32 = 0;
/// Directly after a range, so the state before the segment is known.
pub const AFTER: u32 = 1;
/// Inside one.
pub const INSIDE: u32 = 2;
/// Partly inside a range.
pub const ACROSS: u32 = 3;

/// The result of a search among the ranges.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// [`APART`] or one of the others.
    pub position: u32,
    /// With [`AFTER`], the state before the segment; else [`data::END`].
    pub before: u32,
    /// The range that ends where the segment begins.
    left: u32,
    /// The range that begins where the segment ends.
    right: u32,
    /// An unused range of the entry.
    free: u32,
    /// The sequence number up to which the stream is joined.
    pub reached: Seq,
    /// The scanner's state there.
    pub text: u32,
    /// Not 0: the bytes up to `reached` end inside a range, where an end of data may be under way whose continuation is
    /// no longer known. See [`ENDS`].
    pub astray: u32,
    /// The first range in the pool that is looked at. When chunks are compared, see [`Self::line`].
    cursor: u32,
    /// See [`Self::line`].
    quiet: u32,
    /// Not 0: the bytes that were read end inside a range.
    pub inside: u32,
    /// The state barred where the segment ends, because a range begins there (0: none). With [`INSIDE`]: the one barred
    /// where both begin.
    pub barred: u32,
    /// The state to be barred before the segment, if it becomes a range of its own.
    pub barred_before: u32,
}

/// Value of [`Found::astray`]: the segment has to wait.
const WAITS: u32 = 1;
/// Value of [`Found::astray`]: the segment would complete an end of data, and bytes after it have already passed.
pub const ENDS: u32 = 2;

/// The state barred before a range, or 0.
#[inline(always)]
const fn barred(state: u8) -> u32 {
    let code = (state & BARRED) >> 4;
    (code + (code != 0) as u8) as u32
}

/// The reverse of [`barred`]: the bits that are kept in a range's byte.
#[inline(always)]
const fn bar(barred: u32) -> u8 {
    (barred as u8).saturating_sub(1) << 4 & BARRED
}

/// Start and end of a range, and its state byte; without [`USED`] the range is not in use. The ranges of the entry come
/// first.
#[inline(always)]
fn range<H: Host>(host: &mut H, memory: &Memory, index: u32) -> (Seq, Seq, u8) {
    if index < ENTRY_RANGES as u32 {
        let i = H::opaque(index) as usize & (ENTRY_RANGES - 1);
        return (memory.range_start[i], memory.range_end[i], memory.range_state[i]);
    }
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return (Seq(0), Seq(0), 0) };
    let number = index - ENTRY_RANGES as u32;
    let word = list[memory.sorted_ranges().index::<H>(number)];
    let state = (word >> 61) as u8 | (word >> 55) as u8 & BARRED | USED;
    (Seq(word as u32), sorted::end(word), if number < memory.ranges as u32 { state } else { 0 })
}

/// A range as a word in the pool: start, length, barred state in 2 bits, state in 3.
#[inline(always)]
const fn word(start: Seq, end: Seq, state: u8) -> u64 {
    let length = end.since(start) & sorted::LENGTH;
    start.0 as u64 | (length as u64) << 32 | ((state & BARRED) as u64) << 55 | (state as u64) << 61
}

/// The end of a range and the state there; [`data::END`] if it is not in use.
#[inline(always)]
pub fn end<H: Host>(host: &mut H, memory: &Memory, index: u32) -> (Seq, u8) {
    let (_, end, state) = range(host, memory, index);
    (end, if state & USED != 0 { state & STATE } else { data::END })
}

impl Memory {
    /// Whether out-of-order bytes have passed at or after `at`, where an end of data has been read. A range that ends
    /// exactly there counts: it ended as mail data, and would not have passed with an end of data in it.
    #[inline(always)]
    pub fn has_range_after(&self, at: Seq) -> bool {
        let mut used = 0;
        let mut i = 0;
        while i < ENTRY_RANGES {
            let reaches = !self.range_end[i].is_before(at);
            used |= if reaches { self.range_state[i] } else { 0 };
            i += 1;
        }
        used & USED != 0 || self.ranges != 0 && !self.top_range.is_before(at)
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

/// Finds out how a segment lies among the ranges.
struct Search<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    start: Seq,
    end: Seq,
}

impl<H: Host> Step for Search<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let index = neighbour(work, index);
        let (from, to, state) = range(host, &work.state.memory, index);
        let found = &mut work.stream.ranges;
        if state & USED == 0 {
            found.free = if found.free == NONE && index < ENTRY_RANGES as u32 { index } else { found.free };
            return false;
        }
        if self.start == to {
            found.left = index;
            found.position |= AFTER;
            found.before = (state & STATE) as u32;
        } else if self.end == from {
            found.right = index;
            found.barred = barred(state);
        } else if self.end.is_after(from) && self.start.is_before(to) {
            let inside = !self.start.is_before(from) && !self.end.is_after(to);
            found.position = if inside { INSIDE } else { ACROSS };
            found.barred = if self.start == from { barred(state) } else { 0 };
            return true;
        }
        false
    }
}

/// Ranges that may be near a position: those in the entry, and two in the pool.
const NEAR: u32 = ENTRY_RANGES as u32 + 2;

/// Maps `0..NEAR` to the index of a range.
#[inline(always)]
const fn neighbour(work: &Work, index: u32) -> u32 {
    if index < ENTRY_RANGES as u32 { index } else { index.wrapping_add(work.stream.ranges.cursor) }
}

/// How many ranges in the pool end before `at`.
#[inline(always)]
fn before<H: Host>(host: &mut H, work: &Work, at: Seq) -> u32 {
    let memory = &work.state.memory;
    if memory.ranges == 0 { 0 } else { sorted::before(host, memory.slot, memory.sorted_ranges(), at) }
}

/// Finds out how `start..end` lies among the ranges. The result is in `stream.ranges`.
#[inline(never)]
pub fn search<H: Host>(host: &mut H, work: &mut Work, start: Seq, end: Seq) -> bool {
    work.stream.ranges = Found { cursor: before(host, work, start), ..Found::NONE };
    H::run_steps(NEAR, &mut Search { host, work, start, end });
    true
}

/// Writes a range, or none (`state` 0), to `index` of the entry.
#[inline(always)]
fn put<H: Host>(memory: &mut Memory, index: u32, (start, end): (Seq, Seq), state: u8) {
    let i = H::opaque(index) as usize & (ENTRY_RANGES - 1);
    memory.range_start[i] = start;
    memory.range_end[i] = end;
    memory.range_state[i] = state;
}

/// Remembers `start..end` with the state at its end. [`search`] has just found it to be apart from all ranges or next
/// to one. `false` if there is no room. What is written to the pool counts at once, because the segment passes then.
#[inline(never)]
pub fn add<H: Host>(host: &mut H, work: &mut Work, start: Seq, end: Seq, state: u8) -> bool {
    let (mut start, mut end, mut state) = (start, end, state);
    let Found { left, right, free, cursor, barred_before, .. } = work.stream.ranges;
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
        let (from, _, left_state) = range(host, &work.state.memory, left);
        (start, before) = (from, left_state & BARRED);
    }
    if right != NONE {
        let (_, to, right_state) = range(host, &work.state.memory, right);
        (end, state) = (to, right_state & STATE);
    }
    if end.since(start) > sorted::LENGTH {
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
        memory.top_range = if memory.ranges == 0 { end } else { memory.top_range.later(end) };
        if !is_new {
            let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return false };
            list[ring.index::<H>(index - ENTRY_RANGES as u32)] = word;
        }
    }
    // The gap between two ranges is filled: the later one is removed.
    let removes = left != NONE && right != NONE;
    if removes && right < ENTRY_RANGES as u32 {
        put::<H>(memory, right, (end, end), 0);
    } else if removes {
        // The ranges before it move up by one. The first word of the ring becomes free.
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

/// Makes sure that the connection has a slot for ranges and boundaries; `false` if none is free.
#[inline(always)]
pub fn need_slot<H: Host>(host: &mut H, work: &mut Work) -> bool {
    if work.state.memory.slot == 0 {
        work.state.memory.slot = pool::take(host, &work.key, pool::LISTS);
        if work.state.memory.slot == 0 {
            work.hold_back(Reason::Pool);
            return false;
        }
    }
    true
}

/// Forgets what is over. Releases a slot that was no longer needed when the last segment had passed, and checks that a
/// needed slot is still held. A dropped segment does not save the state, so the next one forgets the same again.
#[inline(never)]
pub fn look_after<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let next = work.state.side[Client::INDEX].next;
    let memory = &mut work.state.memory;
    if memory.ranges | memory.boundaries == 0 {
        pool::release(host, memory.slot, pool::LISTS);
        work.state.memory.slot = 0;
        return true;
    }
    if memory.ranges != 0 && !next.is_before(memory.top_range) {
        memory.ranges = 0;
    }
    if pool::holds(host, memory.slot, pool::LISTS) {
        sorted::sort_boundaries(host, work);
        boundaries::forget_first(host, work);
        let over = before(host, work, next.plus(1)) as u16;
        let memory = &mut work.state.memory;
        memory.first_range = memory.first_range.wrapping_add(over);
        memory.ranges = memory.ranges.saturating_sub(over);
        return true;
    }
    let memory = &mut work.state.memory;
    if memory.ranges != 0 || work.stream.acknowledged.is_before(next) {
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
        let found = &mut work.stream.ranges;
        let joins = state & USED != 0 && !start.is_after(found.reached) && end.is_after(found.reached);
        if joins {
            let barred = barred(state);
            found.barred |= barred;
            found.astray |= if barred != 0 && barred == found.text { ENDS } else { 0 };
            found.reached = end;
            found.text = (state & STATE) as u32;
        }
        // At most one range joins, since ranges never touch.
        joins
    }
}

/// Checks the ranges in which, or at whose end, the new bytes end.
struct Border<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Border<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (start, end, state) = range(host, &work.state.memory, index);
        let found = &mut work.stream.ranges;
        if state & USED == 0 || !start.is_before(found.reached) {
            return false;
        }
        if end.is_before(found.reached) {
            return false;
        }
        // At a range's end, and just before it, the range's state implies the state of the first copy. Elsewhere no end
        // of data may be under way.
        let known = boundaries::under_way::<H>(state & STATE, end.since(found.reached));
        let expected = if known == data::END { data::MIDDLE } else { known };
        found.astray |= (found.text != expected as u32) as u32 * WAITS;
        found.inside |= (end != found.reached) as u32;
        found.astray != 0
    }
}

/// Joins the range that has been reached. `stream.ranges` says how far the stream is read then.
#[inline(never)]
pub fn join<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let (reached, text) = (work.state.side[Client::INDEX].next, work.state.memory.data_state as u32);
    let cursor = before(host, work, reached);
    work.stream.ranges = Found { reached, text, cursor, ..Found::NONE };
    // All ranges that begin within the bytes that were read.
    H::run_steps(ENTRY_RANGES as u32 + cursor + 1, &mut Border { host: &mut *host, work: &mut *work });
    H::run_steps(NEAR, &mut Join { host, work });
    let reached = work.stream.ranges.reached;
    let memory = &mut work.state.memory;
    let mut i = 0;
    while i < ENTRY_RANGES {
        let over = !memory.range_start[i].is_after(reached);
        memory.range_state[i] = if over { 0 } else { memory.range_state[i] };
        i += 1;
    }
    true
}

impl Found {
    /// Cursor for comparing the lines of chunks: number of the word, and which of its equal chunks.
    #[inline(always)]
    pub const fn line(&self) -> (u32, u32) {
        (self.cursor, self.quiet)
    }

    /// Sets the cursor.
    #[inline(always)]
    pub const fn set_line(&mut self, number: u32, which: u32) {
        self.cursor = number;
        self.quiet = which;
    }

    /// The initial value.
    pub const NONE: Self = Self {
        position: APART,
        before: data::END as u32,
        left: NONE,
        right: NONE,
        free: NONE,
        reached: Seq(0),
        text: 0,
        astray: 0,
        cursor: 0,
        quiet: 0,
        inside: 0,
        barred: 0,
        barred_before: 0,
    };
}
