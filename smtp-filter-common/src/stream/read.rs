//! The third step: reads what there is to read of a segment. The lock is held.

use core::marker::PhantomData;

use super::{
    client::{self, Taken},
    in_segment::{InStream, Replies},
    server,
};
use crate::{
    block::Block,
    direction::{Client, Direction},
    entry::{UNCERTAIN, first_of, second_of},
    flow::tls::sealed,
    host::{Host, Step},
    policy::Policy,
    reason::Reason,
    report::tally::Tally,
    session::reading::{Progress, Reading},
    work::Work,
};

/// Reads a segment. A second pass reports its commands, if they differ in how they are counted or need events, and
/// makes changes: so they are reported only if the segment passes.
struct Passes<'a, H: Host, D: Direction> {
    host: &'a mut H,
    policy: &'a Policy,
    work: &'a mut Work,
    entry: H::Entry,
    direction: PhantomData<D>,
}

/// Flag in `Work::taken`: the state changed.
pub const CHANGED: u32 = 1 << 16;

/// `Work::taken`: the connection's state was not found.
pub const NOTHING: u32 = 0;

impl<H: Host, D: Direction> Step for Passes<'_, H, D> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        host.load_state(self.entry, &mut work.state);
        work.begin_reading();
        work.tally.reporting = index as u8;
        let shared = host.shared(self.entry);
        work.stream.uncertain = (H::load(&shared.flags) & UNCERTAIN != 0) as u8;
        let peer = H::load(&shared.peer[D::INDEX]);
        let (acknowledged, edge) = (first_of(peer), second_of(peer));
        // What the server has acknowledged of the client's bytes.
        work.stream.acknowledged = first_of(H::load(&shared.peer[Client::INDEX]));
        let taken = if D::IS_CLIENT {
            client::payload(host, self.policy, work, acknowledged, edge)
        } else {
            server::payload(host, self.policy, work, acknowledged, edge)
        };
        work.taken = match taken {
            Taken::Changed(reason) => CHANGED | reason.number() as u32,
            Taken::Unchanged(reason) => reason.number() as u32,
        };
        work.is_blocked() || (work.tally.commands < 2 || work.tally.several == 0) && work.tally.rewrites == 0
    }
}

impl Work {
    /// Begins to read the segment, from the connection's saved state on.
    #[inline(always)]
    const fn begin_reading(&mut self) {
        self.reading = Reading::NONE;
        self.scan = Progress::NONE;
        self.stream = InStream::NONE;
        self.identical = Replies::NONE;
        self.block = Block::NONE;
        self.tally = Tally::NONE;
    }
}

/// Third step, after [`crate::outcome::Next::READ`]: reads what there is to read. The lock is held. The longest call
/// chains begin here, so it keeps nothing for later.
#[inline(always)]
pub fn read<D: Direction, H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.taken = NOTHING;
    let Some(entry) = host.found() else { return };
    let shared = host.shared(entry);
    if work.segment.length > 0 && !sealed::<H, D>(shared, H::load(&shared.flags), &work.segment) {
        work.taken = Reason::Closing.number() as u32;
        H::run_steps(2, &mut Passes::<H, D> { host, policy, work, entry, direction: PhantomData });
    } else {
        work.begin_reading();
        host.load_state(entry, &mut work.state);
        work.taken = Reason::Closing.number() as u32;
    }
}
