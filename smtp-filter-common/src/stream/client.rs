//! A client's segment with payload: which of its bytes are read, and whether it goes on.

use super::{
    beyond, boundaries, chunks, gap, out_of_order, pieces, pool, regions, regions_end, retransmission, window,
};
use crate::{
    action::Action,
    bounds::REGIONS,
    direction::{Client, Direction as _},
    entry::{Memory, first_of},
    host::{Host, Step},
    policy::Policy,
    reason::Reason,
    seq::Seq,
    session::data::NOWHERE,
    session::{self, Mode, client as automaton, data, monitor},
    stream::in_segment::{FORGOTTEN, REFUSED, UNFETCHED},
    work::Work,
};

const SIDE: usize = Client::INDEX;

/// The largest window (RFC 7323 section 2.2).
const FAR: i32 = 1 << 30;

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
    if work.monitors == 0 && beyond(work, edge) {
        work.hold_back(Reason::BeyondWindow);
        return Taken::Unchanged(Reason::BeyondWindow);
    }
    super::forget_rewritten(work, SIDE);
    regions::forget::<H>(&mut work.state.memory, acknowledged);
    work.state.memory.forget_acknowledged(acknowledged);
    let memory = &mut work.state.memory;
    if !acknowledged.is_before(memory.missing_to) {
        memory.missing = 0;
    }
    let kept = memory.slot == 0 || out_of_order::look_after(host, work);
    if !kept || work.state.memory.chunk_slot != 0 && !chunks::look_after(host, work) {
        if !work.passes_over() {
            return Taken::Unchanged(Reason::Forgotten);
        }
        gap::forget(work);
    }
    // Computed again instead of kept: a local would enlarge the stack frame below everything that reads a client's
    // bytes.
    let gap = work.segment.sequence.ahead_of(work.state.side[SIDE].next);
    let within = gap > 0 && within_chunk(work, gap as u32);
    if work.is_blocked() {
        return Taken::Unchanged(Reason::Backlog);
    }
    if gap > 0 && !within {
        if before_gap(host, work) {
            return Taken::Changed(Reason::OutOfOrderData);
        }
        if !work.is_blocked() {
            work.hold_back(Reason::OutOfOrder);
        }
        if !work.passes_over() {
            return Taken::Unchanged(Reason::OutOfOrder);
        }
        gap::leap(work);
    }
    work.stream.next = work.state.side[SIDE].next;
    // verifier: forgets how the value came about.
    let new = handle_retransmitted(host, policy, work) as u8;
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

/// Releases the pool slots once all that the client sent is acknowledged. Otherwise an idle client would keep them from
/// others.
#[inline(never)]
pub fn at_rest<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let Some(shared) = host.shared() else { return false };
    let acknowledged = first_of(H::load(&shared.peer[SIDE]));
    if acknowledged.is_before(work.state.side[SIDE].next) {
        return false;
    }
    if work.state.side[SIDE].slot != 0 {
        window::release::<H, Client>(host, work);
    }
    let Memory { slot, ranges, chunk_slot, .. } = work.state.memory;
    if slot != 0 && ranges == 0 && work.state.session.mode != Mode::MAIL_DATA {
        pool::release(host, slot, pool::LISTS);
        work.state.memory.slot = 0;
        work.state.memory.boundaries = 0;
        work.state.memory.fresh = 0;
    }
    if chunk_slot != 0 {
        pool::release(host, chunk_slot, pool::CHUNKS);
        work.state.memory.chunk_slot = 0;
        work.state.memory.chunks = 0;
    }
    true
}

/// The connection seems to have ended: others may take its slots of the pool.
#[inline(never)]
pub fn leave<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let Memory { slot, chunk_slot, .. } = work.state.memory;
    let [client, server] = [work.state.side[0].slot, work.state.side[1].slot];
    pool::leave(host, client, pool::BYTES);
    pool::leave(host, server, pool::BYTES + 1);
    pool::leave(host, slot, pool::LISTS);
    pool::leave(host, chunk_slot, pool::CHUNKS);
    true
}

/// Handles retransmitted bytes. Returns whether there are new ones to be read.
#[inline(always)]
fn handle_retransmitted<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
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
    if !window::blank::<H, Client>(host, work, acknowledged) {
        work.stream.differs = UNFETCHED;
        return false;
    }
    let from = work.segment.sequence.later(work.stream.acknowledged);
    let to = work.segment.end().earlier(work.stream.next);
    !to.is_after(from) || retransmission::check(host, work, from, to)
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
    work.passes_over()
}

/// The new bytes begin at `stream.next`; `false` if they have to wait. Not inlined, so that its stack frame does not lie
/// below the code that reads them.
#[inline(never)]
fn begin<H: Host>(host: &mut H, work: &mut Work) -> bool {
    if work.stream.late != 0 {
        return true;
    }
    let next = work.stream.next;
    if work.state.session.doubt & monitor::SEGMENT != 0 {
        work.state.line[SIDE].begin(false, next);
    }
    let at = work.segment.offset_of(next);
    work.reading.piece_length = 0;
    if work.state.session.mode == Mode::MAIL_DATA && !begin_data(host, work, at) && !work.passes_over() {
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
    if !remember_boundary(host, work, at, state, 0) {
        return false;
    }
    let length = work.segment.length;
    let overlaps = work.state.memory.has_ranges() as u8;
    work.data = pieces::Data { from: at, to: length, before: state, overlaps, spare: 0, reserved: 0 };
    work.stream.differs = 0;
    if !pieces::look_through::<H, { pieces::NEW }>(host, work) {
        return false;
    }
    if overlaps != 0 && work.stream.differs == 0 {
        retransmission::agrees(host, work, at, length, state);
    }
    if work.stream.differs != 0 {
        work.hold_back(Reason::OutOfOrder);
    }
    !work.is_blocked()
}

/// Remembers the boundary at offset `at` if it matters; `false` if there is no room.
#[inline(always)]
fn remember_boundary<H: Host>(host: &mut H, work: &mut Work, at: u32, state: u8, spare: usize) -> bool {
    let left = work.segment.length.wrapping_sub(at);
    let short = left < 4;
    work.piece[1] = 0;
    if !short && !host.fetch(at, 4, &mut work.piece) {
        work.hold_back(Reason::Unfetched);
        return false;
    }
    let position = work.segment.sequence_at(at);
    !boundaries::matters(state, work.piece[1] as u32, short) || boundaries::remember(host, work, position, state, spare)
}

/// The segment's new bytes, from `stream.next` on, have been read.
#[inline(never)]
fn settle<H: Host>(host: &mut H, work: &mut Work) -> bool {
    if work.stream.late != 0 {
        return gap::end_late(work);
    }
    let next = work.stream.next;
    let end = work.segment.end();
    work.state.side[SIDE].next = end;
    work.state.side[SIDE].bytes += end.since(next) as u64;
    if work.state.memory.has_ranges() {
        join(host, work);
        if work.is_blocked() {
            if !work.passes_over() {
                return false;
            }
            work.state.memory.forget_ranges();
        }
    }
    keep(host, work, next);
    !work.is_blocked()
}

/// A segment after a gap in mail data; whether it passes.
#[inline(never)]
fn before_gap<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let (sequence, length, end) = (work.segment.sequence, work.segment.length, work.segment.end());
    // Less than four bytes say too little about the state after them. And no window reaches as far as `FAR`, which mode
    // `monitor` does not check elsewhere.
    let far = sequence.ahead_of(work.state.side[SIDE].next) > FAR;
    if work.state.session.mode != Mode::MAIL_DATA || length < 4 || far {
        return false;
    }
    out_of_order::search(host, work, sequence, end);
    match work.stream.ranges.position {
        out_of_order::APART | out_of_order::AFTER => {}
        out_of_order::INSIDE => return retransmission::out_of_order(host, work),
        _ => return false,
    }
    let out_of_order::Found { before, barred, .. } = work.stream.ranges;
    if !data_before_gap(host, work, before as u8) {
        return false;
    }
    let after = work.scan.state;
    // Together with the bytes after it, which have already passed, the segment would form an end of data.
    if barred != 0 && barred == after as u32 {
        return false;
    }
    let before = before as u8;
    let spare = boundaries::SPARE as u8;
    work.stream.differs = 0;
    work.data = pieces::Data { from: 0, to: length, before, overlaps: 0, spare, reserved: 0 };
    if !pieces::look_through::<H, { pieces::NEW }>(host, work) || work.stream.differs != 0 {
        return false;
    }
    // A receiver may switch to a retransmission here. A position without a boundary counts as the middle of a line.
    let remembered =
        after == data::MIDDLE && barred == 0 || boundaries::remember(host, work, end, after, boundaries::SPARE);
    remembered && out_of_order::add(host, work, sequence, end, after)
}

/// A segment that begins within a chunk, or at its end, after a gap. The missing bytes belong to the chunk, so they are
/// no commands and may come in any order: reading continues with this segment. `false` if it begins elsewhere.
#[inline(always)]
fn within_chunk(work: &mut Work, gap: u32) -> bool {
    if work.state.session.mode != Mode::CHUNK || gap as u64 > work.state.session.chunk {
        return false;
    }
    work.state.side[SIDE].next = work.segment.sequence;
    work.state.memory.missing |= 1;
    work.state.memory.missing_to = work.segment.sequence;
    work.state.side[SIDE].bytes += gap as u64;
    work.state.session.chunk -= gap as u64;
    if work.state.session.chunk == 0 {
        work.reading.at = 0;
        automaton::begin_commands(work);
    }
    true
}

/// Scans out-of-order mail data; the state after it is then `scan.state`. `false` if it may contain an end of data.
/// `before` is the state before it. If that is not known ([`data::END`]), one state may be barred there.
#[inline(always)]
fn data_before_gap<H: Host>(host: &mut H, work: &mut Work, before: u8) -> bool {
    work.reading.piece_length = 0;
    if before == data::END {
        if !host.fetch(0, 4, &mut work.piece) {
            return false;
        }
        let first = work.piece[1] as u32;
        let barred = data::completes(first);
        if barred != data::MIDDLE && (work.segment.length < out_of_order::LONG || data::completes_another(first)) {
            return false;
        }
        // Also for what goes beyond the position: a receiver may take the bytes before it from one copy, and those after it
        // from this one.
        let at = work.segment.sequence;
        if barred != data::MIDDLE && !boundaries::remember(host, work, at, boundaries::bar(barred), boundaries::SPARE) {
            return false;
        }
        work.stream.ranges.barred_before = barred as u32;
        work.scan.state = data::MIDDLE;
    } else {
        if !remember_boundary(host, work, 0, before, boundaries::SPARE) {
            return false;
        }
        work.scan.state = before;
    }
    let length = work.segment.length;
    data::scan(host, work, 0, length);
    !work.is_blocked() && work.scan.end_of_data == NOWHERE
}

/// The gap before an out-of-order range may be filled now.
#[inline(always)]
fn join<H: Host>(host: &mut H, work: &mut Work) {
    let before = work.state.side[SIDE].next;
    out_of_order::join(host, work);
    let out_of_order::Found { reached, text, astray, inside, barred, .. } = work.stream.ranges;
    if astray == out_of_order::ENDS {
        // What comes after the end of data has already passed as mail data.
        work.block_by(Reason::LateEndOfData.number(), Action::Reset as u8, before);
        return;
    }
    if astray != 0 {
        work.hold_back(Reason::OutOfOrder);
        return;
    }
    let joined = reached.since(before);
    if joined == 0 {
        return;
    }
    let state = work.state.memory.data_state;
    // A boundary, as at the end of an out-of-order segment. If the new bytes end inside a range, it is no longer known
    // how the range continues from there: it might end the mail data. If a state was barred at the range's start, the
    // state is known now and replaces the bar.
    if (state != data::MIDDLE || (inside | barred) != 0) && !boundaries::remember(host, work, before, state, 0) {
        return;
    }
    work.state.side[SIDE].next = reached;
    work.state.side[SIDE].bytes += joined as u64;
    work.state.memory.data_state = text as u8;
}

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
        if kind != session::Mode::COMMAND {
            return false;
        }
        let start = work.state.memory.region_at[i].later(self.from);
        let stop = regions_end(work, i).earlier(work.segment.end());
        if !stop.is_after(start) {
            return false;
        }
        if !window::make_room::<H, Client>(host, work, (self.oldest, start, stop), 0) {
            work.state.side[SIDE].unkept = work.passes_over() as u8;
            return true;
        }
        let sequence = work.segment.sequence;
        if !window::keep::<H, Client>(host, work, start.since(sequence), stop.since(sequence)) {
            work.hold_back(Reason::Unfetched);
        }
        work.is_blocked()
    }
}

/// Keeps the new bytes of commands, for comparison with retransmissions.
#[inline(always)]
fn keep<H: Host>(host: &mut H, work: &mut Work, next: Seq) {
    let memory = &work.state.memory;
    let mut oldest = work.segment.end();
    let mut found = false;
    let mut i = 0;
    while i < REGIONS {
        if i < memory.regions as usize && !found && memory.region_kind[i] == session::Mode::COMMAND {
            oldest = memory.region_at[i].later(work.stream.acknowledged);
            found = true;
        }
        i += 1;
    }
    if found {
        H::run_steps(REGIONS as u32, &mut Keep { host, work, oldest, from: next });
    }
}
