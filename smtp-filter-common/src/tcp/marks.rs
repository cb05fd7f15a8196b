//! Places in mail text where a segment began, with the scanner's state there: a repeat has to agree with them, or
//! bytes of the first copy and bytes of the repeat could be put together to an end of data that nobody read.

use super::ahead;
use crate::{entry::Memory, limits::MARKS, smtp::text};

impl Memory {
    /// Remembers a place. Where all are in use one goes whose bytes are acknowledged, else one in the middle of a line:
    /// behind such a place nothing but a whole end of data is one.
    #[inline(always)]
    pub fn mark(&mut self, at: u32, state: u8, acknowledged: u32) {
        let mut victim = self.mark_next as usize & (MARKS - 1);
        if (self.marks as usize) < MARKS {
            victim = self.marks as usize & (MARKS - 1);
            self.marks += 1;
        } else {
            let mut i = 0;
            while i < MARKS {
                let dull = (self.mark_state[i] == text::MIDDLE) | (ahead(self.mark_at[i], acknowledged) < 0);
                victim = if dull { i } else { victim };
                i += 1;
            }
            self.mark_next = self.mark_next.wrapping_add(1);
        }
        self.mark_at[victim & (MARKS - 1)] = at;
        self.mark_state[victim & (MARKS - 1)] = state;
    }

    /// The state at a place; [`text::END`] where it is not remembered.
    #[inline(always)]
    pub fn state_at(&self, at: u32) -> u8 {
        let mut state = text::END;
        let mut i = 0;
        while i < MARKS {
            let hit = (i < self.marks as usize) & (self.mark_at[i] == at);
            state = if hit { self.mark_state[i] } else { state };
            i += 1;
        }
        state
    }

    /// Forgets all marks.
    #[inline(always)]
    pub fn forget_marks(&mut self) {
        self.marks = 0;
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
