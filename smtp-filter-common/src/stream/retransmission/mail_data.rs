//! Retransmitted mail data. Its bytes are not kept: it is scanned again, and has to agree with what is remembered of
//! the scanner's state (I4).

use crate::{
    host::{Host, Step},
    session::{
        data::{self, State},
        reading::NOWHERE,
        scan,
    },
    stream::{
        boundaries::{
            self, after_few,
            lookup::{listed, state_of},
        },
        in_segment::{Data, FORGOTTEN},
        pieces,
    },
    work::Work,
};

/// Scans retransmitted mail data, payload `from..to`, again. Afterwards `stream.differs` is not 0 if a receiver might
/// assemble other mail data from it than was read. The state `barred` (0: none) is known not to occur before it.
#[inline(always)]
pub fn scan_again<H: Host>(host: &mut H, work: &mut Work, (from, to): (u32, u32), barred: u32) {
    let before = state_before(host, work, from);
    if !is_clear(host, work, (from, to - from), before, barred) {
        return;
    }
    work.scan.state = if before == State::UNKNOWN { State::MIDDLE } else { before };
    scan::scan(host, work, from, to);
    if work.is_blocked() {
        return;
    }
    work.stream.differs |= ends_otherwise(host, work, to) as u32;
    if work.stream.differs == 0 {
        compare_boundaries(host, work, from, to, before);
    }
    if work.stream.differs == 0 {
        work.data = Data { from, to, before, overlaps: 0, spare: 0, reserved: 0 };
        pieces::look_through::<H, { pieces::PASSED }>(host, work);
    }
}

/// The state before the byte at offset `from`; [`State::UNKNOWN`] if it is not known.
#[inline(always)]
fn state_before<H: Host>(host: &mut H, work: &mut Work, from: u32) -> State {
    let start = work.segment.sequence_at(from);
    let before = match state_of(host, work, start) {
        // A receiver acknowledges only where some copy ended. A copy that ended here in any other state than MIDDLE
        // would have left a boundary, or (a retransmission) been blocked by `ends_otherwise`. So without a boundary the
        // state is MIDDLE. One exception: a copy that ended here before anything after this position was read. It ended
        // in the state of the first copy, which is `near`.
        (State::UNKNOWN, State::UNKNOWN) if start == work.stream.acknowledged => State::MIDDLE,
        (State::UNKNOWN, near) if start == work.stream.acknowledged => near,
        (before, _) => before,
    };
    State(work.unknown::<H>(before.0))
}

/// Whether the first of `length` bytes at offset `from` mean the same whatever was before them, or it is known what
/// was. If not, or if they cannot be fetched, `stream.differs` says so.
#[inline(always)]
fn is_clear<H: Host>(host: &mut H, work: &mut Work, (from, length): (u32, u32), before: State, barred: u32) -> bool {
    work.reading.piece_length = 0;
    work.piece[1] = 0;
    if !host.fetch(from, if length > 4 { 4 } else { length }, &mut work.piece) {
        work.stream.differs |= FORGOTTEN;
        return false;
    }
    let first = work.piece[1] as u32;
    let few = length < 4;
    let unclear = few && after_few(before, first, length) == State::UNKNOWN;
    let completes = data::completes(first).0 as u32;
    let may_end = completes != 0 && (few || completes != barred || data::completes_another(first));
    if before == State::UNKNOWN && (may_end || unclear) {
        // These bytes might complete an end of data.
        work.stream.differs |= 1;
        return false;
    }
    true
}

/// Whether the bytes up to offset `to`, which have just been scanned, end in another state than the first copy did. If
/// its state is not known, it was MIDDLE: any other would have left a boundary.
#[inline(always)]
fn ends_otherwise<H: Host>(host: &mut H, work: &mut Work, to: u32) -> bool {
    let end = work.segment.sequence_at(to);
    let state = if work.scan.end_of_data == NOWHERE { work.scan.state } else { State::END };
    let (known, _) = state_of(host, work, end);
    let expected = if work.state.memory.is_end_of_data(end) {
        State::END
    } else if known == State::UNKNOWN {
        State::MIDDLE
    } else {
        known
    };
    state != expected || state == State::END && work.scan.end_of_data != to
}

/// Checks a retransmission of bytes that passed out of order; whether it passes.
#[inline(always)]
pub fn out_of_order<H: Host>(host: &mut H, work: &mut Work) -> bool {
    work.stream.differs = 0;
    let length = work.segment.length;
    let barred = work.stream.neighbours.barred;
    scan_again(host, work, (0, length), barred);
    !work.is_blocked() && work.stream.differs == 0
}

/// Compares the segment with the remembered boundaries.
struct Agree<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    /// Offsets in the payload.
    from: u32,
    to: u32,
    /// State at `from`, or [`State::UNKNOWN`].
    before: State,
}

impl<H: Host> Step for Agree<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (at, state, _) = listed(host, work, index);
        // Offset in the payload; positions outside the segment wrap to very large values.
        let offset = work.segment.offset_of(at);
        if state == State::UNKNOWN.0 || offset <= self.from || offset >= self.to {
            return false;
        }
        let count = offset - self.from;
        let few = count < 4;
        let at = if few { self.from } else { offset - 4 };
        // The segment may end before four bytes; bytes after the boundary do not count.
        let left = work.segment.length - at;
        if !host.fetch(at, if left > 4 { 4 } else { left }, &mut work.piece) {
            work.stream.differs |= FORGOTTEN;
            return true;
        }
        let bytes = work.piece[1] as u32;
        let here = if few { after_few(self.before, bytes, count) } else { data::state_after(bytes) };
        work.stream.differs |= boundaries::differs::<H>(here, state);
        work.stream.differs != 0
    }
}

/// Whether payload `from..to` agrees with the boundaries in it, and with the ends of out-of-order ranges. If not,
/// `stream.differs` is not 0 afterwards. `before` is the state at `from`, or [`State::UNKNOWN`] if it is not known.
#[inline(always)]
pub fn compare_boundaries<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32, before: State) {
    work.reading.piece_length = 0;
    let sequence = work.segment.sequence;
    let count = host.list_boundaries(work, sequence.plus(from).plus(1), sequence.plus(to));
    H::run_steps(count, &mut Agree { host, work, from, to, before });
}
