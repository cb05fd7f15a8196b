//! Commands that wait for their replies.

use super::verb::Command;
use crate::{reason::Reason, work::Work};

impl Work {
    /// A command waits for its reply. `false` if there is no room, and the segment is held back; in mode `monitor` it
    /// counts as one more of the last kind.
    #[inline(always)]
    pub fn wait(&mut self, kind: Command) -> bool {
        if self.state.session.wait(kind) {
            return true;
        }
        self.hold_back(Reason::Backlog);
        if self.pass_over_if_monitoring() {
            self.state.session.wait_like_the_last();
        }
        self.block.action == 0
    }
}
