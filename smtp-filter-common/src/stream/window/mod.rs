//! The bytes of commands and replies that were forwarded and are not acknowledged: retransmissions are compared with
//! them (I4).
//!
//! They are kept in a ring in the entry, or, if there are more (pipelined groups, long replies), in one of the shared
//! pool.

pub mod commands;
pub mod retransmitted;
mod ring;

use self::ring::{Collect, GROUP, Record};
use super::pool;
use crate::{
    bounds::WIDE_WINDOW,
    direction::Direction,
    entry::{Side, State},
    host::{Host, Ring as _, Wide},
    reason::Reason,
    seq::Seq,
    work::Work,
};

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

/// Clears the note that bytes were rewritten before their sequence numbers are used again after a wrap.
#[inline(always)]
pub fn forget_rewritten(side: &mut Side) {
    const LONG_AGO: u32 = 1 << 30;
    side.rewrote &= (side.next.since(side.rewritten) < LONG_AGO) as u8;
}
