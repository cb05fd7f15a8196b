//! Where the client's bytes change their kind.

use crate::{reason::Reason, seq::Seq, session::Mode, work::Work};

impl Work {
    /// From `at` on the client's bytes are of another kind. `false` if there is no room to remember that, and the
    /// segment is held back. Mode `monitor` forgets the earlier regions instead.
    #[inline(never)]
    pub fn begin_region(&mut self, kind: Mode, at: Seq) -> bool {
        // The client may send nothing more before the reply that starts the region, so acknowledged regions are
        // forgotten here, too.
        let memory = &mut self.state.memory;
        if memory.begin_region(kind, at)
            || memory.forget_first(self.stream.acknowledged) && memory.begin_region(kind, at)
        {
            return true;
        }
        self.hold_back(Reason::Backlog);
        if !self.pass_over_if_monitoring() {
            return false;
        }
        self.state.memory.regions = 0;
        self.state.memory.begin_region(kind, at)
    }
}
