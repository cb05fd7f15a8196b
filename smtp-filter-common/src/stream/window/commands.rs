//! Keeping the new bytes of a client's segment that are commands.

use super::{keep as keep_bytes, make_room};
use crate::{
    bounds::REGIONS,
    direction::{Client, Direction as _},
    host::{Host, Step},
    reason::Reason,
    seq::Seq,
    session::Mode,
    stream::regions,
    work::Work,
};

struct Keep<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    /// First sequence number of commands that is not acknowledged.
    oldest: Seq,
    /// First new sequence number.
    from: Seq,
}

impl<H: Host> Step for Keep<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let i = index as usize & (REGIONS - 1);
        if i >= work.state.memory.regions as usize {
            return true;
        }
        let kind = work.state.memory.region_kind[i];
        if kind != Mode::COMMAND {
            return false;
        }
        let start = work.state.memory.region_at[i].later(self.from);
        let stop = regions::end(&work.state, i).earlier(work.segment.end());
        if !stop.is_after(start) {
            return false;
        }
        if !make_room::<H, Client>(host, work, (self.oldest, start, stop), 0) {
            work.state.side[Client::INDEX].unkept = work.pass_over_if_monitoring() as u8;
            return true;
        }
        let (from, to) = (work.segment.offset_of(start), work.segment.offset_of(stop));
        if !keep_bytes::<H, Client>(host, work, from, to) {
            work.hold_back(Reason::Unfetched);
        }
        work.is_blocked()
    }
}

/// Keeps the new bytes of commands, for comparison with retransmissions.
#[inline(always)]
pub fn keep<H: Host>(host: &mut H, work: &mut Work, next: Seq) {
    let memory = &work.state.memory;
    let mut oldest = work.segment.end();
    let mut found = false;
    let mut i = 0;
    while i < REGIONS {
        if i < memory.regions as usize && !found && memory.region_kind[i] == Mode::COMMAND {
            oldest = memory.region_at[i].later(work.stream.acknowledged);
            found = true;
        }
        i += 1;
    }
    if found {
        H::run_steps(REGIONS as u32, &mut Keep { host, work, oldest, from: next });
    }
}
