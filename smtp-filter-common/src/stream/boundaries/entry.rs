//! The boundaries in the entry, and the last two ends of data.

use super::BARRED;
use crate::{
    bounds::{ENTRY_BOUNDARIES, ENTRY_RANGES},
    branchless::{choose_number, less, same},
    entry::Memory,
    host::Host,
    seq::Seq,
    session::data::State,
};

/// Boundary in use.
const USED: u8 = 0x80;

impl Memory {
    /// Remembers a boundary in the entry; `false` if there is no room.
    #[inline(always)]
    pub(super) fn remember_in_entry<H: Host>(&mut self, at: Seq, state: u8, spare: usize) -> bool {
        let mut free = ENTRY_BOUNDARIES as u32;
        let mut i = 0;
        while i < ENTRY_BOUNDARIES {
            let unused = 1 ^ H::opaque((self.boundary_state[i] / USED) as u32);
            // A state replaces a state. A bar is kept beside it: what is judged now may be what it is to stop.
            let bar = H::opaque(((self.boundary_state[i] | state) / BARRED) as u32 & 1);
            let fits = (unused | same::<H>(self.boundary_at[i].0, at.0) & (1 ^ bar))
                & less::<H>(i as u32 + (spare & (ENTRY_BOUNDARIES - 1)) as u32, ENTRY_BOUNDARIES as u32);
            free = choose_number::<H>(fits, i as u32, free);
            i += 1;
        }
        if free >= ENTRY_BOUNDARIES as u32 {
            return false;
        }
        let free = H::opaque(free) as usize & (ENTRY_BOUNDARIES - 1);
        self.boundary_at[free] = at;
        self.boundary_state[free] = state | USED;
        true
    }

    /// Position and state or bar of boundary `index` of the entry; the state is [`State::UNKNOWN`] if it is not in use.
    #[inline(always)]
    pub(super) const fn in_entry(&self, index: usize) -> (Seq, u8) {
        let index = index & (ENTRY_BOUNDARIES - 1);
        let state = self.boundary_state[index];
        (self.boundary_at[index], if state & USED != 0 { state & !USED } else { State::UNKNOWN.0 })
    }

    /// 1 if an item of the entry lies in the `length` positions from `from` on, else 0.
    #[inline(always)]
    pub(super) fn any_from<H: Host>(&self, from: Seq, length: u32) -> u32 {
        const ANY: u64 = 1 << 63;
        let mut any = 0;
        let mut i = 0;
        while i < ENTRY_BOUNDARIES {
            let so_far = H::opaque_word(any | i as u64);
            let at = so_far as usize & (ENTRY_BOUNDARIES - 1);
            let left = (self.boundary_at[at].since(from) as u64).wrapping_sub(length as u64);
            any = (so_far | left & (self.boundary_state[at] as u64) << 56) & ANY;
            i += 1;
        }
        let mut i = 0;
        while i < ENTRY_RANGES {
            let so_far = H::opaque_word(any | i as u64);
            let at = so_far as usize & (ENTRY_RANGES - 1);
            let left = (self.range_end[at].since(from) as u64).wrapping_sub(length as u64);
            any = (so_far | left & (self.range_state[at] as u64) << 56) & ANY;
            i += 1;
        }
        H::opaque((any >> 63) as u32)
    }

    /// Forgets all boundaries.
    #[inline(always)]
    pub fn forget_boundaries(&mut self) {
        self.boundary_state = [0; ENTRY_BOUNDARIES];
        self.boundaries = 0;
        self.fresh = 0;
    }

    /// Forgets the boundaries before `acknowledged`.
    #[inline(always)]
    pub fn forget_acknowledged(&mut self, acknowledged: Seq) {
        let mut i = 0;
        while i < ENTRY_BOUNDARIES {
            let over = self.boundary_at[i].is_before(acknowledged);
            self.boundary_state[i] = if over { 0 } else { self.boundary_state[i] };
            i += 1;
        }
        let mut i = 0;
        while i < 2 {
            let over = !self.end_of_data[i].is_after(acknowledged);
            // Neutral: no unacknowledged mail data ends there.
            self.end_of_data[i] = if over { acknowledged } else { self.end_of_data[i] };
            i += 1;
        }
    }

    /// Remembers the position after an end of data.
    #[inline(always)]
    pub fn end_of_data_at(&mut self, at: Seq) {
        self.end_of_data[1] = self.end_of_data[0];
        self.end_of_data[0] = at;
    }

    /// Whether an end of data was read that ends at this position.
    #[inline(always)]
    pub fn is_end_of_data(&self, at: Seq) -> bool {
        self.end_of_data[0] == at || self.end_of_data[1] == at
    }
}
