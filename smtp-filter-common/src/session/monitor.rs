//! Mode `monitor` continues where enforcement would drop or reset (I13): bytes that come before the reply that says
//! what they are, lines after a gap, and replies of which some were lost.
//!
//! Words of a mail are never taken for verbs: if it is uncertain what a line is, it counts as a command only if its
//! verb is known.

use core::marker::PhantomData;

use crate::{
    bounds::PENDING,
    direction::{Client, Direction as _, Server},
    entry::Session,
    host::{Host, Step},
    reason::FIRST_NAME,
    seq::Seq,
    session::{Mode, data::State, effect, line::ODD, state::Doubt, verb::Command},
    work::Work,
};

const SIDE: usize = Client::INDEX;

/// The client's next bytes came before the reply to a command of kind `hold`. Returns whether they are read as
/// commands.
#[inline(always)]
pub fn continue_before_reply(work: &mut Work, hold: Command) -> bool {
    match hold {
        // Mail data, if the server says 354.
        Command::DATA => {
            let session = &mut work.state.session;
            session.hold = Command::NONE;
            session.hasty = session.hasty.saturating_add(1);
            begin_mail_data(work, work.segment.sequence_at(work.reading.at));
            false
        }
        // A chunk, or commands: the reply says which.
        Command::BDAT => {
            skip(work);
            false
        }
        // After STARTTLS they may be commands or TLS, after AUTH commands or credentials.
        _ => true,
    }
}

/// Whether the client acknowledges bytes of the server that were not seen here: it may have got its reply.
#[inline(always)]
pub fn reply_was_lost(work: &Work) -> bool {
    work.segment.acknowledgement.is_after(work.state.side[Server::INDEX].next)
}

/// Whether the server has answered everything that the client sent: from here on the state is certain again.
#[inline(always)]
pub fn is_certain(work: &Work) -> bool {
    let session = &work.state.session;
    session.mode != Mode::MAIL_DATA
        && session.runs == 0
        && session.hold == Command::NONE
        && session.doubt.without(Doubt::REPLIES) == Doubt::NONE
        && work.state.line[Server::INDEX].length == 0
        && work.segment.acknowledgement == work.state.side[SIDE].next
}

/// 1 if the server acknowledges bytes of the client that were not seen here: there may have been commands among them.
#[inline(always)]
pub fn was_missed(work: &Work) -> u8 {
    work.monitors & (work.segment.acknowledgement.is_after(work.state.side[SIDE].next)) as u8
}

/// Skips the rest of the segment.
#[inline(always)]
pub fn skip(work: &mut Work) {
    work.reading.at = work.reading.end;
    work.state.line[SIDE].begin(false, work.segment.end());
}

/// Whether the current line is a command of kind `kind`; `reason` is the policy's reason for it.
#[inline(always)]
pub fn classify_uncertain_line(work: &mut Work, kind: Command, reason: u16) -> bool {
    let odd = work.state.line[SIDE].facts & ODD != 0;
    let session = &mut work.state.session;
    let doubt = session.doubt.without(Doubt::REPLIES);
    session.doubt = session.doubt.only(Doubt::REPLIES);
    if kind != Command::PLAIN || reason != FIRST_NAME {
        return true;
    }
    match (doubt, session.hold) {
        _ if doubt.has(Doubt::SEGMENT) => {
            session.doubt |= Doubt::SEGMENT;
            skip(work);
            false
        }
        (Doubt::LINE, _) => false,
        // An answer in the AUTH exchange that came before it was asked for: never shown.
        (_, Command::AUTH) => {
            work.wait(Command::AUTH);
            false
        }
        // TLS records begin with control bytes.
        (_, Command::STARTTLS) if odd => {
            work.state.session.doubt |= Doubt::SEGMENT;
            skip(work);
            false
        }
        _ => true,
    }
}

/// Mail data begins at `at`.
#[inline(always)]
fn begin_mail_data(work: &mut Work, at: Seq) {
    work.state.session.mode = Mode::MAIL_DATA;
    work.state.memory.data_state = State::LINE;
    work.begin_region(Mode::MAIL_DATA, at);
}

/// Commands begin again at the next byte of the client to be read.
#[inline(always)]
fn begin_commands(work: &mut Work) {
    let at = work.state.side[SIDE].next;
    work.state.session.mode = Mode::COMMAND;
    work.state.session.doubt |= Doubt::LINE;
    work.state.line[SIDE].begin(false, at);
    work.begin_region(Mode::COMMAND, at);
}

/// The reply to a DATA whose mail data came before it. If the server does not agree, the mail data were commands to the
/// server, and they passed unread.
#[inline(always)]
pub fn data_answered(work: &mut Work, agrees: bool) {
    let session = &mut work.state.session;
    session.hasty = session.hasty.saturating_sub(1);
    if agrees {
        return;
    }
    session.doubt |= Doubt::REPLIES;
    if session.hasty == 0 && session.mode == Mode::MAIL_DATA {
        begin_commands(work);
    }
}

/// The reply to a BDAT without a size: the bytes after it passed unread.
#[inline(always)]
pub fn bdat_answered(work: &mut Work) {
    work.state.session.hold = Command::NONE;
    begin_commands(work);
}

/// The server speaks TLS from now on: no waiting command will be answered.
#[inline(always)]
pub fn tls_begins(session: &mut Session) {
    session.runs = 0;
    session.hellos = 0;
    session.hasty = 0;
    session.doubt = Doubt::NONE;
    session.hold = Command::NONE;
}

struct LostReplies<'a, H> {
    session: &'a mut Session,
    code: u16,
    host: PhantomData<H>,
}

impl<H: Host> Step for LostReplies<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let session = &mut *self.session;
        let kind = session.answered();
        if kind == Command::NONE || !effect::look_up::<H>(kind, self.code).is_unasked() {
            return true;
        }
        session.hasty = session.hasty.saturating_sub((kind == Command::DATA) as u8);
        session.hold = session.hold.when((session.hold != kind) as u8);
        session.more = 0;
        session.answer();
        false
    }
}

/// More commands are waiting than are remembered one by one. Counts this reply as one, whatever it answers; returns
/// whether it has been dealt with.
#[inline(always)]
pub fn counts_alone(work: &mut Work, code: u16) -> bool {
    let session = &mut work.state.session;
    if session.astray == 0 || session.runs == 0 {
        return false;
    }
    session.answer();
    session.astray = (session.runs != 0) as u8;
    unmatched(work, code);
    true
}

/// A reply that is not known to answer a command. If it says what the client's next bytes are, it is believed.
#[inline(always)]
pub fn unmatched(work: &mut Work, code: u16) {
    match code {
        354 => mail_data_begins(work),
        // Credentials follow, which are never shown.
        334 if work.state.session.mode == Mode::COMMAND => work.state.session.mode = Mode::AUTH_EXCHANGE,
        // The STARTTLS command itself was not seen.
        220 if was_missed(work) != 0 => {
            let side = &mut work.state.side[SIDE];
            side.next = side.next.later(work.segment.acknowledgement);
            let at = side.next;
            work.state.session.mode = Mode::TLS;
            tls_begins(&mut work.state.session);
            work.begin_region(Mode::TLS, at);
        }
        _ => {}
    }
}

/// Removes waiting commands before the first one that a reply with this code may answer: their replies were lost.
#[inline(always)]
pub fn pass_lost_replies<H: Host>(session: &mut Session, code: u16) {
    H::run_steps(PENDING as u32, &mut LostReplies::<H> { session, code, host: PhantomData });
}

/// Whether a reply, although no command is waiting, answers an end of data that passed unread. It may be in a gap after
/// which nothing has come yet: the server acknowledges it.
#[inline(always)]
pub fn answers_mail_data(work: &Work) -> bool {
    let missed = was_missed(work) != 0;
    let gap = work.stream.uncertain != 0 || missed || work.monitors != 0 && work.state.memory.has_ranges();
    gap && work.state.session.mode == Mode::MAIL_DATA
}

/// A reply within mail data, although no command is waiting. The end of data passed unread, and this is its reply.
#[inline(always)]
pub fn mail_data_answered(work: &mut Work, code: u16) {
    let good = matches!(code, 200..300);
    work.state.session.messages = work.state.session.messages.wrapping_add(good as u32);
    resynchronise(work);
    // The server may have given up before the end.
    work.state.session.doubt = Doubt::SEGMENT.when(!good as u8);
}

/// 354 to a DATA that is not known to be waiting.
#[inline(always)]
fn mail_data_begins(work: &mut Work) {
    if work.state.session.hasty != 0 {
        work.state.session.hasty -= 1;
        return;
    }
    resynchronise(work);
    work.state.memory.regions = 0;
    begin_mail_data(work, work.state.side[SIDE].next);
}

/// Resynchronises: the dialogue continues with the client's next byte, and no command is waiting.
#[inline(always)]
fn resynchronise(work: &mut Work) {
    // The server has the bytes that this segment acknowledges.
    let side = &mut work.state.side[SIDE];
    side.next = side.next.later(work.segment.acknowledgement);
    let session = &mut work.state.session;
    session.hold = Command::NONE;
    session.runs = 0;
    session.hellos = 0;
    session.hasty = 0;
    session.transaction = 0;
    let memory = &mut work.state.memory;
    memory.forget_ranges();
    memory.forget_boundaries();
    memory.chunks = 0;
    memory.regions = 0;
    begin_commands(work);
    work.state.session.doubt = Doubt::NONE;
}
