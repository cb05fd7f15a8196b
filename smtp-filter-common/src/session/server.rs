//! The server's bytes: banner and replies, matched in order to the waiting commands. Only they move the state (I3).

use crate::{
    action::Action,
    direction::{Client, Direction as _, Server},
    entry::Line,
    event::Ended,
    host::{Host, Step},
    policy::Policy,
    reason::{FIRST_KEYWORD, Reason},
    report,
    seq::Seq,
    session::{
        Mode, banner, begins, client, data,
        line::{self, CROSSED, HEAD, IN_WORD},
        monitor,
        replies::Answer,
        rewrite::{self, Change, Span},
        verb::Command,
    },
    stream::identical,
    word::Word,
    work::Work,
};

const SIDE: usize = Server::INDEX;

/// `Session::end`: QUIT was answered. Added to [`crate::event::Ended::Fin`] it gives the [`crate::event::Ended`] of a
/// connection that both sides then close.
pub const ENDED_BY_QUIT: u8 = 1;
/// `Session::end`: the server said 421 (RFC 5321 section 3.8). Added likewise.
pub const ENDED_BY_SERVER: u8 = 2;

const _: () = {
    assert!(Ended::Fin as u8 + ENDED_BY_QUIT == Ended::Quit as u8);
    assert!(Ended::Fin as u8 + ENDED_BY_SERVER == Ended::Refused as u8);
};

/// Reads payload `reading.at..reading.end` as the server's next bytes; `false` if there is a verdict against them in `block.action`.
#[inline(never)]
pub fn read<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    // Each step but the last reads at least one byte.
    let steps = work.reading.end - work.reading.at + 1;
    H::run_steps(steps, &mut Steps { host, policy, work });
    !work.is_blocked()
}

struct Steps<'a, H> {
    host: &'a mut H,
    policy: &'a Policy,
    work: &'a mut Work,
}

impl<H: Host> Step for Steps<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let over = work.reading.at >= work.reading.end;
        if over {
            let begun = work.state.line[SIDE].length != 0 && work.state.session.mode != Mode::TLS;
            let asked = match work.state.session.greeted {
                _ if !begun => false,
                0 => banner::mask(host, self.policy, work),
                _ => unfinished(host, self.policy, work),
            };
            if !asked {
                return true;
            }
        } else if work.state.session.mode == Mode::TLS {
            // RFC 3207 section 4: after the 220 it is the client's turn.
            let at = work.segment.sequence_at(work.reading.at);
            let reason = Reason::StarttlsInjection;
            work.block_by(reason.number(), self.policy.guard(reason.number()), at);
            if work.passes_over() {
                work.reading.at = work.reading.end;
            }
            return true;
        } else {
            reply_bytes(host, self.policy, work);
        }
        over | client::carry_out::<H, Server>(host, work)
    }
}

#[inline(always)]
fn reply_bytes<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    let (from, length) = line::at_hand(host, work);
    if length == 0 {
        return;
    }
    work.reading.loop_read = 0;
    let Work { state, piece, reading, discard, .. } = &mut *work;
    line::read::<H, 1>(&mut state.line[SIDE], discard, piece, (from, length), &mut reading.loop_read);
    work.reading.at += work.reading.loop_read;
    if work.state.line[SIDE].done() {
        let shown = match work.state.session.greeted {
            0 => banner::mask(host, policy, work),
            _ => !has_keyword(work) || keyword(host, policy, work),
        };
        let line = work.state.line[SIDE];
        if shown {
            reply_line::<H>(policy, work, &line);
        }
        identical::note(work, line.start);
        let at = work.segment.sequence_at(work.reading.at);
        work.state.line[SIDE].begin(true, at);
    }
}

/// Bytes of code and separator, before the text of a reply line.
pub const BEFORE: u32 = 4;

/// Whether a reply line may hold a keyword: any line but the first of a positive reply to EHLO (RFC 5321 section
/// 4.1.1.1). `false` as long as its code and separator have not been read.
///
/// A client whose EHLO was downgraded reads the reply to HELO as one to EHLO. All lines of a reply should have the same
/// code; if they do not, some clients believe the first, some the last, and some each.
///
/// If it is uncertain which command a reply answers, it is read for keywords as long as any EHLO is waiting: the server
/// may not have replied to what came before it (a blank line).
#[inline(always)]
fn has_keyword(work: &Work) -> bool {
    let (session, line) = (&work.state.session, &work.state.line[SIDE]);
    let uncertain = work.monitors == 0 && ((session.astray | session.lmtp) != 0 || session.answered() == Command::NONE);
    let asked = uncertain || session.hellos != 0;
    let good = matches!(session.reply, 200..300) || line.head >> 24 == b'2' as u32;
    // A line that ends within its first four bytes has no keyword.
    session.greeted != 0 && session.reply != 0 && asked && good && line.word_length != 0 && line.length > BEFORE
}

/// A whole line with a keyword; `false` if there is a verdict against it in `block.action`. Not inlined, so that its stack
/// frame does not lie below the loop over the line.
#[inline(never)]
fn keyword<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let span = Span::of(work, SIDE, BEFORE);
    let line = &work.state.line[SIDE];
    let crossed = line.facts & CROSSED != 0;
    let verdict = policy.keyword_hiding(line.name(), H::opaque_word);
    report::extension(policy, work, verdict);
    if crossed || policy.enforces() && verdict.action == Action::Mask as u8 {
        work.event.action = Action::Mask as u8;
        let from = keyword_from(&span);
        let to = span.to - rewrite::ends_with_cr(host, work, from, span.to);
        // If only the line's end is left, the client already has the keyword.
        work.event.enforced = (crossed || to > from) as u8;
        work.change = Change::fill(from, to, b'X').reported();
    }
    work.tally.unreported = 1;
    !work.is_blocked()
}

/// Offset of the first available byte of keyword and parameters.
#[inline(always)]
const fn keyword_from(span: &Span) -> u32 {
    if span.has_word(span.from) { span.word } else { span.from }
}

/// The segment ends within a reply line. The part of a keyword that must not get through has to be overwritten now.
/// Returns whether there is any.
#[inline(never)]
fn unfinished<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let end = work.reading.at;
    let span = Span::of(work, SIDE, BEFORE);
    if work.state.line[SIDE].state >= HEAD || !has_keyword(work) {
        return false;
    }
    let from = keyword_from(&span);
    // The last byte may be the CR of the line's end.
    let cr = rewrite::ends_with_cr(host, work, from, span.to);
    let mut change = Change::fill(from, span.to - cr, b'X');
    let line = &work.state.line[SIDE];
    if line.facts & CROSSED == 0 {
        let verdict = policy.keyword_hiding(line.name(), H::opaque_word);
        if !policy.enforces() || verdict.action != Action::Mask as u8 {
            return false;
        }
        if line.state == IN_WORD {
            let other = verdict.reason == FIRST_KEYWORD;
            if other && begins::allowed::<H, _>(&policy.keywords, line.name(), line.word_length as u32) {
                return false;
            }
            // Overwrite its last byte, so that the word cannot become whole.
            change.from = end - 1;
            change.to = end;
        }
        if change.to <= change.from {
            // Nothing to hide is left in this segment.
            return false;
        }
        work.state.line[SIDE].facts |= CROSSED;
    }
    work.change = change;
    true
}

/// The code and the separator of a reply line; `None` if it does not begin with three digits.
#[inline(always)]
const fn code(line: &Line) -> Option<(u16, u8)> {
    // A line with a code alone has no separator, but perhaps a CR in its position. The length includes the LF.
    let (head, separator) = match line.length {
        0..4 => return None,
        4 => (line.head, b' '),
        _ => (line.head >> 8, line.head as u8),
    };
    let hundreds = (head >> 16 & 0xff).wrapping_sub(b'0' as u32);
    let tens = (head >> 8 & 0xff).wrapping_sub(b'0' as u32);
    let ones = (head & 0xff).wrapping_sub(b'0' as u32);
    if hundreds > 9 || tens > 9 || ones > 9 {
        return None;
    }
    Some(((hundreds * 100 + tens * 10 + ones) as u16, separator))
}

/// A whole reply line has been read (RFC 5321 section 4.2).
#[inline(always)]
fn reply_line<H: Host>(policy: &Policy, work: &mut Work, line: &Line) {
    const CHUNKING: Word = Word::of("CHUNKING");
    let Some((code, separator)) = code(line) else { return };
    let first = work.state.session.reply == 0;
    if first {
        work.state.session.reply = code;
    }
    // RFC 5321 section 4.1.1.1: the first line of the reply to EHLO names the server, the others keywords.
    if work.state.session.answered() == Command::EHLO && work.state.session.greeted != 0 {
        let name = line.name();
        let offered = !first && name.high == CHUNKING.high && name.low == CHUNKING.low;
        work.state.session.offers = if first { 0 } else { work.state.session.offers | offered as u8 };
    }
    if separator != b'-' {
        work.state.session.reply = 0;
        reply::<H>(policy, work, code);
    }
}

/// A whole reply has been read.
#[inline(always)]
fn reply<H: Host>(policy: &Policy, work: &mut Work, code: u16) {
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
                work.state.memory.data_state = data::LINE;
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

/// Begins a session: nothing has been said yet.
#[inline(always)]
pub fn begin(work: &mut Work, client_next: Seq, server_next: Seq) {
    work.reading.at = 0;
    work.state.line[SIDE].begin(true, server_next);
    work.state.line[Client::INDEX].begin(false, client_next);
    work.state.session.mode = client::FIRST_MODE;
    let _ = work.state.memory.begin_region(client::FIRST_MODE, client_next);
    // None yet: no mail data ends where the client's stream begins.
    work.state.memory.end_of_data = [client_next; 2];
}
