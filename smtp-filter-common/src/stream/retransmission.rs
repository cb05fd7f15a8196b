//! Repeated bytes of the client (I4): commands are compared with what passed, mail data is scanned again.
//!
//! What a receiver may put together from the first copy and from repeats has to read as what was judged. For mail data,
//! of which no bytes are kept, that means: a repeat holds no end of data but one that was read, and agrees with the
//! remembered places about the scanner's state there. Acknowledged bytes are nobody's concern any more: the receiver
//! has them.

use super::{ahead, boundaries, chunks, earlier, later, pieces, window};
use crate::{
    bounds::REGIONS,
    event::CLIENT,
    host::{Host, Step},
    session::{self, data},
    work::{FORGOTTEN, NOWHERE, REFUSED, Work},
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
        let stop = if i + 1 < used { memory.region_at[(i + 1) & (REGIONS - 1)] } else { work.state.side[SIDE].next };
        let start = later(memory.region_at[i], self.from);
        let stop = earlier(stop, self.to);
        if ahead(stop, start) <= 0 {
            return false;
        }
        let sequence = work.segment.sequence;
        let (from, to) = (start.wrapping_sub(sequence), stop.wrapping_sub(sequence));
        match memory.region_kind[i] {
            session::Mode::MAIL_DATA => text(host, work, (from, to), 0),
            session::Mode::CHUNK | session::Mode::CHUNKS if refused(work, start) => work.run.differs |= REFUSED,
            // The lines of chunks are looked at afterwards.
            session::Mode::CHUNK | session::Mode::CHUNKS | session::Mode::TLS => {}
            _ => window::repeat::<H, SIDE>(host, work, from, to),
        }
        false
    }
}

/// Whether bytes of a chunk from `start` on may be the first ones there, after the server has refused it.
#[inline(always)]
const fn refused(work: &Work, start: u32) -> bool {
    work.state.memory.missing > 1 && ahead(work.state.memory.missing_to, start) > 0
}

/// Checks the repeated sequence numbers `from..to`, none of them acknowledged; `false` if they are to be kept away
/// from the server.
#[inline(always)]
pub fn check<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32) -> bool {
    work.run.differs = 0;
    H::repeat(REGIONS as u32, &mut Regions { host: &mut *host, work: &mut *work, from, to });
    if work.state.memory.chunks != 0 {
        chunks::repeat(host, work, from, to);
    }
    work.run.differs == 0
}

/// The state behind the first `count` (less than four) of these bytes; [`data::END`] where it cannot be told without
/// knowing what stood before, and that is not known.
#[inline(always)]
pub const fn after_few(before: u8, bytes: u32, count: u32) -> u8 {
    const fn word(bytes: [u8; 4]) -> u32 {
        u32::from_le_bytes(bytes)
    }
    let last = (bytes >> ((count * 8).wrapping_sub(8) & 31)) as u8;
    let plain = !matches!(last, b'\r' | b'\n' | b'.');
    let prefix = match before {
        data::MIDDLE => word(*b"aaaa"),
        data::CR => word(*b"aaa\r"),
        data::LINE => word(*b"aa\r\n"),
        data::DOT => word(*b"a\r\n."),
        data::DOT_CR => word(*b"\r\n.\r"),
        _ => return if plain { data::MIDDLE } else { data::END },
    };
    data::behind((prefix >> ((count * 8) & 31)) | (bytes << (32_u32.wrapping_sub(count * 8) & 31)))
}

/// Compares what the segment has at the places that matter with what is known of them.
struct Agree<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    /// Offsets in the payload.
    from: u32,
    to: u32,
    /// State at `from`, or [`data::END`].
    before: u8,
}

impl<H: Host> Step for Agree<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (at, state, _) = boundaries::place(host, work, index);
        // Offsets in the payload: a place elsewhere wraps to far beyond.
        let place = at.wrapping_sub(work.segment.sequence);
        if state == data::END || place <= self.from || place >= self.to {
            return false;
        }
        let count = place - self.from;
        let few = count < 4;
        let at = if few { self.from } else { place - 4 };
        // The segment may end before four bytes; what stands behind the place does not count.
        let left = work.segment.length - at;
        if !host.fetch(at, if left > 4 { 4 } else { left }, &mut work.piece) {
            work.run.differs |= FORGOTTEN;
            return true;
        }
        let bytes = work.piece[1] as u32;
        let here = if few { after_few(self.before, bytes, count) } else { data::behind(bytes) };
        work.run.differs |= (here != state) as u32;
        work.run.differs != 0
    }
}

/// Whether payload `from..to` agrees with the places in it that matter, and with the ends of early ranges; `run.differs`
/// is not 0 afterwards if not. `before` is the state at `from`, or [`data::END`] where it is not known.
#[inline(always)]
pub fn agrees<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32, before: u8) {
    work.run.piece_length = 0;
    let sequence = work.segment.sequence;
    let count = host.find_places(work, sequence.wrapping_add(from).wrapping_add(1), sequence.wrapping_add(to));
    H::repeat(count, &mut Agree { host, work, from, to, before });
}

/// The state at a place of the text, as [`boundaries::state_at`] tells it.
#[inline(always)]
pub fn state_at<H: Host>(host: &mut H, work: &mut Work, at: u32) -> (u8, u8) {
    // Behind mail data nothing is under way.
    let is_text = work.state.session.mode == session::Mode::MAIL_DATA;
    let before = if is_text { work.state.side[SIDE].next.wrapping_sub(at) } else { u32::MAX };
    boundaries::state_at(host, work, at, before)
}

/// Scans repeated mail data, payload `from..to`, again. `run.differs` is not 0 afterwards if a receiver might put together
/// other text from it than was read. The state `barred` (0: none) is known not to come before it.
#[inline(always)]
pub fn text<H: Host>(host: &mut H, work: &mut Work, (from, to): (u32, u32), barred: u32) {
    let sequence = work.segment.sequence;
    let (start, end) = (sequence.wrapping_add(from), sequence.wrapping_add(to));
    let length = to - from;
    let before = match state_at(host, work, start) {
        // A receiver acknowledges where a copy ends. One that ends where nothing is remembered ends in the middle of a
        // line: places where a segment ended otherwise are remembered, and a repeat passes no other way (below). Unless it
        // came before there was anything behind the place: then it ended as the first copy did.
        (data::END, data::END) if start == work.run.acknowledged => data::MIDDLE,
        (data::END, near) if start == work.run.acknowledged => near,
        (before, _) => before,
    };
    let before = work.unknown::<H>(before);
    let known = before != data::END;
    work.run.piece_length = 0;
    work.piece[1] = 0;
    if !host.fetch(from, if length > 4 { 4 } else { length }, &mut work.piece) {
        work.run.differs |= FORGOTTEN;
        return;
    }
    let first = work.piece[1] as u32;
    let few = length < 4;
    let unclear = few && after_few(before, first, length) == data::END;
    let completes = data::completes(first) as u32;
    let may_end = completes != 0 && (few || completes != barred || data::completes_another(first));
    if !known && (may_end || unclear) {
        // Nobody remembers what stood before: it might end the mail.
        work.run.differs |= 1;
        return;
    }
    work.run.text = if known { before } else { data::MIDDLE };
    data::scan(host, work, from, to);
    if work.run.cut != 0 {
        return;
    }
    let state = if work.run.found == NOWHERE { work.run.text } else { data::END };
    let stops = sequence.wrapping_add(work.run.found);
    // What has to come out: the end of data where one was read, and elsewhere the state that is known. Where none is, only
    // one that does not matter passes.
    let (behind, _) = state_at(host, work, end);
    let ends = work.state.memory.is_end_of_data(end);
    let expected = if ends {
        data::END
    } else if behind == data::END {
        data::MIDDLE
    } else {
        behind
    };
    let differs = state != expected || state == data::END && stops != end;
    work.run.differs |= differs as u32;
    if work.run.differs == 0 {
        agrees(host, work, from, to, before);
    }
    if work.run.differs == 0 {
        work.data = pieces::Data { from, to, before, overlaps: 0, spare: 0, reserved: 0 };
        pieces::look_through::<H, { pieces::PASSED }>(host, work);
    }
}

/// Checks a repeat of bytes that passed in front of a gap; whether it passes.
#[inline(always)]
pub fn early<H: Host>(host: &mut H, work: &mut Work) -> bool {
    work.run.differs = 0;
    let length = work.segment.length;
    let barred = work.run.ranges.barred;
    text(host, work, (0, length), barred);
    work.run.cut == 0 && work.run.differs == 0
}
