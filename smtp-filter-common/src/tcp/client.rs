//! A client's segment with payload: which of its bytes are read, and whether it goes on.

use super::{ahead, beyond, early, later, marks, regions, regions_end, repeat, window};
use crate::{
    event::CLIENT,
    host::{Host, Step},
    limits::REGIONS,
    policy::Policy,
    reason::Reason,
    smtp::{self, CHUNK, TEXT, client as automaton, text},
    tcp::early::Place,
    work::{NOWHERE, Work},
};

const SIDE: usize = CLIENT as usize;

/// What became of a segment that was not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing changed.
    Unchanged(Reason),
    /// The state in the working place counts from now on.
    Changed(Reason),
}

/// Judges a segment's payload, with what the server has acknowledged and the edge of its window.
#[inline(always)]
pub fn payload<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, acknowledged: u32, edge: u32) -> Taken {
    let next = work.state.half[SIDE].next;
    // An acknowledgement of what has not passed says nothing.
    let acknowledged = super::earlier(acknowledged, next);
    work.run.acknowledged = acknowledged;
    if beyond(work, edge) {
        work.hold_back(Reason::BeyondWindow);
        return Taken::Unchanged(Reason::BeyondWindow);
    }
    super::forget_rewritten(work, SIDE);
    regions::forget::<H>(&mut work.state.memory, acknowledged);
    work.state.memory.forget_acknowledged(acknowledged);
    if ahead(work.segment.sequence, next) > 0 {
        if before_gap(host, work) {
            return Taken::Changed(Reason::EarlyText);
        }
        work.hold_back(Reason::Early);
        return Taken::Unchanged(Reason::Early);
    }
    if !repeated(host, policy, work, acknowledged, next) {
        return Taken::Unchanged(Reason::Repeat);
    }
    let reason = match work.state.session.mode {
        TEXT | CHUNK => Reason::MailData,
        _ => Reason::Commands,
    };
    if !begin(host, work, next) || !automaton::read(host, policy, work) || !settle(host, work, acknowledged, next) {
        return Taken::Unchanged(reason);
    }
    Taken::Changed(reason)
}

/// Deals with bytes that have passed before. Whether there are new ones to be read.
#[inline(never)]
fn repeated<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, acknowledged: u32, next: u32) -> bool {
    let (sequence, length, end) = (work.segment.sequence, work.segment.length, work.segment.end());
    let repeated = next.wrapping_sub(sequence);
    if repeated > 0 {
        if !window::blank::<H, SIDE>(host, work, acknowledged) {
            work.hold_back(Reason::Unfetched);
            return false;
        }
        let from = later(sequence, acknowledged);
        let to = super::earlier(end, next);
        if ahead(to, from) > 0 && !repeat::check(host, work, from, to) {
            let action = policy.guard(Reason::ChangedRepeat.number());
            work.cut(Reason::ChangedRepeat.number(), action, sequence);
            return false;
        }
        if repeated >= length {
            return false;
        }
    }
    true
}

/// The new bytes begin at `next`; `false` if they have to wait. A function of its own, so that its stack frame does not
/// lie below what reads them.
#[inline(never)]
fn begin<H: Host>(host: &mut H, work: &mut Work, next: u32) -> bool {
    let at = next.wrapping_sub(work.segment.sequence);
    work.run.piece_length = 0;
    if work.state.session.mode == TEXT {
        let state = work.state.memory.text;
        if !mark(host, work, at, state, 0) {
            return false;
        }
        if work.segment.piece != 0 {
            H::repeat(marks::PIECES, &mut Merged { host, work, from: at });
        }
        if work.state.memory.has_early() {
            work.run.differs = 0;
            repeat::agrees(host, work, at, work.segment.length, state);
            if work.run.differs != 0 {
                work.hold_back(Reason::Early);
                return false;
            }
        }
    }
    work.run.at = at;
    work.run.first = at;
    work.run.end = work.segment.length;
    true
}

/// Behind the filter a merged segment goes on as the segments it was merged of, and those may be lost and repeated one by
/// one. Where they meet an honest repeat begins or ends; nothing is lost but that one where there is no room.
struct Merged<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    /// Offset of the first new byte.
    from: u32,
}

impl<H: Host> Step for Merged<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let at = (index + 1) * work.segment.piece as u32;
        if at >= work.segment.length {
            return true;
        }
        let left = work.segment.length - at;
        // What stands before is new, too, or nobody knows whose it is.
        if at < self.from.wrapping_add(4) {
            return false;
        }
        work.piece[1] = 0;
        if host.fetch(at - 4, if left < 4 { 4 + left } else { 8 }, &mut work.piece) {
            let state = text::behind(work.piece[1] as u32);
            if marks::matters(state, (work.piece[1] >> 32) as u32, left < 4) {
                let place = work.segment.sequence.wrapping_add(at);
                work.state.memory.mark(place, state, marks::SPARE);
            }
        }
        false
    }
}

/// Remembers the place at offset `at` if it matters; `false` if there is no room.
#[inline(always)]
fn mark<H: Host>(host: &mut H, work: &mut Work, at: u32, state: u8, spare: usize) -> bool {
    let left = work.segment.length.wrapping_sub(at);
    let short = left < 4;
    work.piece[1] = 0;
    if !short && !host.fetch(at, 4, &mut work.piece) {
        work.hold_back(Reason::Unfetched);
        return false;
    }
    let place = work.segment.sequence.wrapping_add(at);
    if marks::matters(state, work.piece[1] as u32, short) && !work.state.memory.mark(place, state, spare) {
        work.hold_back(Reason::Backlog);
        return false;
    }
    true
}

/// The segment's new bytes, from `next` on, have been read.
#[inline(never)]
fn settle<H: Host>(host: &mut H, work: &mut Work, acknowledged: u32, next: u32) -> bool {
    let end = work.segment.end();
    work.state.half[SIDE].next = end;
    work.state.half[SIDE].bytes += end.wrapping_sub(next) as u64;
    if work.state.memory.has_early() {
        join::<H>(work);
        if work.run.cut != 0 {
            return false;
        }
    }
    keep(host, work, acknowledged, next);
    work.run.cut == 0
}

/// A segment in front of a gap; whether it passes.
#[inline(never)]
fn before_gap<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let (sequence, length, end) = (work.segment.sequence, work.segment.length, work.segment.end());
    let (place, before) = work.state.memory.early_place(sequence, end);
    let is_text = match work.state.session.mode {
        // Shorter ones tell too little about the state behind them.
        TEXT if length >= 4 => true,
        CHUNK if ahead(end, work.state.half[SIDE].next) as u64 <= work.state.session.chunk => false,
        _ => return false,
    };
    match place {
        Place::Apart | Place::Behind => {}
        Place::Inside if is_text => return repeat::early(host, work),
        Place::Inside => return true,
        Place::Across => return false,
    }
    if is_text && !text_before_gap(host, work, before) {
        return false;
    }
    let behind = if is_text { work.run.text } else { text::MIDDLE };
    // A receiver may go over to a retransmission there. What is not remembered is taken for the middle of a line.
    let remembered = behind == text::MIDDLE || work.state.memory.mark(end, behind, marks::SPARE);
    remembered && work.state.memory.add_early(sequence, end, behind)
}

/// Scans early mail text, behind which the state is `run.text` then; `false` if an end of data is possible in it. `before`
/// is the state in front of it, or [`text::END`] where it is not known.
#[inline(always)]
fn text_before_gap<H: Host>(host: &mut H, work: &mut Work, before: u8) -> bool {
    work.run.piece_length = 0;
    if before == text::END {
        if !host.fetch(0, 4, &mut work.piece) || text::may_end(work.piece[1] as u32) {
            return false;
        }
        work.run.text = text::MIDDLE;
    } else {
        if !mark(host, work, 0, before, marks::SPARE) {
            return false;
        }
        work.run.text = before;
    }
    let length = work.segment.length;
    text::scan(host, work, 0, length);
    work.run.cut == 0 && work.run.found == NOWHERE
}

/// The gap in front of early bytes may be filled now.
#[inline(always)]
fn join<H: Host>(work: &mut Work) {
    let before = work.state.half[SIDE].next;
    let mut reached = early::Reached { next: before, text: work.state.memory.text, astray: false };
    let chunk = work.state.session.mode == CHUNK;
    if chunk {
        reached.text = text::MIDDLE;
    }
    early::join::<H>(&mut work.state.memory, &mut reached);
    if reached.astray {
        work.hold_back(Reason::Early);
        return;
    }
    let joined = reached.next.wrapping_sub(before);
    if joined == 0 {
        return;
    }
    let state = work.state.memory.text;
    // As at the end of an early segment.
    if !chunk && state != text::MIDDLE && !work.state.memory.mark(before, state, 0) {
        work.hold_back(Reason::Backlog);
        return;
    }
    work.state.half[SIDE].next = reached.next;
    work.state.half[SIDE].bytes += joined as u64;
    if chunk {
        work.state.session.chunk = work.state.session.chunk.wrapping_sub(joined as u64);
        if work.state.session.chunk == 0 {
            // The place of the next byte: behind what was joined.
            work.run.at = reached.next.wrapping_sub(work.segment.sequence);
            automaton::begin_commands(work);
        }
    } else {
        work.state.memory.text = reached.text;
    }
}

struct Keep<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    /// First sequence number of commands that is not acknowledged.
    oldest: u32,
    /// First new sequence number.
    from: u32,
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
        if kind != smtp::COMMAND {
            return false;
        }
        let start = later(work.state.memory.region_at[i], self.from);
        let stop = super::earlier(regions_end(work, i), work.segment.end());
        if ahead(stop, start) <= 0 {
            return false;
        }
        if !window::make_room::<H, SIDE>(host, work, self.oldest, start, stop) {
            work.hold_back(Reason::Backlog);
            return true;
        }
        let sequence = work.segment.sequence;
        if !window::keep::<H, SIDE>(host, work, start.wrapping_sub(sequence), stop.wrapping_sub(sequence)) {
            work.hold_back(Reason::Unfetched);
        }
        work.run.cut != 0
    }
}

/// Keeps what the segment brought of commands, for comparison with repeats.
#[inline(always)]
fn keep<H: Host>(host: &mut H, work: &mut Work, acknowledged: u32, next: u32) {
    let memory = &work.state.memory;
    let mut oldest = work.segment.end();
    let mut found = false;
    let mut i = 0;
    while i < REGIONS {
        if i < memory.regions as usize && !found && memory.region_kind[i] == smtp::COMMAND {
            oldest = later(memory.region_at[i], acknowledged);
            found = true;
        }
        i += 1;
    }
    if found {
        H::repeat(REGIONS as u32, &mut Keep { host, work, oldest, from: next });
    }
}
