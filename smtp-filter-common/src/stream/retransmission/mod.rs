//! Retransmissions of the client (I4): commands are compared with the bytes that passed; mail data is scanned again.
//!
//! Whatever a receiver assembles from the first copy and from retransmissions has to read as what was judged. The bytes
//! of mail data are not kept. So a retransmission of mail data may contain an end of data only where one was read, and
//! has to agree with the remembered boundaries about the scanner's state. Acknowledged bytes are not compared: the
//! receiver has them.

pub mod mail_data;

use super::{
    chunks, gap,
    in_segment::{FORGOTTEN, REFUSED, UNFETCHED},
    window,
};
use crate::{
    bounds::REGIONS,
    direction::{Client, Direction as _},
    host::{Host, Step},
    policy::Policy,
    reason::Reason,
    seq::Seq,
    session::Mode,
    work::Work,
};

/// Handles retransmitted bytes. Returns whether there are new ones to be read.
#[inline(always)]
pub fn handle<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    if work.monitors != 0 && gap::begin_late(work) {
        return true;
    }
    if !has_retransmitted(work) {
        return true;
    }
    if !agrees(host, work) && !differs(policy, work) {
        return false;
    }
    work.segment.offset_of(work.stream.next) < work.segment.length
}

/// Whether bytes of the segment have passed before.
#[inline(always)]
fn has_retransmitted(work: &Work) -> bool {
    work.stream.next != work.segment.sequence
}

/// Whether retransmitted bytes agree with what passed. Not inlined, because long call chains lead here.
#[inline(never)]
fn agrees<H: Host>(host: &mut H, work: &mut Work) -> bool {
    work.stream.differs = 0;
    let acknowledged = work.stream.acknowledged;
    if !window::retransmitted::blank::<H, Client>(host, work, acknowledged) {
        work.stream.differs = UNFETCHED;
        return false;
    }
    let from = work.segment.sequence.later(work.stream.acknowledged);
    let to = work.segment.end().earlier(work.stream.next);
    !to.is_after(from) || check(host, work, from, to)
}

/// They differ, or it is not known; `false` if the verdict is against the segment.
#[inline(never)]
fn differs(policy: &Policy, work: &mut Work) -> bool {
    match work.stream.differs {
        UNFETCHED => {
            work.hold_back(Reason::Unfetched);
            return false;
        }
        FORGOTTEN => work.hold_back(Reason::Forgotten),
        differs => {
            let refused = differs & REFUSED != 0;
            let reason = if refused { Reason::BdatRefused } else { Reason::ChangedRetransmission }.number();
            work.block_by(reason, policy.guard(reason), work.segment.sequence);
        }
    }
    work.pass_over_if_monitoring()
}

/// Checks the retransmitted sequence numbers `from..to`, none of them acknowledged. `false` if they must not reach the
/// server.
#[inline(always)]
pub fn check<H: Host>(host: &mut H, work: &mut Work, from: Seq, to: Seq) -> bool {
    work.stream.differs = 0;
    H::run_steps(REGIONS as u32, &mut Regions { host: &mut *host, work: &mut *work, from, to });
    if work.state.memory.chunks != 0 {
        chunks::retransmitted::check(host, work, from, to);
    }
    work.stream.differs == 0
}

struct Regions<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: Seq,
    to: Seq,
}

impl<H: Host> Step for Regions<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let i = index as usize & (REGIONS - 1);
        let memory = &work.state.memory;
        let used = memory.regions as usize;
        if i >= used || work.stream.differs != 0 {
            return true;
        }
        let stop =
            if i + 1 < used { memory.region_at[(i + 1) & (REGIONS - 1)] } else { work.state.side[Client::INDEX].next };
        let start = memory.region_at[i].later(self.from);
        let stop = stop.earlier(self.to);
        if !stop.is_after(start) {
            return false;
        }
        let sequence = work.segment.sequence;
        let (from, to) = (start.since(sequence), stop.since(sequence));
        match memory.region_kind[i] {
            Mode::MAIL_DATA => mail_data::scan_again(host, work, (from, to), 0),
            Mode::CHUNK | Mode::CHUNKS if refused(work, start) => work.stream.differs |= REFUSED,
            // BDAT lines are checked afterwards, in `check`.
            Mode::CHUNK | Mode::CHUNKS | Mode::TLS => {}
            _ => window::retransmitted::check::<H, Client>(host, work, from, to),
        }
        false
    }
}

/// Whether bytes of a chunk from `start` on may be their first copy, after the server has refused the chunk.
#[inline(always)]
const fn refused(work: &Work, start: Seq) -> bool {
    work.state.memory.missing > 1 && work.state.memory.missing_to.is_after(start)
}
