//! AUTH (RFC 4954 section 4), and commands that carry credentials as it does.

use crate::{
    direction::{Client, Direction as _},
    session::{Mode, verb::Command},
    work::Work,
};

/// A line in the exchange: an answer, or `*`. Never a command, and never shown. `false` if there is a verdict against
/// it.
#[inline(always)]
pub(super) fn answer(work: &mut Work) -> bool {
    work.state.session.mode = Mode::COMMAND;
    work.state.session.hold = Command::AUTH;
    work.wait(Command::AUTH)
}

/// The reply to AUTH or to an answer. With a challenge (334), the next line is an answer.
#[inline(always)]
pub(super) fn auth_answered(work: &mut Work, challenge: bool) {
    if work.monitors != 0 && work.state.session.answered() == Command::AUTH {
        // The answer came before it was asked for, and is itself waiting for a reply.
        return;
    }
    work.state.session.hold = Command::NONE;
    if challenge {
        work.state.session.mode = Mode::AUTH_EXCHANGE;
    }
}

/// 334 to another command that carries credentials. The client did not have to wait for the reply: if it has sent more
/// already, that is held back.
#[inline(always)]
pub(super) fn login_challenge(work: &mut Work) {
    let unread = work.state.line[Client::INDEX].length == 0;
    let session = &mut work.state.session;
    if unread && session.runs == 0 && session.mode == Mode::COMMAND {
        session.mode = Mode::AUTH_EXCHANGE;
    } else {
        session.hold = Command::AUTH;
    }
}
