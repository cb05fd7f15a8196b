//! Mode `monitor` drops nothing, so segments pass in any order. Reading continues after a gap (I13). The commands in
//! the gap are read when they arrive late.

use crate::{
    direction::{Client, Direction as _, Server},
    done::{DONE, Done},
    session::{Mode, data::State, state::Doubt, verb::Command},
    work::{Aside, Work},
};

const SIDE: usize = Client::INDEX;

/// Forgets everything about the client's bytes that a retransmission could be compared with.
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

/// Continues after a gap, with the client's segment that begins there.
#[inline(never)]
pub fn leap(work: &mut Work) -> Done {
    let sequence = work.segment.sequence;
    let side = &mut work.state.side[SIDE];
    let gap = [side.next, sequence];
    side.bytes += sequence.since(side.next) as u64;
    side.next = sequence;
    let session = &mut work.state.session;
    match session.mode {
        // Assume the middle of a line, since the bytes before are unknown.
        Mode::MAIL_DATA => work.state.memory.data_state = State::MIDDLE,
        Mode::COMMAND => {
            session.doubt |= Doubt::LINE;
            let open = work.state.memory.gap;
            if open[0] == open[1] || !work.stream.acknowledged.is_before(open[1]) {
                work.state.memory.gap = gap;
            }
        }
        _ => {
            session.mode = Mode::COMMAND;
            session.doubt |= Doubt::SEGMENT;
        }
    }
    work.state.line[SIDE].begin(false, sequence);
    forget(work);
    DONE
}

/// Continues after a gap in the server's stream. There may have been replies in it.
#[inline(never)]
pub fn leap_of_server(work: &mut Work) -> Done {
    let sequence = work.segment.sequence;
    let side = &mut work.state.side[Server::INDEX];
    side.bytes += sequence.since(side.next) as u64;
    side.next = sequence;
    side.unkept = 1;
    work.state.identical.length = 0;
    work.state.session.reply = 0;
    work.state.session.greeted = 1;
    work.state.line[Server::INDEX].begin(true, sequence);
    DONE
}

/// Whether the segment fills the gap in the commands from its start on. If so, it is read as a dialogue of its own,
/// until [`end_late`].
#[inline(never)]
pub fn begin_late(work: &mut Work) -> bool {
    let [from, to] = work.state.memory.gap;
    let (sequence, end) = (work.segment.sequence, work.segment.end());
    let next = work.state.side[SIDE].next;
    let session = &mut work.state.session;
    let fills = from != to && !sequence.is_after(from) && end.is_after(from) && !end.is_after(next);
    if !fills || session.mode != Mode::COMMAND || session.doubt.has(Doubt::SEGMENT) {
        return false;
    }
    let stop = end.earlier(to);
    work.stream.late = 1;
    work.reading.at = from.since(sequence);
    work.reading.first = work.reading.at;
    work.reading.end = stop.since(sequence);
    work.reading.piece_length = 0;
    work.aside = Aside { line: work.state.line[SIDE], arg: work.state.arg, hold: session.hold, doubt: session.doubt };
    session.doubt |= Doubt::LINE;
    session.hold = Command::NONE;
    work.state.memory.gap[0] = stop;
    work.state.line[SIDE].begin(false, from);
    true
}

/// The late bytes of a gap have been read.
#[inline(always)]
pub fn end_late(work: &mut Work) {
    let Aside { line, arg, hold, doubt } = work.aside;
    work.state.line[SIDE] = line;
    work.state.arg = arg;
    let session = &mut work.state.session;
    session.doubt = doubt;
    session.hold = Command(session.hold.0 | hold.when((session.hold == Command::NONE) as u8).0);
    if session.mode != Mode::COMMAND {
        // The bytes after the gap were taken for commands, but they are not.
        session.mode = Mode::COMMAND;
        session.doubt |= Doubt::SEGMENT;
    }
}
