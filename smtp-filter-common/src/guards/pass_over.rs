//! Mode `monitor` passes over a verdict, and remembers what enforcement would have done (I13).

use crate::{
    reason::Reason,
    seq::Seq,
    work::{MISSING, Passed, Work},
};

impl Work {
    /// Begins a judgement: nothing has been passed over.
    #[inline(always)]
    pub const fn begin(&mut self, monitors: bool) {
        self.monitors = monitors as u8;
        self.uncertain = 0;
        self.passed = Passed::NOTHING;
    }

    /// Mode `monitor` reads on whatever the verdict is (I13): takes it back, and records what enforcement would have
    /// done if it was for a guard. `false` in mode `enforce`.
    #[inline(always)]
    pub fn pass_over_if_monitoring(&mut self) -> bool {
        if self.monitors == 0 {
            return false;
        }
        self.pass_over()
    }

    // verifier: not inlined.
    #[inline(never)]
    fn pass_over(&mut self) -> bool {
        self.uncertain |= 1;
        if self.block.reason < Reason::OutOfOrder.number() {
            self.note(self.block.reason, self.block.action, self.block.sequence);
        } else {
            self.uncertain |= MISSING;
        }
        self.block.action = 0;
        true
    }

    /// Records what enforcement would have done, unless something was recorded before.
    #[inline(always)]
    pub fn note(&mut self, reason: u16, action: u8, sequence: Seq) {
        if self.passed.action == 0 {
            self.passed = Passed { sequence, reason, action };
        }
    }
}
