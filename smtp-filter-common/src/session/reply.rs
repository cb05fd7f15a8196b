//! A whole reply: what it does to the dialogue. Only replies move the state (I3).

use crate::{
    direction::{Client, Direction as _},
    event::Ended,
    host::Host,
    policy::Policy,
    session::{Mode, data::State, monitor, replies::Answer, verb::Command},
    work::Work,
};

/// `Session::end`: QUIT was answered. Added to [`crate::event::Ended::Fin`] it gives the [`crate::event::Ended`] of a
/// connection that both sides then close.
pub const ENDED_BY_QUIT: u8 = 1;

/// `Session::end`: the server said 421 (RFC 5321 section 3.8). Added likewise.
pub const ENDED_BY_SERVER: u8 = 2;

const _: () = {
    assert!(Ended::Fin as u8 + ENDED_BY_QUIT == Ended::Quit as u8);
    assert!(Ended::Fin as u8 + ENDED_BY_SERVER == Ended::Refused as u8);
};

/// A whole reply has been read.
#[inline(always)]
pub(super) fn read<H: Host>(policy: &Policy, work: &mut Work, code: u16) {
    let good = matches!(code, 200..300);
    let session = &mut work.state.session;
    if code == 421 {
        session.end = ENDED_BY_SERVER;
    }
    if session.greeted == 0 {
        // RFC 5321 section 3.1: the server speaks first; this answers no command.
        session.greeted = 1;
        return;
    }
    if work.monitors != 0 {
        if monitor::counts_alone(work, code) {
            return;
        }
        monitor::pass_lost_replies::<H>(&mut work.state.session, code);
    }
    let session = &mut work.state.session;
    let kind = session.answered();
    // The end of data may be in a gap after which nothing has come yet: the server acknowledges it.
    let missed = monitor::was_missed(work) != 0;
    let session = &mut work.state.session;
    let gap = work.stream.uncertain != 0 || missed || work.monitors != 0 && work.state.memory.has_ranges();
    if kind == Command::NONE && gap && session.mode == Mode::MAIL_DATA {
        monitor::mail_data_answered(work, code);
        return;
    }
    match session.answers(code) {
        Answer::Last => session.answer(),
        Answer::OneOfSeveral | Answer::Remark => return,
        Answer::Unmatched => {
            unmatched(work, code);
            return;
        }
    }
    // It is not known which command this answers, so it ends no wait.
    let lost = session.astray != 0 && policy.enforces();
    match kind {
        Command::DATA | Command::STARTTLS | Command::AUTH | Command::LOGIN if lost => {}
        Command::MAIL => {
            session.accepted *= !good as u16;
            session.transaction &= good as u8;
        }
        Command::RCPT if good => session.accepted = session.accepted.saturating_add(1),
        // LHLO. No EHLO or HELO takes it back: a server that has accepted LHLO refuses them (RFC 2033 section 4.1). If
        // it does not, the number of replies per mail is unknown.
        Command::CLAIM if good => session.lmtp = 1,
        Command::LOGIN if code == 334 => login(work),
        Command::HELO | Command::DOWNGRADED if good => {
            session.transaction = 0;
            session.hello = 1;
            session.chunking = 0;
        }
        Command::EHLO if good => {
            session.transaction = 0;
            session.hello = 2;
            session.chunking = session.offers;
        }
        Command::DATA if session.hasty != 0 => monitor::data_answered(work, code),
        Command::DATA => {
            session.hold = Command::NONE;
            if code == 354 {
                session.mode = Mode::MAIL_DATA;
                work.state.memory.data_state = State::LINE;
                let at = work.state.side[Client::INDEX].next;
                work.begin_region(Mode::MAIL_DATA, at);
            }
        }
        Command::STARTTLS => {
            session.hold = Command::NONE;
            if code == 220 {
                session.mode = Mode::TLS;
                if work.monitors != 0 {
                    monitor::tls_begins(session);
                }
                let at = work.state.side[Client::INDEX].next;
                work.begin_region(Mode::TLS, at);
            }
        }
        // The answer came before it was asked for, and is itself waiting for a reply.
        Command::AUTH if work.monitors != 0 && session.answered() == Command::AUTH => {}
        Command::AUTH => {
            session.hold = Command::NONE;
            if code == 334 {
                session.mode = Mode::AUTH_EXCHANGE;
            }
        }
        Command::BDAT if session.hold == Command::BDAT && work.monitors != 0 => monitor::bdat_answered(work),
        Command::BDAT | Command::BDAT_LAST => {
            // Mode `monitor` believes the offer of CHUNKING: such a server reads the chunk to its end.
            if session.runs == 0 && session.mode == Mode::CHUNK && work.monitors & session.chunking == 0 {
                // The reply came before the chunk was complete. Only the server knows whether it reads the rest as
                // chunk or as commands.
                session.mode = crate::session::Mode::COMMAND;
                session.hold = Command::BDAT.when(1 - work.monitors);
                session.doubt |= monitor::SEGMENT * work.monitors;
            }
            let over = !good || session.runs == 0;
            session.messages = session.messages.wrapping_add((kind == Command::BDAT_LAST && good) as u32);
            session.transaction &= (kind != Command::BDAT_LAST) as u8;
            // Bytes of a chunk are missing, and the server does not seem to wait for them. Bytes sent in their span
            // may be commands to it, so they are refused until it has acknowledged that part, as an honest reply does
            // at once.
            let memory = &mut work.state.memory;
            memory.missing |= memory.missing * 2 * over as u16;
        }
        Command::END_OF_DATA => {
            session.messages = session.messages.wrapping_add(good as u32);
            session.transaction = 0;
        }
        Command::QUIT => session.end = ENDED_BY_QUIT,
        _ => {}
    }
}

/// A reply that answers no waiting command. If it says what the server takes the client's next bytes for, they are held
/// back.
#[inline(always)]
fn unmatched(work: &mut Work, code: u16) {
    // The server may give up at any time: with 421 (RFC 5321 section 3.8), Exchange with 451.
    if code == 421 || work.state.session.runs == 0 && matches!(code, 400..500) {
        return;
    }
    // After a gap, it may answer something in the gap.
    let missed = monitor::was_missed(work);
    let session = &mut work.state.session;
    work.tally.unmatched =
        1 ^ (work.stream.uncertain | work.uncertain | missed | (session.doubt & monitor::REPLIES != 0) as u8);
    if work.monitors != 0 {
        monitor::unmatched(work, code);
        return;
    }
    session.astray = 1;
    match code {
        354 => session.hold = Command::DATA,
        334 => session.hold = Command::AUTH,
        _ => {}
    }
}

/// 334 to a command other than AUTH that carries credentials. The client did not have to wait for the reply: if it has
/// sent more already, that is held back.
#[inline(always)]
fn login(work: &mut Work) {
    let unread = work.state.line[Client::INDEX].length == 0;
    let session = &mut work.state.session;
    if unread && session.runs == 0 && session.mode == crate::session::Mode::COMMAND {
        session.mode = Mode::AUTH_EXCHANGE;
    } else {
        session.hold = Command::AUTH;
    }
}
