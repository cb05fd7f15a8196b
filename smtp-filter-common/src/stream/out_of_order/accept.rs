//! Whether a segment of mail data passes although bytes before it are missing.

use super::{add::add, search::search};
use crate::{
    direction::{Client, Direction as _},
    host::Host,
    session::{
        Mode,
        data::{self, State},
        reading::NOWHERE,
        scan,
    },
    stream::{
        boundaries,
        in_segment::{Data, Neighbours, Position},
        pieces, retransmission,
    },
    work::Work,
};

/// The largest window (RFC 7323 section 2.2).
const FAR: i32 = 1 << 30;

/// Shorter segments that might end the mail data wait for the bytes before them: a client may have sent QUIT together
/// with the end of data.
const LONG: u32 = 16;

/// A segment after a gap in mail data; whether it passes.
#[inline(never)]
pub fn may_pass_before_gap<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let (sequence, length, end) = (work.segment.sequence, work.segment.length, work.segment.end());
    // Less than four bytes say too little about the state after them. And no window reaches as far as `FAR`, which mode
    // `monitor` does not check elsewhere.
    let far = sequence.ahead_of(work.state.side[Client::INDEX].next) > FAR;
    if work.state.session.mode != Mode::MAIL_DATA || length < 4 || far {
        return false;
    }
    search(host, work, sequence, end);
    match work.stream.neighbours.position {
        Position::APART | Position::AFTER => {}
        Position::INSIDE => return retransmission::mail_data::out_of_order(host, work),
        _ => return false,
    }
    let Neighbours { before, barred, .. } = work.stream.neighbours;
    if !data_before_gap(host, work, State(before as u8)) {
        return false;
    }
    let after = work.scan.state;
    // Together with the bytes after it, which have already passed, the segment would form an end of data.
    if barred != 0 && barred == after.0 as u32 {
        return false;
    }
    let before = State(before as u8);
    let spare = boundaries::SPARE as u8;
    work.stream.differs = 0;
    work.data = Data { from: 0, to: length, before, overlaps: 0, spare, reserved: 0 };
    if !pieces::look_through::<H, { pieces::NEW }>(host, work) || work.stream.differs != 0 {
        return false;
    }
    // A receiver may switch to a retransmission here. A position without a boundary counts as the middle of a line.
    let remembered =
        after == State::MIDDLE && barred == 0 || boundaries::remember(host, work, end, after.0, boundaries::SPARE);
    remembered && add(host, work, sequence, end, after)
}

/// Scans out-of-order mail data; the state after it is then `scan.state`. `false` if it may contain an end of data.
/// `before` is the state before it. If that is not known ([`State::UNKNOWN`]), one state may be barred there.
#[inline(always)]
fn data_before_gap<H: Host>(host: &mut H, work: &mut Work, before: State) -> bool {
    work.reading.piece_length = 0;
    if before == State::UNKNOWN {
        if !host.fetch(0, 4, &mut work.piece) {
            return false;
        }
        let first = work.piece[1] as u32;
        let barred = data::completes(first);
        if barred != State::MIDDLE && (work.segment.length < LONG || data::completes_another(first)) {
            return false;
        }
        // Also for what goes beyond the position: a receiver may take the bytes before it from one copy, and those
        // after it from this one.
        let at = work.segment.sequence;
        if barred != State::MIDDLE && !boundaries::remember(host, work, at, boundaries::bar(barred), boundaries::SPARE)
        {
            return false;
        }
        work.stream.neighbours.barred_before = barred.0 as u32;
        work.scan.state = State::MIDDLE;
    } else {
        if !boundaries::remember_if_it_matters(host, work, 0, before, boundaries::SPARE) {
            return false;
        }
        work.scan.state = before;
    }
    let length = work.segment.length;
    scan::scan(host, work, 0, length);
    !work.is_blocked() && work.scan.end_of_data == NOWHERE
}
