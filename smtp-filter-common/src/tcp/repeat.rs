//! Repeated bytes of the client (I4): commands are compared with what passed, mail text is scanned again.
//!
//! What a receiver may put together from the first copy and from repeats has to read as what was judged. For mail text,
//! of which no bytes are kept, that means: a repeat holds no end of data but one that was read, and agrees with the
//! remembered places about the scanner's state there. Acknowledged bytes are nobody's concern any more: the receiver
//! has them.

use super::{ahead, earlier, later, window};
use crate::{
    event::CLIENT,
    host::{Host, Step},
    limits::{MARKS, REGIONS},
    smtp::{self, text},
    work::{NOWHERE, Work},
};

const SIDE: usize = CLIENT as usize;

struct Regions<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: u32,
    to: u32,
}

impl<H: Host> Step for Regions<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let i = index as usize & (REGIONS - 1);
        let memory = &work.state.memory;
        let used = memory.regions as usize;
        if i >= used || work.run.differs != 0 {
            return true;
        }
        let stop = if i + 1 < used { memory.region_at[(i + 1) & (REGIONS - 1)] } else { work.state.half[SIDE].next };
        let start = later(memory.region_at[i], self.from);
        let stop = earlier(stop, self.to);
        if ahead(stop, start) <= 0 {
            return false;
        }
        let sequence = work.segment.sequence;
        let (from, to) = (start.wrapping_sub(sequence), stop.wrapping_sub(sequence));
        match memory.region_kind[i] {
            smtp::TEXT => text(host, work, from, to),
            smtp::CHUNK | smtp::TLS => {}
            _ => window::compare::<H, SIDE>(host, work, from, to),
        }
        false
    }
}

/// Checks the repeated sequence numbers `from..to`, none of them acknowledged; `false` if they are to be kept away
/// from the server.
#[inline(never)]
pub fn check<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32) -> bool {
    work.run.differs = 0;
    H::repeat(REGIONS as u32, &mut Regions { host, work, from, to });
    work.run.differs == 0
}

/// A segment began there when the bytes came first: a receiver may go over from one copy to the other there.
struct Marks<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: u32,
    to: u32,
    inside: &'a mut u32,
}

impl<H: Host> Step for Marks<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let i = index as usize & (MARKS - 1);
        if i >= work.state.memory.marks as usize {
            return true;
        }
        let place = work.state.memory.mark_at[i].wrapping_sub(work.segment.sequence);
        // Offsets in the payload: a mark elsewhere wraps to far beyond.
        if place <= self.from || place >= self.to {
            return false;
        }
        *self.inside = 1;
        if place - self.from < 4 || !host.fetch(place - 4, 4, &mut work.piece) {
            work.run.differs = 1;
            return true;
        }
        if text::behind(work.piece[1] as u32) != work.state.memory.mark_state[i] {
            work.run.differs = 1;
        }
        work.run.differs != 0
    }
}

/// Scans repeated mail text, payload `from..to`, again.
#[inline(always)]
fn text<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32) {
    let sequence = work.segment.sequence;
    work.run.piece_length = 0;
    let known = work.state.memory.state_at(sequence.wrapping_add(from));
    let mut ended = false;
    if known == text::END {
        // Nobody remembers what stood before: the worst.
        work.piece[1] = 0;
        let short = if to - from > 4 { 4 } else { to - from };
        if !host.fetch(from, short, &mut work.piece) {
            work.run.differs = 1;
            return;
        }
        let first = work.piece[1] as u32;
        if text::may_end(first) {
            let length = if first & 0xff == b'\n' as u32 {
                1
            } else if first & 0xff == b'\r' as u32 {
                2
            } else {
                3
            };
            ended = work.state.memory.is_end_of_data(sequence.wrapping_add(from + length));
            if !ended {
                work.run.differs = 1;
                return;
            }
        }
    }
    work.run.text = if known == text::END { text::MIDDLE } else { known };
    text::scan(host, work, from, to);
    if work.run.cut != 0 {
        return;
    }
    if work.run.found != NOWHERE {
        let place = sequence.wrapping_add(work.run.found);
        if !work.state.memory.is_end_of_data(place) {
            work.run.differs = 1;
        }
        return;
    }
    let end = sequence.wrapping_add(to);
    if work.state.memory.is_end_of_data(end) {
        // The first copy ended the mail here.
        work.run.differs |= !ended as u32;
        return;
    }
    let state = work.run.text;
    let known = if end == work.state.half[SIDE].next && work.state.session.mode == smtp::TEXT {
        work.state.memory.text
    } else {
        work.state.memory.state_at(end)
    };
    if known != text::END && known != state {
        work.run.differs = 1;
        return;
    }
    let mut inside = 0;
    H::repeat(MARKS as u32, &mut Marks { host, work, from, to, inside: &mut inside });
    if known == text::END && inside != 0 && state > text::CR {
        // It ends in the midst of one segment of the first copy and began before it.
        work.run.differs = 1;
    }
}
