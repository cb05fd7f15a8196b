//! Retransmissions of the client (I4): commands are compared with the bytes that passed; mail data is scanned again.
//!
//! Whatever a receiver assembles from the first copy and from retransmissions has to read as what was judged. The bytes
//! of mail data are not kept. So a retransmission of mail data may contain an end of data only where one was read, and
//! has to agree with the remembered boundaries about the scanner's state. Acknowledged bytes are not compared: the
//! receiver has them.

use super::{boundaries, chunks, pieces, window};
use crate::{
    bounds::REGIONS,
    direction::{Client, Direction as _},
    host::{Host, Step},
    seq::Seq,
    session::data::NOWHERE,
    session::{self, data},
    stream::in_segment::{FORGOTTEN, REFUSED},
    work::Work,
};

const SIDE: usize = Client::INDEX;

struct Regions<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: Seq,
    to: Seq,
}

impl<H: Host> Step for Regions<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let i = index as usize & (REGIONS - 1);
        let memory = &work.state.memory;
        let used = memory.regions as usize;
        if i >= used || work.stream.differs != 0 {
            return true;
        }
        let stop = if i + 1 < used { memory.region_at[(i + 1) & (REGIONS - 1)] } else { work.state.side[SIDE].next };
        let start = memory.region_at[i].later(self.from);
        let stop = stop.earlier(self.to);
        if !stop.is_after(start) {
            return false;
        }
        let sequence = work.segment.sequence;
        let (from, to) = (start.since(sequence), stop.since(sequence));
        match memory.region_kind[i] {
            session::Mode::MAIL_DATA => mail_data(host, work, (from, to), 0),
            session::Mode::CHUNK | session::Mode::CHUNKS if refused(work, start) => work.stream.differs |= REFUSED,
            // BDAT lines are checked afterwards, in `check`.
            session::Mode::CHUNK | session::Mode::CHUNKS | session::Mode::TLS => {}
            _ => window::check_retransmitted::<H, Client>(host, work, from, to),
        }
        false
    }
}

/// Whether bytes of a chunk from `start` on may be their first copy, after the server has refused the chunk.
#[inline(always)]
const fn refused(work: &Work, start: Seq) -> bool {
    work.state.memory.missing > 1 && work.state.memory.missing_to.is_after(start)
}

/// Checks the retransmitted sequence numbers `from..to`, none of them acknowledged. `false` if they must not reach the
/// server.
#[inline(always)]
pub fn check<H: Host>(host: &mut H, work: &mut Work, from: Seq, to: Seq) -> bool {
    work.stream.differs = 0;
    H::run_steps(REGIONS as u32, &mut Regions { host: &mut *host, work: &mut *work, from, to });
    if work.state.memory.chunks != 0 {
        chunks::check_retransmitted(host, work, from, to);
    }
    work.stream.differs == 0
}

/// The state after the first `count` (less than four) of these bytes. [`data::END`] if it depends on the bytes before
/// them and those are not known.
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
    data::state_after((prefix >> ((count * 8) & 31)) | (bytes << (32_u32.wrapping_sub(count * 8) & 31)))
}

/// Compares the segment with the remembered boundaries.
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
        let (at, state, _) = boundaries::listed(host, work, index);
        // Offset in the payload; positions outside the segment wrap to very large values.
        let offset = work.segment.offset_of(at);
        if state == data::END || offset <= self.from || offset >= self.to {
            return false;
        }
        let count = offset - self.from;
        let few = count < 4;
        let at = if few { self.from } else { offset - 4 };
        // The segment may end before four bytes; bytes after the boundary do not count.
        let left = work.segment.length - at;
        if !host.fetch(at, if left > 4 { 4 } else { left }, &mut work.piece) {
            work.stream.differs |= FORGOTTEN;
            return true;
        }
        let bytes = work.piece[1] as u32;
        let here = if few { after_few(self.before, bytes, count) } else { data::state_after(bytes) };
        work.stream.differs |= boundaries::differs::<H>(here, state);
        work.stream.differs != 0
    }
}

/// Whether payload `from..to` agrees with the boundaries in it, and with the ends of out-of-order ranges. If not,
/// `stream.differs` is not 0 afterwards. `before` is the state at `from`, or [`data::END`] if it is not known.
#[inline(always)]
pub fn agrees<H: Host>(host: &mut H, work: &mut Work, from: u32, to: u32, before: u8) {
    work.reading.piece_length = 0;
    let sequence = work.segment.sequence;
    let count = host.list_boundaries(work, sequence.plus(from).plus(1), sequence.plus(to));
    H::run_steps(count, &mut Agree { host, work, from, to, before });
}

/// The state at a position in mail data: see [`boundaries::state_at`].
#[inline(always)]
pub fn state_at<H: Host>(host: &mut H, work: &mut Work, at: Seq) -> (u8, u8) {
    // After mail data has ended, no end of data is under way.
    let is_text = work.state.session.mode == session::Mode::MAIL_DATA;
    let before = if is_text { work.state.side[SIDE].next.since(at) } else { u32::MAX };
    boundaries::state_at(host, work, at, before)
}

/// Scans retransmitted mail data, payload `from..to`, again. Afterwards `stream.differs` is not 0 if a receiver might
/// assemble other mail data from it than was read. The state `barred` (0: none) is known not to occur before it.
#[inline(always)]
pub fn mail_data<H: Host>(host: &mut H, work: &mut Work, (from, to): (u32, u32), barred: u32) {
    let sequence = work.segment.sequence;
    let (start, end) = (sequence.plus(from), sequence.plus(to));
    let length = to - from;
    let before = match state_at(host, work, start) {
        // A receiver acknowledges only where some copy ended. A copy that ended here in any other state than MIDDLE
        // would have left a boundary, or (a retransmission) been blocked below. So without a boundary the state is
        // MIDDLE. One exception: a copy that ended here before anything after this position was read. It ended in the
        // state of the first copy, which is `near`.
        (data::END, data::END) if start == work.stream.acknowledged => data::MIDDLE,
        (data::END, near) if start == work.stream.acknowledged => near,
        (before, _) => before,
    };
    let before = work.unknown::<H>(before);
    let known = before != data::END;
    work.reading.piece_length = 0;
    work.piece[1] = 0;
    if !host.fetch(from, if length > 4 { 4 } else { length }, &mut work.piece) {
        work.stream.differs |= FORGOTTEN;
        return;
    }
    let first = work.piece[1] as u32;
    let few = length < 4;
    let unclear = few && after_few(before, first, length) == data::END;
    let completes = data::completes(first) as u32;
    let may_end = completes != 0 && (few || completes != barred || data::completes_another(first));
    if !known && (may_end || unclear) {
        // The bytes before are not known, so these might complete an end of data.
        work.stream.differs |= 1;
        return;
    }
    work.scan.state = if known { before } else { data::MIDDLE };
    data::scan(host, work, from, to);
    if work.is_blocked() {
        return;
    }
    let state = if work.scan.end_of_data == NOWHERE { work.scan.state } else { data::END };
    let stops = sequence.plus(work.scan.end_of_data);
    // Expected after the bytes: the end of data if one was read here, else the known state. If none is known, only
    // MIDDLE passes: any other would have left a boundary.
    let (known_after, _) = state_at(host, work, end);
    let ends = work.state.memory.is_end_of_data(end);
    let expected = if ends {
        data::END
    } else if known_after == data::END {
        data::MIDDLE
    } else {
        known_after
    };
    let differs = state != expected || state == data::END && stops != end;
    work.stream.differs |= differs as u32;
    if work.stream.differs == 0 {
        agrees(host, work, from, to, before);
    }
    if work.stream.differs == 0 {
        work.data = pieces::Data { from, to, before, overlaps: 0, spare: 0, reserved: 0 };
        pieces::look_through::<H, { pieces::PASSED }>(host, work);
    }
}

/// Checks a retransmission of bytes that passed out of order; whether it passes.
#[inline(always)]
pub fn out_of_order<H: Host>(host: &mut H, work: &mut Work) -> bool {
    work.stream.differs = 0;
    let length = work.segment.length;
    let barred = work.stream.ranges.barred;
    mail_data(host, work, (0, length), barred);
    !work.is_blocked() && work.stream.differs == 0
}
