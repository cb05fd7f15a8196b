//! Where in the client's stream commands, mail text and chunks begin, as long as they are not acknowledged.

use super::ahead;
use crate::{entry::Memory, limits::REGIONS};

impl Memory {
    /// From `at` on the bytes are of another kind (a `Session::mode`). `false` where no more are remembered.
    #[inline(always)]
    pub fn begin_region(&mut self, kind: u8, at: u32) -> bool {
        let used = self.regions as usize;
        if used >= REGIONS {
            return false;
        }
        self.region_at[used & (REGIONS - 1)] = at;
        self.region_kind[used & (REGIONS - 1)] = kind;
        self.regions += 1;
        true
    }

    /// Forgets what lies before `acknowledged`.
    #[inline(always)]
    pub fn forget_regions(&mut self, acknowledged: u32) {
        let mut gone = 0;
        let mut i = 1;
        while i < REGIONS {
            gone += ((i < self.regions as usize) & (ahead(self.region_at[i], acknowledged) <= 0)) as usize;
            i += 1;
        }
        if gone == 0 {
            return;
        }
        let mut i = 0;
        while i < REGIONS {
            let from = (i + gone) & (REGIONS - 1);
            self.region_at[i] = self.region_at[from];
            self.region_kind[i] = self.region_kind[from];
            i += 1;
        }
        self.regions -= gone as u8;
    }
}
