//! Early segments of mail text. Dropping them would cost nearly all throughput under loss or reordering, so they pass
//! where no end of data is possible in them, whatever stands before; their ranges are remembered until the gap fills.

use super::{ahead, marks};
use crate::{
    entry::Memory,
    host::{Host, Step},
    limits::EARLY,
    smtp::text,
};

/// Range in use.
const USED: u8 = 0x80;
/// The state in a range's byte.
const STATE: u8 = 0x0f;

/// What an early segment is to the ranges that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Apart from all.
    Apart,
    /// Right behind one, whose state at its end is known.
    Behind,
    /// Inside one.
    Inside,
    /// Across the border of one.
    Across,
}

impl Memory {
    /// Whether any bytes behind an end of data at `at` have passed early, or others in its place: no range that ends there
    /// would have passed with it.
    #[inline(always)]
    pub fn has_early_behind(&self, at: u32) -> bool {
        let mut used = 0;
        let mut i = 0;
        while i < EARLY {
            let behind = ahead(self.early_end[i], at) >= 0;
            used |= if behind { self.early_state[i] } else { 0 };
            i += 1;
        }
        used & USED != 0
    }

    /// Whether any bytes have passed early.
    #[inline(always)]
    pub fn has_early(&self) -> bool {
        let mut used = 0;
        let mut i = 0;
        while i < EARLY {
            used |= self.early_state[i];
            i += 1;
        }
        used & USED != 0
    }

    /// Where `start..end` lies, and the state in front of it: [`text::END`] where it is not known.
    #[inline(always)]
    pub fn early_place(&self, start: u32, end: u32) -> (Place, u8) {
        // Two values that are always filled: part of one that is not is what the verifier refuses to see spilled.
        let mut place = Place::Apart;
        let mut before = text::END;
        let mut i = 0;
        while i < EARLY {
            let (from, to, state) = (self.early_start[i], self.early_end[i], self.early_state[i]);
            i += 1;
            if state & USED == 0 || ahead(end, from) <= 0 || ahead(start, to) > 0 {
                continue;
            }
            if start == to {
                place = Place::Behind;
                before = state & STATE;
            } else if ahead(start, from) >= 0 && ahead(end, to) <= 0 {
                return (Place::Inside, text::END);
            } else {
                return (Place::Across, text::END);
            }
        }
        (place, before)
    }

    /// Remembers `start..end`, which no range covers, with the state at its end. `false` where no more are remembered.
    #[inline(always)]
    pub fn add_early(&mut self, start: u32, end: u32, state: u8) -> bool {
        let (mut start, mut end, mut state) = (start, end, state);
        let mut free = EARLY;
        let mut i = 0;
        while i < EARLY {
            if self.early_state[i] & USED != 0 {
                if self.early_end[i] == start {
                    start = self.early_start[i];
                    self.early_state[i] = 0;
                } else if self.early_start[i] == end {
                    end = self.early_end[i];
                    state = self.early_state[i] & STATE;
                    self.early_state[i] = 0;
                }
            }
            if self.early_state[i] & USED == 0 {
                free = i;
            }
            i += 1;
        }
        if free >= EARLY {
            return false;
        }
        self.early_start[free & (EARLY - 1)] = start;
        self.early_end[free & (EARLY - 1)] = end;
        self.early_state[free & (EARLY - 1)] = state | USED;
        true
    }

    /// The end of a range, and the state there; [`text::END`] where it is not in use.
    #[inline(always)]
    pub const fn early(&self, index: u32) -> (u32, u8) {
        let index = index as usize & (EARLY - 1);
        let state = self.early_state[index];
        (self.early_end[index], if state & USED != 0 { state & STATE } else { text::END })
    }

    /// Forgets all ranges.
    #[inline(always)]
    pub fn forget_early(&mut self) {
        self.early_state = [0; EARLY];
    }
}

/// The place that has been reached, and the scanner's state there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Next sequence number to be read.
    pub next: u32,
    /// State there.
    pub text: u8,
    /// The bytes up to `next` ended inside a range where an end of data may be under way: how that goes on is not known
    /// any more.
    pub astray: bool,
}

struct Join<'a> {
    memory: &'a mut Memory,
    reached: &'a mut Reached,
}

impl Step for Join<'_> {
    #[inline(always)]
    fn step(&mut self, _round: u32) -> bool {
        let Self { memory, reached } = self;
        let mut joined = false;
        let mut i = 0;
        while i < EARLY {
            let (start, end, state) = (memory.early_start[i], memory.early_end[i], memory.early_state[i]);
            if state & USED != 0 && ahead(start, reached.next) <= 0 {
                if ahead(end, reached.next) > 0 {
                    reached.next = end;
                    reached.text = state & STATE;
                    joined = true;
                }
                memory.early_state[i] = 0;
            }
            i += 1;
        }
        !joined
    }
}

/// A range in which, or at whose end, what was read ends.
struct Border<'a> {
    memory: &'a Memory,
    reached: &'a mut Reached,
}

impl Step for Border<'_> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let Self { memory, reached } = self;
        let i = index as usize & (EARLY - 1);
        let (start, end, state) = (memory.early_start[i], memory.early_end[i], memory.early_state[i]);
        if state & USED == 0 || ahead(start, reached.next) >= 0 || ahead(end, reached.next) < 0 {
            return false;
        }
        // At a range's end, and close in front of it, the state there tells that of the first copy; elsewhere nothing
        // may be under way.
        let known = marks::under_way(state & STATE, end.wrapping_sub(reached.next));
        let expected = if known == text::END { text::MIDDLE } else { known };
        reached.astray |= reached.text != expected;
        reached.astray
    }
}

/// Joins the ranges that have been reached.
#[inline(always)]
pub fn join<H: Host>(memory: &mut Memory, reached: &mut Reached) {
    H::repeat(EARLY as u32, &mut Border { memory, reached });
    H::repeat(EARLY as u32, &mut Join { memory, reached });
}
