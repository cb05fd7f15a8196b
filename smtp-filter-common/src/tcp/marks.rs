//! Places in unacknowledged mail text where a receiver may go over from one copy to another, with the scanner's state
//! there. A repeat has to agree with them, or bytes of the first copy and bytes of the repeat could be put together to
//! an end of data that nobody read, or to none where one was read.
//!
//! Only those are remembered where it matters what stands before: where an end of data may be under way, or where what
//! follows might complete one. Such a place is never forgotten before its bytes are acknowledged; where there is no
//! room for one more, the segment waits.

use super::ahead;
use crate::{
    entry::Memory,
    host::{Host, Step},
    limits::{EARLY, MARKS},
    smtp::text::{self, CR, DOT, DOT_CR, LINE, MIDDLE},
};

/// Mark in use.
const USED: u8 = 0x80;

/// Places kept for segments in their order.
pub const SPARE: usize = 4;
/// Segments that a merged one is looked through for: 64 KiB of 512 bytes.
pub const PIECES: u32 = 128;

/// Whether a place is to be remembered: the state there, and the next four bytes (of fewer, `short`).
#[inline(always)]
pub const fn matters(state: u8, first: u32, short: bool) -> bool {
    state != MIDDLE || short || text::may_end(first)
}

/// The state so many bytes in front of a place with this state; [`text::END`] where that does not tell.
#[inline(always)]
pub const fn under_way(state: u8, bytes: u32) -> u8 {
    if bytes == 0 {
        return state;
    }
    // Each of these states has only one that leads to it.
    const _: () = assert!(CR == 1 && LINE == 2 && DOT == 3 && DOT_CR == 4 && text::END == 5);
    if bytes < state as u32 { state - bytes as u8 } else { text::END }
}

/// The one that is known.
#[inline(always)]
const fn either(one: u8, other: u8) -> u8 {
    if one == text::END { other } else { one }
}

struct Look<'a> {
    memory: &'a Memory,
    at: u32,
    /// What is known, and in the second byte what marks behind the place say of it.
    state: &'a mut u32,
}

impl Step for Look<'_> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        // What is known stays.
        if *self.state as u8 != text::END {
            return true;
        }
        let (place, state) = self.memory.place(index);
        let before = place.wrapping_sub(self.at);
        let under_way = under_way(state, before);
        // A mark tells of its own place alone.
        let known = if index < MARKS as u32 && before != 0 { text::END } else { under_way };
        if state != text::END && known != text::END {
            *self.state = known as u32;
        } else if state != text::END && under_way != text::END {
            *self.state = text::END as u32 | (under_way as u32) << 8;
        }
        false
    }
}

/// The state at a place, `before` bytes in front of where all is read; [`text::END`] where it is not known. Then what the
/// first copy had there, as far as marks behind it say, or [`text::END`].
#[inline(always)]
pub fn state_at<H: Host>(memory: &Memory, at: u32, before: u32) -> (u8, u8) {
    // What belongs to an end of data, whole or under way, is known without a mark.
    let [last, other] = memory.end_of_data;
    let known = either(
        either(under_way(text::END, last.wrapping_sub(at)), under_way(text::END, other.wrapping_sub(at))),
        under_way(memory.text, before),
    );
    let mut state = known as u32 | (text::END as u32) << 8;
    H::repeat((MARKS + EARLY) as u32, &mut Look { memory, at, state: &mut state });
    (state as u8, (state >> 8) as u8)
}

impl Memory {
    /// A place that matters, and the state there: the marks, then the ends of early ranges. [`text::END`] where it is not
    /// in use.
    #[inline(always)]
    pub fn place(&self, index: u32) -> (u32, u8) {
        if index < MARKS as u32 { self.marked(index as usize) } else { self.early(index) }
    }

    /// Remembers a place; `false` where there is no room. What stands in front of a gap leaves some ([`SPARE`]) for what
    /// fills it, which is acknowledged first.
    #[inline(always)]
    pub fn mark(&mut self, at: u32, state: u8, spare: usize) -> bool {
        let mut free = MARKS;
        let mut i = 0;
        while i < MARKS - spare {
            let fits = (self.mark_state[i] & USED == 0) | (self.mark_at[i] == at);
            free = if fits { i } else { free };
            i += 1;
        }
        if free >= MARKS {
            return false;
        }
        self.mark_at[free & (MARKS - 1)] = at;
        self.mark_state[free & (MARKS - 1)] = state | USED;
        true
    }

    /// The state at mark `index`, and its place; [`text::END`] where it is not in use.
    #[inline(always)]
    pub const fn marked(&self, index: usize) -> (u32, u8) {
        let index = index & (MARKS - 1);
        let state = self.mark_state[index];
        (self.mark_at[index], if state & USED != 0 { state & !USED } else { text::END })
    }

    /// Forgets all marks.
    #[inline(always)]
    pub fn forget_marks(&mut self) {
        self.mark_state = [0; MARKS];
    }

    /// Forgets what lies before `acknowledged`.
    #[inline(always)]
    pub fn forget_acknowledged(&mut self, acknowledged: u32) {
        let mut i = 0;
        while i < MARKS {
            let over = ahead(self.mark_at[i], acknowledged) < 0;
            self.mark_state[i] = if over { 0 } else { self.mark_state[i] };
            i += 1;
        }
        let mut i = 0;
        while i < 2 {
            let over = ahead(self.end_of_data[i], acknowledged) <= 0;
            // No unacknowledged text ends there.
            self.end_of_data[i] = if over { acknowledged } else { self.end_of_data[i] };
            i += 1;
        }
    }

    /// Remembers the place behind an end of data.
    #[inline(always)]
    pub fn end_of_data_at(&mut self, at: u32) {
        self.end_of_data[1] = self.end_of_data[0];
        self.end_of_data[0] = at;
    }

    /// Whether an end of data was read there.
    #[inline(always)]
    pub fn is_end_of_data(&self, at: u32) -> bool {
        self.end_of_data[0] == at || self.end_of_data[1] == at
    }
}
