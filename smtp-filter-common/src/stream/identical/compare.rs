//! Comparing bytes with repetitions of one line.

use crate::{
    bounds::{PATCH, SERVER_WINDOW, WIDE_WINDOW},
    branchless::same,
    direction::{Direction as _, Server},
    done::{DONE, Done},
    entry::IdenticalLines,
    host::{Host, Patch, Step},
    seq::Seq,
    stream::in_segment::FORGOTTEN,
    work::Work,
};

/// Bytes that one step compares: at most as many as the shortest line has.
pub(super) const GROUP: u32 = 8;

/// Eight bytes of a repeated line of `period` bytes, from byte `phase_in_line` of the line on; they wrap to its first
/// byte.
#[inline(always)]
fn expected<H: Host>(line: &Patch, phase_in_line: u32, period: u32) -> u64 {
    let (mut word, mut i) = (0, 0);
    while i < GROUP {
        let at = phase_in_line + i;
        // One wrap is enough: a line has at least as many bytes as a group.
        let at = at - (period & (1 ^ H::opaque(at.wrapping_sub(period) >> 31)).wrapping_neg());
        let of = line[H::opaque(at >> 3) as usize & (PATCH / 8 - 1)];
        word |= (of >> ((at & 7) * 8) & 0xff) << (i * 8);
        i += 1;
    }
    word
}

/// Compares the payload from `from` on with repetitions of a line of `period` bytes. The line is in `work.new`.
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
        let before = index * GROUP;
        let at = self.from.wrapping_add(before);
        if at >= self.to {
            return true;
        }
        let left = self.to - at;
        let length = if left > GROUP { GROUP } else { left };
        work.old[0] = 0;
        if !host.fetch_patch(at, length, &mut work.old) {
            return true;
        }
        let phase_in_line = (self.phase + before).checked_rem(self.period).unwrap_or(0);
        let differs = work.old[0] ^ expected::<H>(&work.new, phase_in_line, self.period);
        if differs << ((GROUP - length) * 8) != 0 {
            return true;
        }
        work.identical.to = at + length;
        false
    }
}

/// The same for the bytes in the window of the entry, from the sequence number `from` on.
pub(super) struct Back<'a, H> {
    pub(super) host: &'a mut H,
    pub(super) work: &'a mut Work,
    pub(super) from: Seq,
    pub(super) length: u32,
    pub(super) phase: u32,
    pub(super) period: u32,
}

impl<H: Host> Step for Back<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let before = index * GROUP;
        if before >= self.length {
            return true;
        }
        let Some(windows) = self.host.windows() else { return true };
        let left = self.length - before;
        let length = if left > GROUP { GROUP } else { left };
        let (mut word, mut i) = (0, 0);
        while i < GROUP {
            let at = H::opaque(self.from.plus(before + i).0) as usize & (SERVER_WINDOW - 1);
            word |= (windows.server[at] as u64) << (i * 8);
            i += 1;
        }
        let phase_in_line = (self.phase + before).checked_rem(self.period).unwrap_or(0);
        let differs = word ^ expected::<H>(&self.work.new, phase_in_line, self.period);
        if differs << ((GROUP - length) * 8) != 0 {
            return true;
        }
        self.work.identical.to = before + length;
        false
    }
}

/// How far payload `identical.at..to` repeats the line in `work.new`. The result is in `identical.to`.
#[inline(never)]
pub(super) fn compare<H: Host>(host: &mut H, work: &mut Work, to: u32) -> Done {
    let IdenticalLines { start, length: period, .. } = work.state.identical;
    let from = work.identical.at;
    let phase = work.segment.sequence_at(from).since(start).checked_rem(period).unwrap_or(0);
    work.identical.to = from;
    H::run_steps(to.wrapping_sub(from) / GROUP + 1, &mut Follow { host, work, from, to, phase, period });
    DONE
}

/// Fetches the kept line.
#[inline(always)]
pub(super) fn fetch<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let Some(windows) = host.windows() else { return false };
    let half = work.state.identical.half as usize & 1;
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

/// Compares those of the retransmitted sequence numbers `from..to` that are in no window. Afterwards `stream.differs`
/// is not 0 if they differ, [`FORGOTTEN`] if they are not known. `stream.windowed` is the offset from which a window
/// has the bytes.
#[inline(always)]
pub fn check_retransmitted<H: Host>(host: &mut H, work: &mut Work, from: Seq, to: Seq) {
    before_window(host, work, from, to);
    let to = work.stream.windowed;
    compare(host, work, to);
    work.stream.differs |= 1 ^ same::<H>(work.identical.to, to);
}

#[inline(never)]
fn before_window<H: Host>(host: &mut H, work: &mut Work, from: Seq, to: Seq) -> Done {
    let sequence = work.segment.sequence;
    let kept = work.state.side[Server::INDEX].next.minus(WIDE_WINDOW as u32).later(from).earlier(to);
    work.stream.windowed = kept.since(sequence);
    work.identical.at = work.stream.windowed;
    if kept == from {
        return DONE;
    }
    let IdenticalLines { start, end, length, .. } = work.state.identical;
    let known = length != 0 && !from.is_before(start) && !end.is_before(kept);
    if !known || !fetch(host, work) {
        work.stream.differs |= FORGOTTEN;
        return DONE;
    }
    work.identical.at = from.since(sequence);
    DONE
}
