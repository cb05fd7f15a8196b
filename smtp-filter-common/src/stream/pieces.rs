//! A merged segment (GRO, GSO) goes on after the filter as the segments it was merged of, its pieces, and each of them may be
//! lost, discarded or overtaken on its own. So where two of them meet a receiver may go over from one copy to another, as
//! where a segment begins or ends: what holds there for segments holds for pieces (I4).

use super::{boundaries, out_of_order, retransmission};
use crate::{
    host::{Host, Step},
    reason::Reason,
    session::data,
    work::Work,
};

/// Pieces that a merged segment is looked through for: 198 KiB (BIG TCP) of 1,448 bytes have 141, 64 KiB of 64 bytes this many.
const PIECES: u32 = 1024;

/// New bytes: where pieces meet is remembered.
pub const NEW: bool = false;
/// Bytes that passed before, in order or out of order: nothing is remembered anew.
pub const PASSED: bool = true;

/// Bytes of mail data, whose pieces are looked through. They stand in the working place, and not on the stack: the chains of
/// calls are long here.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug)]
pub struct Data {
    /// Offset in the payload of the first byte.
    pub from: u32,
    /// Offset in the payload after the last byte.
    pub to: u32,
    /// The scanner's state at `from`, or [`data::END`] where it is not known.
    pub before: u8,
    /// 1: some of them may have passed out of order.
    pub overlaps: u8,
    /// Boundaries to be left for others: see [`boundaries::SPARE`].
    pub spare: u8,
    /// Zero.
    pub reserved: u8,
}

impl Data {
    /// No bytes.
    pub const NONE: Self = Self { from: 0, to: 0, before: 0, overlaps: 0, spare: 0, reserved: 0 };
}

struct Borders<'a, H, const BEFORE: bool> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host, const BEFORE: bool> Step for Borders<'_, H, BEFORE> {
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
        let state =
            if few { retransmission::after_few(before, bytes as u32, count) } else { data::behind(bytes as u32) };
        let next = (bytes >> (((at - start) & 7) * 8)) as u32;
        let short = work.segment.length - at < 4 || piece < 4;
        if !boundaries::matters(state, next, short) {
            return false;
        }
        let place = work.segment.sequence.wrapping_add(at);
        if state == data::END {
            // What came before decides, and is not known.
            work.run.differs = 1;
        } else if BEFORE || work.data.overlaps != 0 && inside(host, work, place) {
            work.run.differs |= (retransmission::state_at(host, work, place).0 != state) as u32;
        } else {
            let spare = work.data.spare as usize;
            boundaries::remember(host, work, place, state, spare);
        }
        work.run.differs != 0 || work.run.cut != 0
    }
}

/// Whether a place lies inside what passed out of order.
#[inline(always)]
fn inside<H: Host>(host: &mut H, work: &mut Work, place: u32) -> bool {
    out_of_order::search(host, work, place.wrapping_sub(1), place.wrapping_add(1));
    work.run.ranges.place == out_of_order::INSIDE
}

/// Looks through the pieces of the segment in hand, as far as `Work::data` says. Where two of them meet and it matters what came before, that is
/// remembered or, where the bytes passed before, has to be what is known; `run.differs` is not 0 afterwards if it is not.
/// `false` where the segment is held back: that cannot be remembered, or the pieces are too many.
// verifier: inlined, for what `remember` calls takes three frames more.
#[inline(always)]
pub fn look_through<H: Host, const BEFORE: bool>(host: &mut H, work: &mut Work) -> bool {
    let piece = work.segment.piece as u32;
    if piece == 0 {
        return true;
    }
    work.run.piece_length = 0;
    if work.segment.length / piece > PIECES {
        work.hold_back(Reason::Backlog);
        return false;
    }
    H::repeat(PIECES + 1, &mut Borders::<H, BEFORE> { host, work });
    work.run.cut == 0
}
