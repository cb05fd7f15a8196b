//! Identical replies in flight. A client that does not wait for them (RFC 2920, RFC 3030) gets the same line again and
//! again, and more of them than a window of the pool holds. While the server's stream repeats one line, that line and
//! the end of the run are enough to rebuild the bytes when a retransmission is compared (I4).
//!
//! The window holds the last bytes in any case. The line is kept in the window of the entry, which is not in use then.
//! Each new line goes into the other half of it, so that a segment that is dropped in the end leaves the old line
//! intact.

mod compare;

pub use self::compare::check_retransmitted;
use self::compare::{Back, GROUP, compare, fetch};
use crate::{
    bounds::{PATCH, SERVER_WINDOW, WIDE_WINDOW},
    direction::{Direction as _, Server},
    done::{DONE, Done},
    entry::IdenticalLines,
    host::Host,
    seq::Seq,
    work::Work,
};

const _: () = assert!(SERVER_WINDOW == 2 * PATCH);

/// Longest line.
const LONGEST: u32 = PATCH as u32;

impl IdenticalLines {
    /// Whether everything too far before `end` to be in a window of the pool is covered by the run of lines or
    /// acknowledged.
    #[inline(always)]
    pub fn covers(&self, acknowledged: Seq, end: Seq) -> bool {
        let kept = end.minus(WIDE_WINDOW as u32);
        self.length != 0 && !acknowledged.is_before(self.start) && !self.end.is_before(kept)
    }

    /// Forgets what is acknowledged. A run that continues at `next` is kept.
    #[inline(always)]
    fn forget(&mut self, acknowledged: Seq, next: Seq) {
        let over = acknowledged.ahead_of(self.start);
        if over > 0 {
            let lines = (over as u32).checked_div(self.length).unwrap_or(0);
            // The start advances, because comparisons with it would invert across 2^31 bytes.
            self.start = self.start.plus(lines * self.length);
        }
        if !acknowledged.is_before(self.end) && self.end != next {
            self.length = 0;
        }
    }
}

/// A whole reply line that began at this sequence number has been read.
#[inline(always)]
pub fn note(work: &mut Work, start: Seq) {
    let Work { identical, reading, .. } = work;
    let at = work.segment.offset_of(start);
    if identical.line_length == 0 && at >= reading.first && at < reading.at {
        identical.line_at = at;
        identical.line_length = reading.at - at;
    }
}

/// The segment's new bytes begin at `next`: looks whether they continue a run of identical lines, or begin one.
/// Afterwards `stream.windowed` is the offset of the first byte that a window keeps, and `stream.covered` says whether
/// the bytes before it are known.
// verifier: the functions leave their results in the working area and return none of them, so that each is walked once.
#[inline(always)]
pub fn follow<H: Host>(host: &mut H, work: &mut Work, acknowledged: Seq, next: Seq) {
    let to = work.segment.length;
    choose(host, work, acknowledged, next);
    compare(host, work, to);
    settle(work, acknowledged, next);
}

/// Chooses the line that the segment is compared with, and the offset from which (`identical.at`; the segment's end if
/// there is none). A known run continues or ends with this segment. Otherwise a new run may begin with the first line
/// of the segment.
#[inline(never)]
fn choose<H: Host>(host: &mut H, work: &mut Work, acknowledged: Seq, next: Seq) -> Done {
    let (sequence, span) = (work.segment.sequence, work.segment.end().ahead_of(acknowledged));
    let slot = work.state.side[Server::INDEX].slot;
    work.identical.at = work.segment.length;
    if slot == 0 {
        // The window of the entry is in use as a window.
        work.state.identical.length = 0;
    }
    work.state.identical.forget(acknowledged, next);
    let IdenticalLines { length, end, half, .. } = work.state.identical;
    if length != 0 && end == next {
        if fetch(host, work) {
            work.identical.at = next.since(sequence);
        }
        return DONE;
    }
    let (at, length) = (work.identical.line_at, work.identical.line_length);
    let start = sequence.plus(at);
    // What comes before has to be in the window or acknowledged.
    let known = span <= WIDE_WINDOW as i32 || !acknowledged.is_before(start);
    let small = slot == 0 && span <= SERVER_WINDOW as i32;
    if !known || small || !(GROUP..=LONGEST).contains(&length) || work.tally.rewrites != 0 {
        return DONE;
    }
    if !host.fetch_patch(at, length, &mut work.new) {
        return DONE;
    }
    work.state.identical = IdenticalLines { start, end: start, length, half: (half & 1) ^ 1 };
    if slot == 0 && at == work.reading.first {
        reach_back(host, work, acknowledged, next);
    }
    work.identical.at = at;
    DONE
}

/// Records the result of the comparison.
#[inline(never)]
fn settle(work: &mut Work, acknowledged: Seq, next: Seq) -> Done {
    let (sequence, end) = (work.segment.sequence, work.segment.end());
    if work.identical.at != work.segment.length {
        work.state.identical.end = sequence.plus(work.identical.to);
    }
    let from = next.later(end.minus(WIDE_WINDOW as u32));
    work.stream.windowed = from.since(sequence);
    work.stream.covered = work.state.identical.covers(acknowledged, end) as u8;
    DONE
}

/// The segment's first line begins at `next`. If the bytes in the window of the entry repeat the same line, they become
/// part of the run. This is the last chance to look at them: the window of the pool soon holds other bytes.
#[inline(always)]
fn reach_back<H: Host>(host: &mut H, work: &mut Work, acknowledged: Seq, next: Seq) {
    let IdenticalLines { start, length: period, .. } = work.state.identical;
    let length = next.since(acknowledged);
    if length == 0 || length > SERVER_WINDOW as u32 {
        return;
    }
    let lines = (length + period - 1).checked_div(period).unwrap_or(0);
    let start = start.minus(lines * period);
    let phase = acknowledged.since(start);
    work.identical.to = 0;
    let back = &mut Back { host, work: &mut *work, from: acknowledged, length, phase, period };
    H::run_steps(SERVER_WINDOW as u32 / GROUP, back);
    if work.identical.to == length {
        work.state.identical.start = start;
    }
}

/// The segment passes, so the line is kept in the window of the entry, if that is free. Not earlier: a segment is read
/// twice, and the window may be in use until it has passed.
#[inline(never)]
pub fn keep<H: Host>(host: &mut H, work: &mut Work) -> Done {
    if work.state.side[Server::INDEX].slot == 0 {
        work.state.identical.length = 0;
    }
    if work.state.identical.length == 0 {
        return DONE;
    }
    let Some(windows) = host.windows() else { return DONE };
    let half = work.state.identical.half as usize & 1;
    let mut i = 0;
    while i < PATCH {
        let at = half * PATCH + i;
        windows.server[at..at + 8].copy_from_slice(&work.new[i / 8].to_le_bytes());
        i += 8;
    }
    DONE
}
