//! A server's segment with payload.

use super::{acceptable::beyond, gap, identical, slots, window};
use crate::{
    direction::{Direction as _, Server},
    host::Host,
    policy::Policy,
    reason::Reason,
    seq::Seq,
    session::server as automaton,
    stream::client::Taken,
    stream::in_segment::FORGOTTEN,
    work::Work,
};

const SIDE: usize = Server::INDEX;

/// Judges a segment's payload, with what the client has acknowledged and the edge of its window.
#[inline(always)]
pub fn payload<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, acknowledged: Seq, edge: Seq) -> Taken {
    let next = work.state.side[SIDE].next;
    let acknowledged = acknowledged.earlier(next);
    if work.monitors == 0 && beyond(&work.segment, edge) {
        work.hold_back(Reason::BeyondWindow);
        return Taken::Unchanged(Reason::BeyondWindow);
    }
    window::forget_rewritten(&mut work.state.side[SIDE]);
    if work.segment.sequence.is_after(next) {
        work.hold_back(Reason::OutOfOrder);
        if !work.pass_over_if_monitoring() {
            return Taken::Unchanged(Reason::OutOfOrder);
        }
        gap::leap_of_server(work);
    }
    let next = work.state.side[SIDE].next;
    if !handle_retransmitted(host, policy, work, acknowledged, next) {
        return Taken::Unchanged(Reason::Retransmission);
    }
    work.reading.at = work.segment.offset_of(next);
    work.reading.first = work.reading.at;
    work.reading.end = work.segment.length;
    work.reading.piece_length = 0;
    if !automaton::read(host, policy, work) || !settle(host, work, acknowledged, next) {
        return Taken::Unchanged(Reason::Replies);
    }
    Taken::Changed(Reason::Replies)
}

/// Handles retransmitted bytes. Returns whether there are new ones to be read.
#[inline(never)]
fn handle_retransmitted<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, acknowledged: Seq, next: Seq) -> bool {
    let (sequence, end) = (work.segment.sequence, work.segment.end());
    if !window::retransmitted::blank::<H, Server>(host, work, acknowledged) {
        work.hold_back(Reason::Unfetched);
        return false;
    }
    let from = sequence.later(acknowledged);
    let to = end.earlier(next);
    if to.is_after(from) {
        work.stream.differs = 0;
        identical::check_retransmitted(host, work, from, to);
        let from = work.stream.windowed;
        if work.stream.differs == 0 && from != to.since(sequence) {
            window::retransmitted::check::<H, Server>(host, work, from, to.since(sequence));
        }
        if work.stream.differs == FORGOTTEN {
            work.hold_back(Reason::Forgotten);
        } else if work.stream.differs != 0 {
            let action = policy.guard(Reason::ChangedRetransmission.number());
            work.block_by(Reason::ChangedRetransmission.number(), action, sequence);
        }
        if work.is_blocked() && !work.pass_over_if_monitoring() {
            return false;
        }
    }
    end.is_after(next)
}

/// The segment's new bytes, from `next` on, have been read: they are kept for comparison with retransmissions.
#[inline(never)]
fn settle<H: Host>(host: &mut H, work: &mut Work, acknowledged: Seq, next: Seq) -> bool {
    let end = work.segment.end();
    slots::release_if_at_rest(host, work);
    let side = &mut work.state.side[SIDE];
    side.next = end;
    side.bytes += end.since(next) as u64;
    identical::follow(host, work, acknowledged, next);
    let covered = work.stream.covered;
    if !window::make_room::<H, Server>(host, work, (acknowledged, next, end), covered) {
        let passes = work.pass_over_if_monitoring();
        work.state.side[SIDE].unkept = passes as u8;
        return passes;
    }
    work.identical.keeps_line = 1;
    let from = work.stream.windowed;
    let length = work.segment.length;
    if !window::keep::<H, Server>(host, work, from, length) {
        work.hold_back(Reason::Unfetched);
        return false;
    }
    true
}
