//! A server's segment with payload.

use super::{ahead, earlier, later, window};
use crate::{
    event::SERVER, host::Host, policy::Policy, reason::Reason, smtp::server as automaton, tcp::client::Taken,
    work::Work,
};

const SIDE: usize = SERVER as usize;

/// Judges a segment's payload, with what the client has acknowledged and the edge of its window.
#[inline(always)]
pub fn payload<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, acknowledged: u32, edge: u32) -> Taken {
    let (sequence, length, end) = (work.segment.sequence, work.segment.length, work.segment.end());
    let next = work.state.half[SIDE].next;
    let acknowledged = earlier(acknowledged, next);
    if ahead(end, edge) > 1 {
        work.hold_back(Reason::BeyondWindow);
        return Taken::Unchanged(Reason::BeyondWindow);
    }
    let gap = ahead(sequence, next);
    if gap > 0 {
        work.hold_back(Reason::Early);
        return Taken::Unchanged(Reason::Early);
    }
    let repeated = gap.wrapping_neg() as u32;
    if repeated > 0 {
        let from = later(sequence, acknowledged);
        let to = earlier(end, next);
        if ahead(to, from) > 0 {
            work.run.differs = 0;
            window::compare::<H, SIDE>(host, work, from.wrapping_sub(sequence), to.wrapping_sub(sequence));
            if work.run.differs != 0 {
                let action = policy.guard(Reason::ChangedRepeat.number());
                work.cut(Reason::ChangedRepeat.number(), action, sequence);
                return Taken::Unchanged(Reason::ChangedRepeat);
            }
        }
        if repeated >= length {
            return Taken::Unchanged(Reason::Repeat);
        }
    }
    work.run.at = repeated;
    work.run.end = length;
    work.run.piece_length = 0;
    if !automaton::read(host, policy, work) {
        return Taken::Unchanged(Reason::Replies);
    }
    work.state.half[SIDE].next = end;
    work.state.half[SIDE].bytes += (length - repeated) as u64;
    if !window::make_room::<H, SIDE>(host, work, acknowledged, next, end) {
        work.hold_back(Reason::Backlog);
        return Taken::Unchanged(Reason::Backlog);
    }
    if !window::keep::<H, SIDE>(host, work, repeated, length) {
        work.hold_back(Reason::Unfetched);
    }
    Taken::Changed(Reason::Replies)
}
