//! A merged segment (GRO, GSO) leaves the filter as the segments it was merged from, its pieces. Each of them may be
//! lost, discarded or overtaken on its own. So a receiver may switch from one copy to another where two pieces meet,
//! just as at the ends of a segment, and the same rules apply there (I4).

use super::{
    boundaries::{self, after_few, lookup::state_of},
    in_segment::{Data, Position},
    out_of_order::search::search,
};
use crate::{
    host::{Host, Step},
    reason::Reason,
    seq::Seq,
    session::data::{self, State},
    work::Work,
};

/// Pieces that are examined in a merged segment: 198 KiB (BIG TCP) in pieces of 1,448 bytes are 141; 64 KiB in pieces
/// of 64 bytes are this many.
const PIECES: u32 = 1024;

/// New bytes: the borders of pieces are remembered.
pub const NEW: bool = false;

/// Bytes that passed before, in order or out of order: nothing new is remembered.
pub const PASSED: bool = true;

struct Borders<'a, H, const ALREADY_PASSED: bool> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host, const ALREADY_PASSED: bool> Step for Borders<'_, H, ALREADY_PASSED> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let Data { from, to, before, .. } = work.data;
        let piece = work.segment.piece as u32;
        let at = (index + 1).wrapping_mul(piece);
        if at >= to {
            return true;
        }
        if at <= from {
            return false;
        }
        let count = at - from;
        let few = count < 4;
        let start = if few { from } else { at - 4 };
        let left = work.segment.length - start;
        work.piece[1] = 0;
        if !host.fetch(start, if left < 8 { left } else { 8 }, &mut work.piece) {
            work.hold_back(Reason::Unfetched);
            return true;
        }
        let bytes = work.piece[1];
        let state = if few { after_few(before, bytes as u32, count) } else { data::state_after(bytes as u32) };
        let next = (bytes >> (((at - start) & 7) * 8)) as u32;
        let short = work.segment.length - at < 4 || piece < 4;
        if !boundaries::matters(state, next, short) {
            return false;
        }
        let position = work.segment.sequence_at(at);
        if state == State::UNKNOWN {
            // The bytes before would decide, and they are not known.
            work.stream.differs = 1;
        } else if ALREADY_PASSED || work.data.overlaps != 0 && inside(host, work, position) {
            work.stream.differs |= (state_of(host, work, position).0 != state) as u32;
        } else {
            let spare = work.data.spare as usize;
            boundaries::remember(host, work, position, state.0, spare);
        }
        work.stream.differs != 0 || work.is_blocked()
    }
}

/// Whether a position lies inside an out-of-order range.
#[inline(always)]
fn inside<H: Host>(host: &mut H, work: &mut Work, position: Seq) -> bool {
    search(host, work, position.minus(1), position.plus(1));
    work.stream.neighbours.position == Position::INSIDE
}

/// Examines the pieces of the current segment within `Work::data`. A border between two pieces, where it matters what
/// came before, is remembered. If the bytes passed before, it has to agree with what is known; otherwise
/// `stream.differs` is not 0 afterwards. `false` if the segment is held back: there is no room to remember the border,
/// or there are too many pieces.
// verifier: inlined, because the calls below `remember` take three more frames.
#[inline(always)]
pub fn look_through<H: Host, const ALREADY_PASSED: bool>(host: &mut H, work: &mut Work) -> bool {
    let piece = work.segment.piece as u32;
    if piece == 0 {
        return true;
    }
    work.reading.piece_length = 0;
    if work.segment.length / piece > PIECES {
        work.hold_back(Reason::Backlog);
        return false;
    }
    H::run_steps(PIECES + 1, &mut Borders::<H, ALREADY_PASSED> { host, work });
    !work.is_blocked()
}
