//! Mode `monitor` drops nothing, so segments go by in whatever order they come. Reading goes on after a gap (I13), and the
//! commands in it are read when they come late.

use super::{ahead, earlier};
use crate::{
    event::{CLIENT, SERVER},
    session::{Mode, data, monitor, verb::Command},
    work::{Aside, Work},
};

const SIDE: usize = CLIENT as usize;

/// Nothing of the client's bytes is known any more that a retransmission could be compared with.
#[inline(always)]
pub fn forget(work: &mut Work) {
    let next = work.state.side[SIDE].next;
    let mode = work.state.session.mode;
    let memory = &mut work.state.memory;
    memory.forget_ranges();
    memory.forget_boundaries();
    memory.slot = 0;
    memory.chunks = 0;
    memory.chunk_slot = 0;
    memory.missing = 0;
    memory.regions = 0;
    memory.begin_region(mode, next);
    work.state.side[SIDE].unkept = 1;
}

/// Goes on with a segment of the client that begins after a gap.
#[inline(never)]
pub fn leap(work: &mut Work) -> bool {
    let sequence = work.segment.sequence;
    let side = &mut work.state.side[SIDE];
    let gap = [side.next, sequence];
    side.bytes += sequence.wrapping_sub(side.next) as u64;
    side.next = sequence;
    let session = &mut work.state.session;
    match session.mode {
        // In the midst of a line, for all that is known.
        Mode::MAIL_DATA => work.state.memory.text = data::MIDDLE,
        Mode::COMMAND => {
            session.doubt |= monitor::LINE;
            let open = work.state.memory.gap;
            if open[0] == open[1] || ahead(work.run.acknowledged, open[1]) >= 0 {
                work.state.memory.gap = gap;
            }
        }
        _ => {
            session.mode = Mode::COMMAND;
            session.doubt |= monitor::SEGMENT;
        }
    }
    work.state.line[SIDE].begin(false, sequence);
    forget(work);
    true
}

/// A segment of the server after a gap, in which replies may have been.
#[inline(never)]
pub fn leap_of_server(work: &mut Work) -> bool {
    let sequence = work.segment.sequence;
    let side = &mut work.state.side[SERVER as usize];
    side.bytes += sequence.wrapping_sub(side.next) as u64;
    side.next = sequence;
    side.unkept = 1;
    work.state.alike.length = 0;
    work.state.session.reply = 0;
    work.state.session.greeted = 1;
    work.state.line[SERVER as usize].begin(true, sequence);
    true
}

/// Whether the segment fills the gap in the commands from its start on. It is read as a dialogue of its own then, up to
/// [`end_late`].
#[inline(never)]
pub fn begin_late(work: &mut Work) -> bool {
    let [from, to] = work.state.memory.gap;
    let (sequence, end) = (work.segment.sequence, work.segment.end());
    let next = work.state.side[SIDE].next;
    let session = &mut work.state.session;
    let fills = from != to && ahead(sequence, from) <= 0 && ahead(end, from) > 0 && ahead(end, next) <= 0;
    if !fills || session.mode != Mode::COMMAND || session.doubt & monitor::SEGMENT != 0 {
        return false;
    }
    let stop = earlier(end, to);
    work.run.late = 1;
    work.run.at = from.wrapping_sub(sequence);
    work.run.first = work.run.at;
    work.run.end = stop.wrapping_sub(sequence);
    work.run.piece_length = 0;
    work.aside = Aside { line: work.state.line[SIDE], arg: work.state.arg, hold: session.hold, doubt: session.doubt };
    session.doubt |= monitor::LINE;
    session.hold = Command::NONE;
    work.state.memory.gap[0] = stop;
    work.state.line[SIDE].begin(false, from);
    true
}

/// Bytes of a gap have been read that came late.
#[inline(always)]
pub fn end_late(work: &mut Work) -> bool {
    let Aside { line, arg, hold, doubt } = work.aside;
    work.state.line[SIDE] = line;
    work.state.arg = arg;
    let session = &mut work.state.session;
    session.doubt = doubt;
    session.hold = Command(session.hold.0 | hold.when((session.hold == Command::NONE) as u8).0);
    if session.mode != Mode::COMMAND {
        // What follows was taken for commands and is none.
        session.mode = Mode::COMMAND;
        session.doubt |= monitor::SEGMENT;
    }
    true
}
