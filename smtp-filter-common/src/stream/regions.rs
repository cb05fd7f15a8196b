//! Where commands, mail data and chunks begin in the client's stream, as far as they are not acknowledged.

use crate::{
    bounds::REGIONS,
    direction::{Client, Direction as _},
    entry::{Memory, State},
    host::{Host, Step},
    seq::Seq,
    session::Mode,
};

impl Memory {
    /// From `at` on the bytes are of another kind. `false` if there is no room for one more region.
    #[inline(always)]
    pub fn begin_region(&mut self, kind: Mode, at: Seq) -> bool {
        let used = self.regions as usize;
        if used >= REGIONS {
            return false;
        }
        self.region_at[used & (REGIONS - 1)] = at;
        self.region_kind[used & (REGIONS - 1)] = kind;
        self.regions += 1;
        true
    }
}

impl Memory {
    /// Forgets the oldest region if it is completely acknowledged.
    #[inline(always)]
    pub fn forget_first(&mut self, acknowledged: Seq) -> bool {
        if self.regions < 2 || self.region_at[1].is_after(acknowledged) {
            return false;
        }
        let mut i = 0;
        while i < REGIONS - 1 {
            self.region_at[i] = self.region_at[i + 1];
            self.region_kind[i] = self.region_kind[i + 1];
            i += 1;
        }
        self.regions -= 1;
        true
    }
}

struct Forget<'a> {
    memory: &'a mut Memory,
    acknowledged: Seq,
}

impl Step for Forget<'_> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        !self.memory.forget_first(self.acknowledged)
    }
}

/// Forgets what lies before `acknowledged`.
#[inline(always)]
pub fn forget<H: Host>(memory: &mut Memory, acknowledged: Seq) {
    H::run_steps(REGIONS as u32, &mut Forget { memory, acknowledged });
    // The start of the oldest region advances, because comparisons with it would invert across 2^31 bytes.
    memory.region_at[0] = memory.region_at[0].later(acknowledged);
}

/// Where region `index` of the client's stream ends.
#[inline(always)]
pub fn end(state: &State, index: usize) -> Seq {
    let memory = &state.memory;
    if index + 1 < memory.regions as usize {
        memory.region_at[(index + 1) & (REGIONS - 1)]
    } else {
        state.side[Client::INDEX].next
    }
}
