//! A verdict against the segment, which ends the reading.

use crate::{action::Action, reason::Reason, seq::Seq, work::Work};

impl Work {
    /// Whether there is a verdict against the segment.
    #[inline(always)]
    pub const fn is_blocked(&self) -> bool {
        self.block.action != Action::Pass as u8
    }

    /// Ends the reading with a verdict, at this sequence number.
    #[inline(always)]
    pub fn block_by(&mut self, reason: u16, action: u8, sequence: Seq) {
        self.block.reason = reason;
        self.block.action = action;
        self.block.sequence = sequence;
    }

    /// The same for a verdict that follows from the state of the stream.
    #[inline(always)]
    pub fn hold_back(&mut self, reason: Reason) {
        self.block_by(reason.number(), Action::Drop as u8, self.segment.sequence);
    }
}
