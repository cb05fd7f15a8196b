//! The path of a frame through the datapath.

use std::boxed::Box;

use super::{World, frame::SliceFrame, hook::Hook};
use crate::{judge, met::Met, scope::Policies, verdict::Verdict, wire, work::Work};

impl World {
    /// Judges a frame, as the program at the hook does.
    pub fn frame<P: Policies>(&mut self, policies: &P, frame: SliceFrame<'_>, met: Met) -> Verdict {
        // Nothing is filtered before there is a policy.
        let Some(whole) = policies.of_scope(0) else { return Verdict::Pass };
        let spare = self.spare.take().unwrap_or_else(|| Box::new(Work::new()));
        let mut work = core::mem::replace(&mut self.work, spare);
        let kind = wire::read(&frame, whole, &mut work.segment);
        let (payload, header) = (work.segment.payload, work.segment.header);
        self.rewritten = None;
        let verdict = judge::judge(
            &mut Hook { world: self, frame, payload, header, entry: None },
            policies,
            &mut work,
            kind,
            met,
        )
        .unwrap_or(Verdict::Drop);
        self.marked = verdict == Verdict::Pass && work.marked != 0;
        self.spare = Some(core::mem::replace(&mut self.work, work));
        verdict
    }
}
