//! Retransmitted bytes of commands and replies: they are compared with those that were forwarded, or, if those were
//! rewritten, overwritten with them (I4).

use super::{
    fetch,
    ring::{Collect, Compare, GROUP},
    wide,
};
use crate::{
    bounds::{PATCH, PIECE, WIDE_WINDOW},
    branchless::{between, present},
    direction::Direction,
    host::{Host, Piece, Step},
    rewrite::patch_length,
    seq::Seq,
    stream::in_segment::FORGOTTEN,
    work::Work,
};

/// Makes sure that retransmitted payload `from..to` is what was forwarded. Unacknowledged bytes that were rewritten are
/// rewritten again; otherwise the bytes are compared. Afterwards `stream.differs` is not 0 if they differ, and
/// [`FORGOTTEN`] if the forwarded bytes are no longer known.
#[inline(always)]
pub fn check<H: Host, D: Direction>(host: &mut H, work: &mut Work, from: u32, to: u32) {
    let side = &work.state.side[D::INDEX];
    if side.rewrote != 0 && side.rewritten.is_after(work.segment.sequence_at(from)) {
        restore::<H, D>(host, work, from, to);
    } else {
        compare::<H, D>(host, work, from, to);
    }
}

/// Compares payload `from..to` with what was forwarded. Afterwards `stream.differs` is not 0 if it differs, and
/// [`FORGOTTEN`] if it can no longer be compared.
#[inline(always)]
fn compare<H: Host, D: Direction>(host: &mut H, work: &mut Work, from: u32, to: u32) {
    let length = to - from;
    let sequence = work.segment.sequence_at(from);
    let unkept = work.state.side[D::INDEX].unkept != 0;
    if unkept || length > WIDE_WINDOW as u32 || !fetch(host, work, from, length) {
        work.stream.differs |= FORGOTTEN;
        return;
    }
    let Work { piece, stream, state, .. } = work;
    let (piece, differs) = (&*piece, &mut stream.differs);
    if state.side[D::INDEX].slot != 0 {
        let Some(ring) = wide::<H, D>(host, state) else {
            *differs |= FORGOTTEN;
            return;
        };
        H::run_steps(length / GROUP + 1, &mut Compare { ring, piece, differs, sequence, length });
        return;
    }
    let Some(windows) = host.windows() else {
        *differs |= FORGOTTEN;
        return;
    };
    let ring = &*D::window(windows);
    H::run_steps(length / GROUP + 1, &mut Compare { ring, piece, differs, sequence, length });
}

/// Writes what was forwarded over payload `from..to`.
#[inline(never)]
fn restore<H: Host, D: Direction>(host: &mut H, work: &mut Work, from: u32, to: u32) -> bool {
    let length = to - from;
    let sequence = work.segment.sequence_at(from);
    work.reading.piece_length = 0;
    // Begins where the first patch begins, so that words of the piece are words of patches. In a full window the last
    // word coincides with the first, in the piece as in the ring.
    let before = from & 3;
    if length > WIDE_WINDOW as u32 || !collect::<H, D>(host, work, sequence.minus(before), before + length) {
        work.stream.differs |= FORGOTTEN;
        return false;
    }
    H::run_steps(length / PATCH as u32 + 2, &mut Restore { host, work, from, to });
    work.stream.differs == 0
}

/// Copies from a window to the piece.
#[inline(always)]
fn collect<H: Host, D: Direction>(host: &mut H, work: &mut Work, sequence: Seq, length: u32) -> bool {
    let Work { piece, state, .. } = work;
    let steps = length / GROUP + 1;
    if state.side[D::INDEX].slot != 0 {
        let Some(ring) = wide::<H, D>(host, state) else { return false };
        H::run_steps(steps, &mut Collect { ring: &*ring, piece, sequence });
        return true;
    }
    let Some(windows) = host.windows() else { return false };
    H::run_steps(steps, &mut Collect { ring: &*D::window(windows), piece, sequence });
    true
}

/// Overwrites retransmitted bytes that are acknowledged and had been rewritten, so that the original never shows. What
/// was forwarded is no longer kept, and such retransmissions do occur: an acknowledgement seen here may not have
/// reached the sender. A receiver that has the bytes ignores them; one that acknowledged bytes it does not have gets
/// the filler. `false` if the segment cannot be written to.
#[inline(always)]
pub fn blank<H: Host, D: Direction>(host: &mut H, work: &mut Work, acknowledged: Seq) -> bool {
    let (side, segment) = (&work.state.side[D::INDEX], &work.segment);
    let end = acknowledged.earlier(side.rewritten).earlier(segment.end());
    let length = end.ahead_of(segment.sequence);
    side.rewrote == 0 || length <= 0 || overwrite(host, work, length as u32)
}

/// Fills the first `length` bytes of the payload with bytes that begin no word.
#[inline(never)]
fn overwrite<H: Host>(host: &mut H, work: &mut Work, length: u32) -> bool {
    work.reading.piece_length = 0;
    work.stream.differs = 0;
    H::run_steps(PIECE as u32 / 8, &mut Blank { piece: &mut work.piece });
    H::run_steps(length / PATCH as u32 + 2, &mut Restore { host, work, from: 0, to: length });
    work.stream.differs == 0
}

/// Fills the piece with one byte, so that it serves for any length.
struct Blank<'a> {
    piece: &'a mut Piece,
}

impl Step for Blank<'_> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        self.piece[1 + (index as usize & (PIECE / 8 - 1))] = u64::from_ne_bytes([b'*'; 8]);
        false
    }
}

struct Restore<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: u32,
    to: u32,
}

impl<H: Host> Step for Restore<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let start = (self.from & !3).wrapping_add(index * PATCH as u32);
        if start >= self.to || self.to > work.segment.length {
            return true;
        }
        let length = patch_length(self.to, start, work.segment.length);
        if !host.fetch_patch(start, length, &mut work.old) {
            work.stream.differs |= FORGOTTEN;
            return true;
        }
        let differs = put::<H>(work, (start, length), (self.from, self.to), index);
        if differs != 0 && !host.replace(start, length, &work.old, &work.new) {
            work.stream.differs |= FORGOTTEN;
        }
        work.stream.differs != 0
    }
}

/// Puts the bytes of a piece, which begins where the first patch does, into patch number `index`, within payload
/// `from..to`. Returns the difference. Without a branch.
#[inline(always)]
fn put<H: Host>(work: &mut Work, (start, length): (u32, u32), (from, to): (u32, u32), index: u32) -> u64 {
    let Work { old, new, piece, .. } = work;
    let mut differs = 0;
    let mut i = 0;
    while i < PATCH / 8 {
        let at = start.wrapping_add(i as u32 * 8);
        let there = present::<H>(length.wrapping_sub(i as u32 * 8));
        let nth = H::opaque(index * (PATCH as u32 / 8) + i as u32) as usize & (PIECE / 8 - 1);
        let inside = between::<H>(from.wrapping_sub(at), to.wrapping_sub(at)) & there;
        old[i] &= there;
        new[i] = (old[i] & !inside) | (piece[1 + nth] & inside);
        differs |= old[i] ^ new[i];
        i += 1;
    }
    differs
}
