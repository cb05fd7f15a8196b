//! The bytes of commands and replies that were forwarded and are not acknowledged: what a repeat is compared with (I4).
//!
//! A ring in the entry holds them, and where they are more (pipelined groups, long replies) one of the shared pool.

use super::ahead;
use crate::{
    event::CLIENT,
    host::{Host, Piece, Step, byte},
    limits::{CLIENT_WINDOW, SERVER_WINDOW, WIDE_WINDOW},
    work::Work,
};

/// Bytes that one step handles.
const GROUP: u32 = 8;

/// 0xff for a byte that is there, 0 for one behind the end.
#[inline(always)]
const fn mask(at: u32, length: u32) -> u8 {
    0_u8.wrapping_sub((at.wrapping_sub(length) >> 31) as u8)
}

struct Record<'a, const N: usize> {
    ring: &'a mut [u8; N],
    piece: &'a Piece,
    sequence: u32,
    length: u32,
}

impl<const N: usize> Step for Record<'_, N> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        let mut i = 0;
        while i < GROUP {
            let at = first + i;
            let place = &mut self.ring[self.sequence.wrapping_add(at) as usize & (N - 1)];
            *place ^= (*place ^ byte(self.piece, at)) & mask(at, self.length);
            i += 1;
        }
        first + GROUP >= self.length
    }
}

struct Compare<'a, const N: usize> {
    ring: &'a [u8; N],
    piece: &'a Piece,
    differs: &'a mut u32,
    sequence: u32,
    length: u32,
}

impl<const N: usize> Step for Compare<'_, N> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        let (mut differs, mut i) = (0, 0);
        while i < GROUP {
            let at = first + i;
            let kept = self.ring[self.sequence.wrapping_add(at) as usize & (N - 1)];
            differs |= (kept ^ byte(self.piece, at)) & mask(at, self.length);
            i += 1;
        }
        *self.differs |= differs as u32;
        first + GROUP >= self.length
    }
}

/// From the narrow ring to the piece, from where they go into the wide one.
struct Collect<'a, const N: usize> {
    ring: &'a [u8; N],
    piece: &'a mut Piece,
    sequence: u32,
}

impl<const N: usize> Step for Collect<'_, N> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let mut word = 0_u64;
        let mut i = 0;
        while i < GROUP {
            let kept = self.ring[self.sequence.wrapping_add(index * GROUP + i) as usize & (N - 1)];
            word |= (kept as u64) << (i * 8);
            i += 1;
        }
        self.piece[1 + (index as usize & (N / 8 - 1))] = word;
        false
    }
}

/// The pool's number of a connection's window.
#[inline(always)]
fn number<H: Host, const FROM: usize>(host: &H) -> u64 {
    match host.shared() {
        Some(shared) => H::load(&shared.id) << 1 | FROM as u64,
        None => 0,
    }
}

/// Makes room for bytes `from..to`, where `oldest..from` are kept and not acknowledged. `false` where they are more
/// than are kept: then the segment has to wait for acknowledgements.
#[inline(always)]
pub fn make_room<H: Host, const FROM: usize>(host: &mut H, work: &mut Work, oldest: u32, from: u32, to: u32) -> bool {
    let span = ahead(to, oldest);
    let narrow = if FROM == CLIENT as usize { CLIENT_WINDOW } else { SERVER_WINDOW } as i32;
    if work.state.half[FROM].wide != 0 {
        let window = number::<H, FROM>(host);
        let empty = ahead(from, oldest) <= 0;
        if empty && span <= narrow {
            host.release_wide(window);
            work.state.half[FROM].wide = 0;
            return true;
        }
        // The pool may have needed it for another: while nothing is kept a new one serves as well.
        if empty && host.wide(window, true).is_none() {
            return false;
        }
        return span <= WIDE_WINDOW as i32;
    }
    if span <= narrow {
        return true;
    }
    if span > WIDE_WINDOW as i32 {
        return false;
    }
    let window = number::<H, FROM>(host);
    let kept = ahead(from, oldest);
    if kept > 0 {
        let Some(windows) = host.windows() else { return false };
        work.run.piece_length = 0;
        let piece = &mut work.piece;
        if FROM == CLIENT as usize {
            let ring = &windows.client;
            H::repeat(CLIENT_WINDOW as u32 / GROUP, &mut Collect { ring, piece, sequence: oldest });
        } else {
            let ring = &windows.server;
            H::repeat(SERVER_WINDOW as u32 / GROUP, &mut Collect { ring, piece, sequence: oldest });
        }
    }
    let Some(wide) = host.wide(window, true) else { return false };
    if kept > 0 {
        let (piece, length) = (&work.piece, kept as u32);
        H::repeat(length / GROUP + 1, &mut Record { ring: wide, piece, sequence: oldest, length });
    }
    work.state.half[FROM].wide = 1;
    true
}

/// Keeps payload `from..to`, for which there is room.
#[inline(always)]
pub fn keep<H: Host, const FROM: usize>(host: &mut H, work: &mut Work, from: u32, to: u32) -> bool {
    let length = to - from;
    if length == 0 {
        return true;
    }
    let sequence = work.segment.sequence.wrapping_add(from);
    // What fits into a window fits into a piece.
    if !fetch(host, work, from, length) {
        return false;
    }
    let piece = &work.piece;
    if work.state.half[FROM].wide != 0 {
        let window = number::<H, FROM>(host);
        let Some(ring) = host.wide(window, false) else { return false };
        H::repeat(length / GROUP + 1, &mut Record { ring, piece, sequence, length });
        return true;
    }
    let Some(windows) = host.windows() else { return false };
    if FROM == CLIENT as usize {
        let ring = &mut windows.client;
        H::repeat(length / GROUP + 1, &mut Record { ring, piece, sequence, length });
    } else {
        let ring = &mut windows.server;
        H::repeat(length / GROUP + 1, &mut Record { ring, piece, sequence, length });
    }
    true
}

/// Compares payload `from..to` with what was forwarded at its place; `run.differs` is not 0 afterwards if it is other,
/// or cannot be compared any more.
#[inline(always)]
pub fn compare<H: Host, const FROM: usize>(host: &mut H, work: &mut Work, from: u32, to: u32) {
    let length = to - from;
    let sequence = work.segment.sequence.wrapping_add(from);
    if length > WIDE_WINDOW as u32 || !fetch(host, work, from, length) {
        work.run.differs = 1;
        return;
    }
    let Work { piece, run, state, .. } = work;
    let (piece, differs) = (&*piece, &mut run.differs);
    if state.half[FROM].wide != 0 {
        let window = number::<H, FROM>(host);
        let Some(ring) = host.wide(window, false) else {
            *differs = 1;
            return;
        };
        H::repeat(length / GROUP + 1, &mut Compare { ring, piece, differs, sequence, length });
        return;
    }
    let Some(windows) = host.windows() else { return };
    if FROM == CLIENT as usize {
        let ring = &windows.client;
        H::repeat(length / GROUP + 1, &mut Compare { ring, piece, differs, sequence, length });
    } else {
        let ring = &windows.server;
        H::repeat(length / GROUP + 1, &mut Compare { ring, piece, differs, sequence, length });
    }
}

/// Fetches payload for a window, unless the piece begins with it.
#[inline(always)]
fn fetch<H: Host>(host: &mut H, work: &mut Work, from: u32, length: u32) -> bool {
    if work.run.piece_at == from && work.run.piece_length >= length {
        return true;
    }
    work.run.piece_length = 0;
    if length > WIDE_WINDOW as u32 || !host.fetch(from, length, &mut work.piece) {
        return false;
    }
    work.run.piece_at = from;
    work.run.piece_length = length;
    true
}
