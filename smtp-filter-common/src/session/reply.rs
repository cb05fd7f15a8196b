//! A whole reply. Only replies move the state (I3): [`super::effect`] says what a reply does, and here it is done.

use crate::{
    branchless::{choose, same},
    direction::{Client, Direction as _},
    entry::Session,
    host::Host,
    session::{
        Mode, auth,
        data::State,
        effect::{self, Effect},
        monitor,
        state::{Doubt, End, Hello},
        verb::Command,
    },
    work::Work,
};

/// A whole reply has been read.
#[inline(always)]
pub(super) fn read<H: Host>(work: &mut Work, code: u16) {
    let session = &mut work.state.session;
    // verifier: without a branch, after which it would know the code.
    session.end = End(choose::<H>(same::<H>(code as u32, 421), End::BY_SERVER.0, session.end.0));
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
    let asked = work.state.session.answered();
    if asked == Command::NONE && monitor::answers_mail_data(work) {
        monitor::mail_data_answered(work, code);
        return;
    }
    let effect = effect::look_up::<H>(asked, code);
    if effect == Effect::REMARK || effect == Effect::GIVES_UP {
        return;
    }
    if !effect.answers() {
        unasked(work, effect, code);
        return;
    }
    let session = &mut work.state.session;
    if session.is_one_of_several(effect, code) {
        return;
    }
    session.answer();
    // It is not known which command this answers, so it ends no wait.
    if session.astray == 0 || work.monitors != 0 || !effect.ends_wait() {
        apply::<H>(work, effect);
    }
}

/// Does what the reply does, whose command no longer counts as waiting.
#[inline(always)]
fn apply<H: Host>(work: &mut Work, effect: Effect) {
    // verifier: forgets which effect it is of two that share most of what is done.
    let agrees = work.unknown::<H>(effect.agrees());
    let session = &mut work.state.session;
    match effect {
        Effect::DATA_REFUSED | Effect::MAIL_DATA_BEGINS => data_answered(work, agrees != 0),
        Effect::STARTTLS_REFUSED | Effect::TLS_BEGINS => starttls_answered(work, agrees != 0),
        Effect::AUTH_ENDS | Effect::CHALLENGE => auth::auth_answered(work, agrees != 0),
        Effect::LOGIN_CHALLENGE => auth::login_challenge(work),
        Effect::MAIL_REFUSED | Effect::MAIL_ACCEPTED => {
            session.accepted *= 1 - agrees as u16;
            session.transaction &= agrees;
        }
        Effect::RCPT_ACCEPTED => session.accepted = session.accepted.saturating_add(1),
        Effect::CHUNK_REFUSED | Effect::CHUNK_ACCEPTED => {
            if session.hold == Command::BDAT && work.monitors != 0 {
                monitor::bdat_answered(work);
            } else {
                chunk_answered(work, agrees != 0);
            }
        }
        Effect::LAST_CHUNK_REFUSED | Effect::LAST_CHUNK_ACCEPTED => {
            mail_ends(session, agrees);
            chunk_answered(work, agrees != 0);
        }
        Effect::MAIL_DATA_REFUSED | Effect::MAIL_DATA_ACCEPTED => mail_ends(session, agrees),
        Effect::HELO_ACCEPTED => {
            session.transaction = 0;
            session.hello = Hello::HELO;
            session.chunking = 0;
        }
        Effect::EHLO_ACCEPTED => {
            session.transaction = 0;
            session.hello = Hello::EHLO;
            session.chunking = session.offers;
        }
        // No EHLO or HELO takes it back: a server that has accepted LHLO refuses them (RFC 2033 section 4.1). If it
        // does not, the number of replies per mail is unknown.
        Effect::LHLO_ACCEPTED => session.lmtp = 1,
        Effect::QUIT_ANSWERED => session.end = End::BY_QUIT,
        _ => {}
    }
}

/// The reply to DATA. If the server agrees, mail data begins.
#[inline(always)]
fn data_answered(work: &mut Work, agrees: bool) {
    if work.state.session.hasty != 0 {
        monitor::data_answered(work, agrees);
        return;
    }
    work.state.session.hold = Command::NONE;
    if agrees {
        work.state.session.mode = Mode::MAIL_DATA;
        work.state.memory.data_state = State::LINE;
        let at = work.state.side[Client::INDEX].next;
        work.begin_region(Mode::MAIL_DATA, at);
    }
}

/// The reply to STARTTLS. If the server agrees, TLS begins.
#[inline(always)]
fn starttls_answered(work: &mut Work, agrees: bool) {
    let session = &mut work.state.session;
    session.hold = Command::NONE;
    if agrees {
        session.mode = Mode::TLS;
        if work.monitors != 0 {
            monitor::tls_begins(session);
        }
        let at = work.state.side[Client::INDEX].next;
        work.begin_region(Mode::TLS, at);
    }
}

/// The reply to the end of a mail: 1 if the server took it.
#[inline(always)]
const fn mail_ends(session: &mut Session, taken: u8) {
    session.messages = session.messages.wrapping_add(taken as u32);
    session.transaction = 0;
}

/// The reply to a BDAT, of which `accepted` says whether the server took the chunk.
#[inline(always)]
fn chunk_answered(work: &mut Work, accepted: bool) {
    let session = &mut work.state.session;
    // Mode `monitor` believes the offer of CHUNKING: such a server reads the chunk to its end.
    if session.runs == 0 && session.mode == Mode::CHUNK && work.monitors & session.chunking == 0 {
        // The reply came before the chunk was complete. Only the server knows whether it reads the rest as chunk or as
        // commands.
        session.mode = Mode::COMMAND;
        session.hold = Command::BDAT.when(1 - work.monitors);
        session.doubt |= Doubt::SEGMENT.when(work.monitors);
    }
    let over = !accepted || session.runs == 0;
    // Bytes of a chunk are missing, and the server does not seem to wait for them. Bytes sent in their span may be
    // commands to it, so they are refused until it has acknowledged that part, as an honest reply does at once.
    let memory = &mut work.state.memory;
    memory.missing |= memory.missing * 2 * over as u16;
}

/// A reply that answers no waiting command. If it says what the server takes the client's next bytes for, they are held
/// back.
#[inline(always)]
fn unasked(work: &mut Work, effect: Effect, code: u16) {
    // After a gap, it may answer something in the gap.
    let missed = monitor::was_missed(work);
    let session = &mut work.state.session;
    work.tally.unmatched =
        1 ^ (work.stream.uncertain | work.uncertain | missed | session.doubt.has(Doubt::REPLIES) as u8);
    if work.monitors != 0 {
        monitor::unmatched(work, code);
        return;
    }
    session.astray = 1;
    match effect {
        Effect::UNASKED_MAIL_DATA => session.hold = Command::DATA,
        Effect::UNASKED_CHALLENGE => session.hold = Command::AUTH,
        _ => {}
    }
}
