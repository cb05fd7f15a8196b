//! A client's segment with payload: which of its bytes are read, and whether it goes on.

use super::{
    acceptable::beyond, boundaries::remember_if_it_matters, chunks, gap, in_segment::Data, out_of_order, pieces,
    regions, retransmission, slots, window,
};
use crate::{
    direction::{Client, Direction as _},
    host::Host,
    policy::Policy,
    reason::Reason,
    seq::Seq,
    session::{Mode, client as automaton, state::Doubt},
    work::Work,
};

const SIDE: usize = Client::INDEX;

/// The result for a segment on which no verdict was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing changed.
    Unchanged(Reason),
    /// The state in the working area is to be saved.
    Changed(Reason),
}

/// Judges a segment's payload, with what the server has acknowledged and the edge of its window.
#[inline(always)]
pub fn payload<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, acknowledged: Seq, edge: Seq) -> Taken {
    let next = work.state.side[SIDE].next;
    // An acknowledgement of bytes that have not passed means nothing.
    let acknowledged = acknowledged.earlier(next);
    work.stream.acknowledged = acknowledged;
    if work.monitors == 0 && beyond(&work.segment, edge) {
        work.hold_back(Reason::BeyondWindow);
        return Taken::Unchanged(Reason::BeyondWindow);
    }
    window::forget_rewritten(&mut work.state.side[SIDE]);
    regions::forget::<H>(&mut work.state.memory, acknowledged);
    work.state.memory.forget_acknowledged(acknowledged);
    let memory = &mut work.state.memory;
    if !acknowledged.is_before(memory.missing_to) {
        memory.missing = 0;
    }
    let kept = memory.slot == 0 || slots::look_after_lists(host, work);
    if !kept || work.state.memory.chunk_slot != 0 && !chunks::look_after(host, work) {
        if !work.pass_over_if_monitoring() {
            return Taken::Unchanged(Reason::Forgotten);
        }
        gap::forget(work);
    }
    // Computed again instead of kept: a local would enlarge the stack frame below everything that reads a client's
    // bytes.
    let gap = work.segment.sequence.ahead_of(work.state.side[SIDE].next);
    let within = gap > 0 && chunks::enter_after_gap(work, gap as u32);
    if within && work.state.session.chunk == 0 {
        work.reading.at = 0;
        automaton::begin_commands(work);
    }
    if work.is_blocked() {
        return Taken::Unchanged(Reason::Backlog);
    }
    if gap > 0 && !within {
        if out_of_order::accept::may_pass_before_gap(host, work) {
            return Taken::Changed(Reason::OutOfOrderData);
        }
        if !work.is_blocked() {
            work.hold_back(Reason::OutOfOrder);
        }
        if !work.pass_over_if_monitoring() {
            return Taken::Unchanged(Reason::OutOfOrder);
        }
        gap::leap(work);
    }
    work.stream.next = work.state.side[SIDE].next;
    // verifier: forgets how the value came about.
    let new = retransmission::handle(host, policy, work) as u8;
    if work.unknown::<H>(new) == 0 {
        return Taken::Unchanged(Reason::Retransmission);
    }
    let reason = match work.state.session.mode {
        Mode::MAIL_DATA | Mode::CHUNK => Reason::MailData,
        _ => Reason::Commands,
    };
    if !begin(host, work) || !automaton::read(host, policy, work) || !settle(host, work) {
        return Taken::Unchanged(reason);
    }
    Taken::Changed(reason)
}

/// The new bytes begin at `stream.next`; `false` if they have to wait. Not inlined, so that its stack frame does not
/// lie below the code that reads them.
#[inline(never)]
fn begin<H: Host>(host: &mut H, work: &mut Work) -> bool {
    if work.stream.late != 0 {
        return true;
    }
    let next = work.stream.next;
    if work.state.session.doubt.has(Doubt::SEGMENT) {
        work.state.line[SIDE].begin(false, next);
    }
    let at = work.segment.offset_of(next);
    work.reading.piece_length = 0;
    if work.state.session.mode == Mode::MAIL_DATA && !begin_data(host, work, at) && !work.pass_over_if_monitoring() {
        return false;
    }
    work.reading.at = at;
    work.reading.first = at;
    work.reading.end = work.segment.length;
    true
}

/// New mail data begins at offset `at`; `false` if it has to wait.
#[inline(always)]
fn begin_data<H: Host>(host: &mut H, work: &mut Work, at: u32) -> bool {
    let state = work.state.memory.data_state;
    if !remember_if_it_matters(host, work, at, state, 0) {
        return false;
    }
    let length = work.segment.length;
    let overlaps = work.state.memory.has_ranges() as u8;
    work.data = Data { from: at, to: length, before: state, overlaps, spare: 0, reserved: 0 };
    work.stream.differs = 0;
    if !pieces::look_through::<H, { pieces::NEW }>(host, work) {
        return false;
    }
    if overlaps != 0 && work.stream.differs == 0 {
        retransmission::mail_data::compare_boundaries(host, work, at, length, state);
    }
    if work.stream.differs != 0 {
        work.hold_back(Reason::OutOfOrder);
    }
    !work.is_blocked()
}

/// The segment's new bytes, from `stream.next` on, have been read.
#[inline(never)]
fn settle<H: Host>(host: &mut H, work: &mut Work) -> bool {
    if work.stream.late != 0 {
        gap::end_late(work);
        return true;
    }
    let next = work.stream.next;
    let end = work.segment.end();
    work.state.side[SIDE].next = end;
    work.state.side[SIDE].bytes += end.since(next) as u64;
    if work.state.memory.has_ranges() {
        out_of_order::join::join(host, work);
        if work.is_blocked() {
            if !work.pass_over_if_monitoring() {
                return false;
            }
            work.state.memory.forget_ranges();
        }
    }
    window::commands::keep(host, work, next);
    !work.is_blocked()
}
