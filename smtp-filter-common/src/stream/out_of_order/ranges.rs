//! The list of out-of-order ranges: a few in the entry, more in a slot of the shared pool.
//!
//! Invariant: ranges are not empty, and they neither overlap nor touch. So at most one of them contains a position, at
//! most one ends and at most one begins there. Those in the pool are sorted ([`crate::stream::sorted`]); those in the
//! entry are not. `Memory::top_range` is the highest end of a range in the pool. A range that has been read completely
//! is removed before the next search. The test `sorted` holds this for random segments.

use crate::{
    bounds::ENTRY_RANGES, entry::Memory, host::Host, seq::Seq, session::data::State, stream::sorted, work::Work,
};

/// Range in use.
pub(super) const USED: u8 = 0x80;

/// Bits of the state in a range's byte.
pub(super) const STATE: u8 = 0x0f;

/// Bits of the state barred before the range: the state minus one, or 0 for none.
pub(super) const BARRED: u8 = 0x30;

const _: () = assert!(State::LINE.0 - 1 == 1 && State::DOT_CR.0 - 1 == 3);

/// The state barred before a range, or 0.
#[inline(always)]
pub(super) const fn barred(state: u8) -> u32 {
    let code = (state & BARRED) >> 4;
    (code + (code != 0) as u8) as u32
}

/// The reverse of [`barred`]: the bits that are kept in a range's byte.
#[inline(always)]
pub(super) const fn bar(barred: u32) -> u8 {
    (barred as u8).saturating_sub(1) << 4 & BARRED
}

/// Start and end of a range, and its state byte; without [`USED`] the range is not in use. The ranges of the entry come
/// first.
#[inline(always)]
pub(super) fn range<H: Host>(host: &mut H, memory: &Memory, index: u32) -> (Seq, Seq, u8) {
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
pub(super) const fn word(start: Seq, end: Seq, state: u8) -> u64 {
    let length = end.since(start) & sorted::LENGTH;
    start.0 as u64 | (length as u64) << 32 | ((state & BARRED) as u64) << 55 | (state as u64) << 61
}

/// The end of a range and the state there; [`State::UNKNOWN`] if it is not in use.
#[inline(always)]
pub fn end<H: Host>(host: &mut H, memory: &Memory, index: u32) -> (Seq, State) {
    let (_, end, state) = range(host, memory, index);
    (end, if state & USED != 0 { State(state & STATE) } else { State::UNKNOWN })
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

/// Writes a range, or none (`state` 0), to `index` of the entry.
#[inline(always)]
pub(super) fn put<H: Host>(memory: &mut Memory, index: u32, (start, end): (Seq, Seq), state: u8) {
    let i = H::opaque(index) as usize & (ENTRY_RANGES - 1);
    memory.range_start[i] = start;
    memory.range_end[i] = end;
    memory.range_state[i] = state;
}

/// Ranges that may be near a position: those in the entry, and two in the pool.
pub(super) const NEAR: u32 = ENTRY_RANGES as u32 + 2;

/// How many ranges in the pool end before `at`.
#[inline(always)]
pub(in crate::stream) fn before<H: Host>(host: &mut H, work: &Work, at: Seq) -> u32 {
    let memory = &work.state.memory;
    if memory.ranges == 0 { 0 } else { sorted::before(host, memory.slot, memory.sorted_ranges(), at) }
}
