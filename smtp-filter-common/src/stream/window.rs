//! The bytes of commands and replies that were forwarded and are not acknowledged: retransmissions are compared with
//! them (I4).
//!
//! They are kept in a ring in the entry, or, if there are more (pipelined groups, long replies), in one of the shared
//! pool.

use super::pool;
use crate::{
    bounds::{PATCH, PIECE, WIDE_WINDOW},
    direction::Direction,
    entry::State,
    host::{Host, Piece, Ring, Step, Wide, byte},
    reason::Reason,
    seq::Seq,
    session::rewrite,
    stream::in_segment::FORGOTTEN,
    work::Work,
};

/// Bytes that one step handles.
const GROUP: u32 = 8;

/// 0xff for a byte within the length, 0 for one after it.
#[inline(always)]
const fn mask(at: u32, length: u32) -> u8 {
    0_u8.wrapping_sub((at.wrapping_sub(length) >> 31) as u8)
}

struct Record<'a, R> {
    ring: &'a mut R,
    piece: &'a Piece,
    sequence: Seq,
    length: u32,
}

impl<R: Ring> Step for Record<'_, R> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        let mut i = 0;
        while i < GROUP {
            let at = first + i;
            let kept = self.ring.byte_mut(self.sequence.plus(at));
            *kept ^= (*kept ^ byte(self.piece, at)) & mask(at, self.length);
            i += 1;
        }
        first + GROUP >= self.length
    }
}

struct Compare<'a, R> {
    ring: &'a R,
    piece: &'a Piece,
    differs: &'a mut u32,
    sequence: Seq,
    length: u32,
}

impl<R: Ring> Step for Compare<'_, R> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        let (mut differs, mut i) = (0, 0);
        while i < GROUP {
            let at = first + i;
            let kept = self.ring.byte(self.sequence.plus(at));
            differs |= (kept ^ byte(self.piece, at)) & mask(at, self.length);
            i += 1;
        }
        *self.differs |= differs as u32;
        first + GROUP >= self.length
    }
}

/// Copies from a ring to the piece.
struct Collect<'a, R> {
    ring: &'a R,
    piece: &'a mut Piece,
    sequence: Seq,
}

impl<R: Ring> Step for Collect<'_, R> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let mut word = 0_u64;
        let mut i = 0;
        while i < GROUP {
            let kept = self.ring.byte(self.sequence.plus(index * GROUP + i));
            word |= (kept as u64) << (i * 8);
            i += 1;
        }
        self.piece[1 + (index as usize & (PIECE / 8 - 1))] = word;
        false
    }
}

/// The kind of use of a pool slot.
const fn kind(from: usize) -> u8 {
    pool::BYTES + from as u8
}

/// Releases the wide window.
#[inline(always)]
pub fn release<H: Host, D: Direction>(host: &H, work: &mut Work) {
    pool::release(host, work.state.side[D::INDEX].slot, kind(D::INDEX));
    work.state.side[D::INDEX].slot = 0;
}

/// The wide window, if it still belongs to the connection.
#[inline(always)]
fn wide<'a, H: Host, D: Direction>(host: &'a mut H, state: &State) -> Option<&'a mut Wide> {
    let slot = state.side[D::INDEX].slot;
    if pool::holds(host, slot, kind(D::INDEX)) { host.wide(slot.wrapping_sub(1)) } else { None }
}

/// Makes room for bytes `from..to`; `oldest..from` are kept and not acknowledged. `false` if the segment is held back:
/// it has to wait for acknowledgements, or for other connections to release slots of the pool. `covered` is 1 if bytes
/// that do not fit are known from elsewhere ([`super::identical`]).
#[inline(always)]
pub fn make_room<H: Host, D: Direction>(
    host: &mut H,
    work: &mut Work,
    (oldest, from, to): (Seq, Seq, Seq),
    covered: u8,
) -> bool {
    let span = to.ahead_of(oldest);
    let narrow = D::Window::SIZE as i32;
    let empty = !from.is_after(oldest);
    let slot = work.state.side[D::INDEX].slot;
    if empty {
        work.state.side[D::INDEX].unkept = 0;
    }
    if slot == 0 && span <= narrow {
        return true;
    }
    if slot != 0 && empty && span <= narrow {
        release::<H, D>(host, work);
        return true;
    }
    if span > WIDE_WINDOW as i32 && covered == 0 {
        work.hold_back(Reason::Backlog);
        return false;
    }
    if slot != 0 && pool::holds(host, slot, kind(D::INDEX)) {
        return true;
    }
    if slot != 0 && !empty {
        work.hold_back(Reason::Forgotten);
        return false;
    }
    widen::<H, D>(host, work, oldest, if empty { 0 } else { from.since(oldest) })
}

/// Moves from the ring in the entry, which has `kept` bytes from `oldest` on, to one of the pool; `false` if none is
/// free.
#[inline(always)]
fn widen<H: Host, D: Direction>(host: &mut H, work: &mut Work, oldest: Seq, kept: u32) -> bool {
    if kept > 0 {
        let Some(windows) = host.windows() else { return false };
        work.reading.piece_length = 0;
        let piece = &mut work.piece;
        let ring = &*D::window(windows);
        H::run_steps(D::Window::SIZE as u32 / GROUP, &mut Collect { ring, piece, sequence: oldest });
    }
    let slot = pool::take(host, &work.key, kind(D::INDEX));
    let Some(ring) = host.wide(slot.wrapping_sub(1)) else {
        work.hold_back(Reason::Pool);
        return false;
    };
    if kept > 0 {
        let piece = &work.piece;
        H::run_steps(kept / GROUP + 1, &mut Record { ring, piece, sequence: oldest, length: kept });
    }
    work.state.side[D::INDEX].slot = slot;
    true
}

/// Keeps payload `from..to`, for which there is room.
#[inline(always)]
pub fn keep<H: Host, D: Direction>(host: &mut H, work: &mut Work, from: u32, to: u32) -> bool {
    let length = to - from;
    if length == 0 {
        return true;
    }
    let sequence = work.segment.sequence_at(from);
    // What fits into a window fits into a piece.
    if !fetch(host, work, from, length) {
        return false;
    }
    let piece = &work.piece;
    if work.state.side[D::INDEX].slot != 0 {
        let Some(ring) = wide::<H, D>(host, &work.state) else { return false };
        H::run_steps(length / GROUP + 1, &mut Record { ring, piece, sequence, length });
        return true;
    }
    let Some(windows) = host.windows() else { return false };
    let ring = D::window(windows);
    H::run_steps(length / GROUP + 1, &mut Record { ring, piece, sequence, length });
    true
}

/// Makes sure that retransmitted payload `from..to` is what was forwarded. Unacknowledged bytes that were rewritten are
/// rewritten again; otherwise the bytes are compared. Afterwards `stream.differs` is not 0 if they differ, and
/// [`FORGOTTEN`] if the forwarded bytes are no longer known.
#[inline(always)]
pub fn check_retransmitted<H: Host, D: Direction>(host: &mut H, work: &mut Work, from: u32, to: u32) {
    let side = &work.state.side[D::INDEX];
    if side.rewrote != 0 && side.rewritten.is_after(work.segment.sequence_at(from)) {
        restore::<H, D>(host, work, from, to);
    } else {
        compare::<H, D>(host, work, from, to);
    }
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
        let length = rewrite::patch_length(self.to, start, work.segment.length);
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
        let there = rewrite::present::<H>(length.wrapping_sub(i as u32 * 8));
        let nth = H::opaque(index * (PATCH as u32 / 8) + i as u32) as usize & (PIECE / 8 - 1);
        let inside = rewrite::between::<H>(from.wrapping_sub(at), to.wrapping_sub(at)) & there;
        old[i] &= there;
        new[i] = (old[i] & !inside) | (piece[1 + nth] & inside);
        differs |= old[i] ^ new[i];
        i += 1;
    }
    differs
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
    let Some(windows) = host.windows() else { return };
    let ring = &*D::window(windows);
    H::run_steps(length / GROUP + 1, &mut Compare { ring, piece, differs, sequence, length });
}

/// Fetches payload for a window, unless the piece already begins with it.
#[inline(always)]
fn fetch<H: Host>(host: &mut H, work: &mut Work, from: u32, length: u32) -> bool {
    // Not after a rewrite: then the piece holds the old bytes.
    if work.reading.piece_at == from && work.reading.piece_length >= length && work.tally.rewrites == 0 {
        return true;
    }
    work.reading.piece_length = 0;
    if length > WIDE_WINDOW as u32 || !host.fetch(from, length, &mut work.piece) {
        return false;
    }
    work.reading.piece_at = from;
    work.reading.piece_length = length;
    true
}
