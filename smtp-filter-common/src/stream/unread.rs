//! Mode `monitor` passes over what it could not read in order (I13).

use super::facts::STATE_CHANGED;
use crate::{
    action::Action,
    direction::Direction,
    host::Host,
    reason::{Reason, counter},
    session,
    work::Work,
};

/// Mode `monitor`: the segment passes although it was not read in order.
#[inline(always)]
pub fn unread<H: Host, D: Direction>(host: &mut H, work: &mut Work, entry: H::Entry) -> u8 {
    host.count(counter(Reason::Gap.number(), Action::Pass as u8, true), 1, work.segment.length);
    host.load_state(entry, &mut work.state);
    let end = work.segment.end();
    if !end.is_after(work.state.side[D::INDEX].next) {
        return 0;
    }
    let side = &mut work.state.side[D::INDEX];
    side.bytes += end.since(side.next) as u64;
    side.next = end;
    work.state.memory.forget_ranges();
    if D::IS_CLIENT {
        if work.state.session.runs == 0 {
            // No reply is expected that would end the wait.
            work.state.session.hold = session::verb::Command::NONE;
        }
        if matches!(work.state.session.mode, session::Mode::CHUNK | session::Mode::MASKED_CHUNK) {
            work.state.session.mode = session::Mode::COMMAND;
            work.state.session.doubt |= session::state::Doubt::SEGMENT;
        }
        work.state.line[D::INDEX].begin(false, end);
    } else {
        work.state.line[D::INDEX].begin(true, end);
    }
    STATE_CHANGED
}
