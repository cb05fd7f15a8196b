//! Replies alike in flight. A client that does not wait for them (RFC 2920, RFC 3030) gets the same line again and again, and
//! more of them than a window of the pool holds: where the server's stream goes on as it did, its line and how far it goes are
//! enough to make the bytes anew when a retransmission is compared (I4).
//!
//! The window holds the last bytes in any case. The line is kept in the window of the entry, which is not in use then; each
//! new one in the other half of it, so that a segment that is dropped after all leaves the old one as it was.

use super::{ahead, earlier, later};
use crate::{
    entry::Alike,
    event::SERVER,
    host::{Host, Piece, Step, byte},
    limits::{PATCH, PIECE, SERVER_WINDOW, WIDE_WINDOW},
    work::{FORGOTTEN, Work},
};

const SIDE: usize = SERVER as usize;
/// Bytes that one step compares: no more than a line has.
const GROUP: u32 = 8;
/// Longest line.
const LONGEST: u32 = PATCH as u32;

const _: () = assert!(SERVER_WINDOW == 2 * PATCH);

impl Alike {
    /// Whether what lies too far before `end` to be in a window of the pool is either known by the lines or acknowledged.
    #[inline(always)]
    pub fn covers(&self, acknowledged: u32, end: u32) -> bool {
        let kept = end.wrapping_sub(WIDE_WINDOW as u32);
        self.length != 0 && ahead(acknowledged, self.start) >= 0 && ahead(self.end, kept) >= 0
    }

    /// Forgets what is acknowledged. What goes on at `next` stays.
    #[inline(always)]
    fn forget(&mut self, acknowledged: u32, next: u32) {
        let over = ahead(acknowledged, self.start);
        if over > 0 {
            let lines = (over as u32).checked_div(self.length).unwrap_or(0);
            // The start moves along: across 2^31 bytes a comparison with it would turn round.
            self.start = self.start.wrapping_add(lines * self.length);
        }
        if ahead(acknowledged, self.end) >= 0 && self.end != next {
            self.length = 0;
        }
    }
}

/// A whole reply line that began at this sequence number has been read.
#[inline(always)]
pub fn note(work: &mut Work, start: u32) {
    let run = &mut work.run;
    let at = start.wrapping_sub(work.segment.sequence);
    if run.reply_length == 0 && at >= run.first && at < run.at {
        run.reply_at = at;
        run.reply_length = run.at - at;
    }
}

/// Compares the piece with the line, which is in `line`.
struct Same<'a, H> {
    piece: &'a Piece,
    line: &'a [u64; PATCH / 8],
    to: &'a mut u32,
    /// Offset in the payload of the piece's first byte.
    at: u32,
    /// Bytes of the piece.
    length: u32,
    /// Place of its first byte in the line, whose length that is.
    phase: u32,
    period: u32,
    host: core::marker::PhantomData<H>,
}

impl<H: Host> Step for Same<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        if first >= self.length {
            return true;
        }
        let place = (self.phase + first).checked_rem(self.period).unwrap_or(0);
        let (mut differs, mut i) = (0, 0);
        while i < GROUP {
            let at = place + i;
            // A line has no fewer bytes than a step compares.
            let at = at - (self.period & 0_u32.wrapping_sub(1 ^ at.wrapping_sub(self.period) >> 31));
            let word = self.line[H::opaque(at >> 3) as usize & (PATCH / 8 - 1)];
            let expected = (word >> ((at & 7) * 8)) as u8;
            let present = 0_u8.wrapping_sub(((first + i).wrapping_sub(self.length) >> 31) as u8);
            differs |= (expected ^ byte(self.piece, first + i)) & present;
            i += 1;
        }
        if differs != 0 {
            return true;
        }
        let end = first + GROUP;
        *self.to = self.at + if end < self.length { end } else { self.length };
        false
    }
}

/// Compares payload from `from` on with lines of `period` bytes, the line in `work.new`.
struct Follow<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: u32,
    to: u32,
    phase: u32,
    period: u32,
}

impl<H: Host> Step for Follow<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let before = index * PIECE as u32;
        let at = self.from + before;
        if at >= self.to || work.run.alike_to != at {
            return true;
        }
        let left = self.to - at;
        let length = if left > PIECE as u32 { PIECE as u32 } else { left };
        if !host.fetch(at, length, &mut work.piece) {
            return true;
        }
        let Work { piece, new, run, .. } = work;
        let phase = (self.phase + before).checked_rem(self.period).unwrap_or(0);
        let (to, period) = (&mut run.alike_to, self.period);
        let host = core::marker::PhantomData;
        H::repeat(PIECE as u32 / GROUP, &mut Same::<H> { piece, line: new, to, at, length, phase, period, host });
        false
    }
}

/// How far payload `from..to` is lines like the one in `work.new`: `run.alike_to` says it afterwards.
#[inline(always)]
fn compare<H: Host>(host: &mut H, work: &mut Work, (from, to): (u32, u32)) {
    let Alike { start, length: period, .. } = work.state.alike;
    let phase = work.segment.sequence.wrapping_add(from).wrapping_sub(start).checked_rem(period).unwrap_or(0);
    work.run.piece_length = 0;
    work.run.alike_to = from;
    H::repeat((to - from) / PIECE as u32 + 1, &mut Follow { host, work, from, to, phase, period });
}

/// Fetches the line that is kept.
#[inline(always)]
fn fetch<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let Some(windows) = host.windows() else { return false };
    let half = work.state.alike.place as usize & 1;
    let mut i = 0;
    while i < PATCH {
        let at = half * PATCH + i;
        let mut word = [0; 8];
        word.copy_from_slice(&windows.server[at..at + 8]);
        work.new[i / 8] = u64::from_le_bytes(word);
        i += 8;
    }
    true
}

/// The segment's new bytes begin at `next`: looks whether they go on as lines alike, or begin to. `run.windowed` says where those
/// begin that a window keeps, `run.covered` whether the others are known.
#[inline(never)]
pub fn follow<H: Host>(host: &mut H, work: &mut Work, acknowledged: u32, next: u32) -> bool {
    look(host, work, acknowledged, next);
    let end = work.segment.end();
    let from = later(next, end.wrapping_sub(WIDE_WINDOW as u32));
    work.run.windowed = from.wrapping_sub(work.segment.sequence);
    work.run.covered = work.state.alike.covers(acknowledged, end) as u8;
    true
}

#[inline(always)]
fn look<H: Host>(host: &mut H, work: &mut Work, acknowledged: u32, next: u32) -> bool {
    let (sequence, to) = (work.segment.sequence, work.segment.length);
    let span = ahead(work.segment.end(), acknowledged);
    let slot = work.state.half[SIDE].slot;
    let alike = &mut work.state.alike;
    if slot == 0 {
        // The window of the entry is in use for itself.
        alike.length = 0;
        if span <= SERVER_WINDOW as i32 {
            return true;
        }
    }
    alike.forget(acknowledged, next);
    if alike.length != 0 && alike.end == next {
        if !fetch(host, work) {
            return false;
        }
        compare(host, work, (next.wrapping_sub(sequence), to));
        work.state.alike.end = sequence.wrapping_add(work.run.alike_to);
        if work.run.alike_to == to {
            return true;
        }
    }
    let (at, length) = (work.run.reply_at, work.run.reply_length);
    let start = sequence.wrapping_add(at);
    // What comes before has to be in the window, or acknowledged.
    let known = span <= WIDE_WINDOW as i32 || ahead(acknowledged, start) >= 0;
    if !known || length < GROUP || length > LONGEST || work.run.rewrites != 0 {
        return true;
    }
    if !host.fetch_patch(at, length, &mut work.new) {
        return true;
    }
    let place = (work.state.alike.place & 1) ^ 1;
    work.state.alike = Alike { start, end: start, length, place };
    compare(host, work, (at, to));
    work.state.alike.end = sequence.wrapping_add(work.run.alike_to);
    true
}

/// There is a window of the pool for the segment, or none is needed: the line is kept in that of the entry, where that is free.
#[inline(never)]
pub fn keep<H: Host>(host: &mut H, work: &mut Work) -> bool {
    if work.state.half[SIDE].slot == 0 {
        work.state.alike.length = 0;
    }
    if work.state.alike.length == 0 {
        return false;
    }
    let Some(windows) = host.windows() else { return false };
    let half = work.state.alike.place as usize & 1;
    let mut i = 0;
    while i < PATCH {
        let at = half * PATCH + i;
        windows.server[at..at + 8].copy_from_slice(&work.new[i / 8].to_le_bytes());
        i += 8;
    }
    true
}

/// Compares those of the retransmitted sequence numbers `from..to` that are in no window: `run.differs` is not 0 afterwards if
/// they are other, [`FORGOTTEN`] if they are not known. `run.windowed` says where the others begin.
#[inline(never)]
pub fn repeat<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32) -> bool {
    let sequence = work.segment.sequence;
    let kept = earlier(later(work.state.half[SIDE].next.wrapping_sub(WIDE_WINDOW as u32), from), to);
    work.run.windowed = kept.wrapping_sub(sequence);
    if kept == from {
        return true;
    }
    let Alike { start, end, length, .. } = work.state.alike;
    let known = length != 0 && ahead(from, start) >= 0 && ahead(end, kept) >= 0;
    if !known || !fetch(host, work) {
        work.run.differs |= FORGOTTEN;
        return false;
    }
    let to = kept.wrapping_sub(sequence);
    compare(host, work, (from.wrapping_sub(sequence), to));
    work.run.differs |= (work.run.alike_to != to) as u32;
    true
}
