//! The client's bytes: commands, mail data, chunks, answers in an AUTH exchange.

use crate::{
    action::Action,
    bounds::{BYTES_OF_LINE, LINES, MASKED_LINE},
    direction::{Client, Direction},
    event::ARG_WITHHELD,
    host::{Host, Step},
    policy::{FILL_NOOP, Policy, VerbVerdict},
    reason::{FIRST_NAME, Reason},
    report,
    seq::Seq,
    session::data::NOWHERE,
    session::{
        Mode, bdat, begins, data,
        line::{self, CROSSED, DOWNGRADED, IN_WORD, MASKED, NOOPED},
        monitor, proxy,
        rewrite::{self, Change, Span},
        verb::{self, Command},
    },
    stream::chunks,
    work::Work,
};

const SIDE: usize = Client::INDEX;
/// What a session begins with.
pub const FIRST_MODE: Mode = Mode::COMMAND;

/// Reads payload `reading.at..reading.end` as the client's next bytes; `false` if there is a verdict against them in `block.action`.
#[inline(always)]
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
        match work.state.session.mode {
            Mode::COMMAND if over => {
                let line = &work.state.line[SIDE];
                if work.state.session.hold != Command::NONE || line.length == 0 {
                    return true;
                }
                // Looked up here and not in `unfinished`, because the stack is deep there.
                let (word, length) = (line.name(), line.word_length as u32);
                work.reading.begins = begins::allowed::<H, _>(&self.policy.verbs, word, length) as u8;
                if !unfinished(host, self.policy, work) {
                    return true;
                }
            }
            _ if over => return true,
            Mode::MAIL_DATA => mail_data(host, work),
            Mode::CHUNK => chunk(work),
            Mode::MASKED_CHUNK => masked_chunk(work),
            Mode::COMMAND | Mode::AUTH_EXCHANGE => command_bytes(host, self.policy, work),
            _ => work.reading.at = work.reading.end,
        }
        over | carry_out::<H, Client>(host, work)
    }
}

/// Makes the change that a step has requested, and reports the event that it has prepared. Returns whether there is a
/// verdict against the segment.
#[inline(always)]
pub fn carry_out<H: Host, D: Direction>(host: &mut H, work: &mut Work) -> bool {
    if !work.is_blocked() && work.change.pending != 0 && !rewrite::make::<H, D>(host, work) {
        return true;
    }
    if work.tally.unreported & work.tally.reporting != 0 && !work.is_blocked() {
        report::current_event(host, work);
    }
    work.tally.unreported = 0;
    work.is_blocked()
}

/// The sequence number of the next byte.
#[inline(always)]
fn next_sequence(work: &Work) -> Seq {
    work.segment.sequence_at(work.reading.at)
}

/// Returns to commands, from the next byte on.
#[inline(always)]
pub fn begin_commands(work: &mut Work) {
    let at = next_sequence(work);
    work.state.session.mode = Mode::COMMAND;
    work.state.line[SIDE].begin(false, at);
    work.begin_region(Mode::COMMAND, at);
}

#[inline(always)]
fn mail_data<H: Host>(host: &mut H, work: &mut Work) {
    work.scan.state = work.state.memory.data_state;
    let (from, to) = (work.reading.at, work.reading.end);
    data::scan(host, work, from, to);
    if work.is_blocked() {
        return;
    }
    if work.scan.end_of_data == NOWHERE {
        work.reading.at = to;
        work.state.memory.data_state = work.scan.state;
        return;
    }
    work.reading.at = work.scan.end_of_data;
    work.state.memory.data_state = data::MIDDLE;
    let at = next_sequence(work);
    if work.state.memory.has_range_after(at) {
        // What comes after the end of data has already passed as mail data.
        work.block_by(Reason::LateEndOfData.number(), Action::Reset as u8, at);
        if !work.passes_over() {
            return;
        }
        work.state.memory.forget_ranges();
    }
    work.state.memory.end_of_data_at(at);
    begin_commands(work);
    work.wait(Command::END_OF_DATA);
}

#[inline(always)]
fn chunk(work: &mut Work) {
    let here = (work.reading.end - work.reading.at) as u64;
    let left = work.state.session.chunk;
    if left > here {
        work.state.session.chunk = left - here;
        work.reading.at = work.reading.end;
    } else {
        work.state.session.chunk = 0;
        work.reading.at += left as u32;
        begin_commands(work);
    }
}

/// The chunk of a masked BDAT becomes X, and its last two bytes become the line's end.
#[inline(always)]
fn masked_chunk(work: &mut Work) {
    let here = work.reading.end - work.reading.at;
    let left = work.state.session.chunk as u32;
    let here = if left > here { here } else { left };
    let (from, to) = (work.reading.at, work.reading.at + here);
    let crlf = from.wrapping_add(left).wrapping_sub(2);
    work.reading.at = to;
    work.state.session.chunk = (left - here) as u64;
    if left == here {
        let at = next_sequence(work);
        work.state.session.mode = Mode::COMMAND;
        work.state.line[SIDE].begin(false, at);
    }
    work.change = Change { crlf, ..Change::fill(from, to, b'X') };
}

#[inline(always)]
fn command_bytes<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    let hold = work.state.session.hold;
    if hold != Command::NONE {
        let reason = match hold {
            Command::STARTTLS => Reason::StarttlsInjection,
            Command::BDAT => Reason::BdatRefused,
            _ => Reason::Sync,
        };
        // A BDAT without a size is reported once.
        let at = Seq(next_sequence(work).0 * (hold != Command::BDAT || work.monitors == 0) as u32);
        work.block_by(reason.number(), policy.guard(reason.number()), at);
        if work.monitors != 0 && monitor::reply_was_lost(work) {
            // The client may have seen the reply, so the bytes did not come before it.
            work.block.action = 0;
        }
        if !work.passes_over() || !monitor::reads_on(work, hold) {
            return;
        }
    }
    let (from, length) = line::at_hand(host, work);
    if length == 0 {
        return;
    }
    work.reading.loop_read = 0;
    let Work { state, piece, reading, .. } = &mut *work;
    line::read::<H, 0>(&mut state.line[SIDE], &mut state.arg, piece, (from, length), &mut reading.loop_read);
    work.reading.at += work.reading.loop_read;
    if proxy::is_signed::<H>(work, from) {
        let reason = Reason::ProxyProtocol.number();
        let action = policy.guard(reason);
        // A guard that passes the header passes version 1 only; this is version 2.
        let action = if Action::number_blocks(action) { action } else { Action::Drop as u8 };
        work.block_by(reason, action, work.segment.sequence);
        if work.passes_over() {
            monitor::skip(work);
        }
        return;
    }
    if work.state.line[SIDE].done() {
        let passes = command(host, policy, work);
        let at = next_sequence(work);
        if passes {
            work.state.line[SIDE].begin(false, at);
        }
    }
}

/// A whole line has been read; `false` if there is a verdict against it in `block.action`. Not inlined, so that its stack
/// frame does not lie below the loop over the line.
#[inline(never)]
fn command<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    if work.tally.commands >= LINES && work.tally.commands >= work.segment.length / BYTES_OF_LINE {
        work.hold_back(Reason::ManyLines);
        if !work.passes_over() {
            return false;
        }
    }
    let line = &{ work.state.line[SIDE] };
    if work.state.session.mode == Mode::AUTH_EXCHANGE {
        // RFC 4954 section 4: an answer, or `*`. Never a command, and never shown.
        work.state.session.mode = Mode::COMMAND;
        work.state.session.hold = Command::AUTH;
        return work.wait(Command::AUTH);
    }
    // verifier: in this order, because once a word has a kind the verifier knows each of its bytes.
    let mut verdict = policy.verb_hiding(line.name(), H::opaque_word);
    let kind = Command(work.unknown::<H>(verb::kind(line.name()).0));
    let header = (kind == Command::PROXY && work.state.session.commands == 0) as u8;
    if header != 0 {
        let reason = Reason::ProxyProtocol.number();
        verdict = VerbVerdict { reason, action: policy.guard(reason) };
    }
    if work.monitors != 0 && !monitor::is_command(work, kind, verdict.reason) {
        return true;
    }
    report::command::<H>(policy, work, line, kind, verdict);
    if policy.enforces() && Action::number_blocks(verdict.action) {
        work.block_by(verdict.reason, verdict.action, line.start);
        work.block.of_command = 1;
        return false;
    }
    if kind == Command::BDAT && !bdat::read::<H>(work) {
        return false;
    }
    // Exactly downgrade or mask.
    let asked = (policy.enforces() as u8) & (verdict.action.wrapping_sub(Action::Downgrade as u8) < 2) as u8;
    let begun = (line.facts & (MASKED | DOWNGRADED) != 0) as u8;
    let asked = work.unknown::<H>(asked | begun);
    let mut kind = kind;
    if asked != 0 {
        kind = rewritten(host, policy, work, kind);
        if work.is_blocked() {
            return false;
        }
    }
    work.tally.unreported = 1;
    work.tally.mark |= (policy.enforces() && verdict.action == Action::Mark as u8) as u8;
    let session = &mut work.state.session;
    session.commands = session.commands.wrapping_add(1);
    session.recipients = session.recipients.wrapping_add((kind == Command::RCPT) as u32);
    session.transaction |= (kind == Command::MAIL) as u8;
    let mut waits = kind;
    match kind {
        Command::DATA | Command::AUTH | Command::STARTTLS => session.hold = kind,
        Command::BDAT => match bdat::size(work) {
            // RFC 3030 section 2: the octets follow at once, and the server reads them whatever it replies. That holds
            // for a server that speaks BDAT; for any other the next bytes are commands.
            Some((size, last)) if work.state.session.chunking | work.monitors != 0 => {
                if work.state.session.chunking == 0 && size > 0 {
                    let reason = Reason::BdatRefused.number();
                    work.note(reason, policy.guard(reason), line.start);
                    work.uncertain |= 1;
                }
                let session = &mut work.state.session;
                waits = if last { Command::BDAT_LAST } else { Command::BDAT };
                session.chunk = size;
                if size > 0 {
                    session.mode = Mode::CHUNK;
                    if !chunks::begin(host, work, line.start, size as u32, last) && !work.passes_over() {
                        return false;
                    }
                }
            }
            _ => work.state.session.hold = Command::BDAT,
        },
        _ => {}
    }
    header != 0 || work.wait(waits)
}

/// Rewrites a command, and returns what the server takes it for. If it can no longer be rewritten, there is a verdict
/// against it.
#[inline(never)]
fn rewritten<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, kind: Command) -> Command {
    let at = work.reading.at;
    let span = Span::of(work, SIDE, work.state.line[SIDE].head);
    let line = &work.state.line[SIDE];
    let (facts, start, length) = (line.facts, line.start, line.length);
    if line.word_length == 0 {
        // An empty line is not a command.
        work.event.action = Action::Pass as u8;
        return Command::PLAIN;
    }
    work.event.enforced = 1;
    if facts & MASKED == 0 && kind == Command::EHLO {
        // The downgraded word has not continued in this segment.
        let downgraded = facts & DOWNGRADED != 0;
        if downgraded || work.event.action == Action::Downgrade as u8 && span.has_word(span.from) {
            work.event.action = Action::Downgrade as u8;
            if !downgraded {
                work.change = Change::downgrade(span.word).reported();
            }
            return Command::DOWNGRADED;
        }
    }
    work.event.action = Action::Mask as u8;
    let cr = rewrite::ends_with_cr(host, work, span.from, span.to);
    if facts & MASKED == 0 && !span.breaks_word(cr) {
        // The word and the byte after it have already been forwarded: the server would recognise the command.
        work.event.action = Action::Reset as u8;
        work.block_by(work.event.reason, Action::Reset as u8, start);
        work.block.of_command = 1;
        return Command::PLAIN;
    }
    // The CR before the LF is kept.
    let span = Span { to: span.to - cr, ..span };
    let mut change = fill(policy, facts, kind, &span);
    if kind == Command::BDAT
        && let Some((size, _)) = bdat::size(work)
        && size > 0
    {
        if length as u64 + size > MASKED_LINE {
            work.event.action = Action::Reset as u8;
            work.block_by(work.event.reason, Action::Reset as u8, start);
            work.block.of_command = 1;
            return Command::PLAIN;
        }
        // The line's own end becomes X as well.
        change.to = at;
        change.crlf = at.wrapping_add(size as u32).wrapping_sub(2);
        work.state.session.mode = Mode::MASKED_CHUNK;
        work.state.session.chunk = size;
    }
    // Of a withheld argument the event shows nothing: it reports the verb alone.
    let withheld = work.event.arg_flags & ARG_WITHHELD != 0;
    let verb_end = span.word.wrapping_add(work.event.verb_length as u32);
    work.change = if withheld { change.reported_up_to(verb_end) } else { change.reported() };
    Command::PLAIN
}

/// What a masked command becomes. NOOP does not serve where the client would take its 250 for the success of AUTH,
/// STARTTLS, BDAT, DATA and the like.
#[inline(always)]
fn fill(policy: &Policy, facts: u8, kind: Command, span: &Span) -> Change {
    let noop = (policy.fill == FILL_NOOP) as u8
        & span.has_word(span.from) as u8
        & (span.to.wrapping_sub(span.from) as i32 >= 4) as u8
        & !kind.is_built_upon() as u8;
    let begun = facts & MASKED != 0;
    let noop = noop & !begun as u8;
    let spaces = noop != 0 || facts & NOOPED != 0;
    Change { noop, ..Change::fill(span.from, span.to, if spaces { b' ' } else { b'X' }) }
}

/// Whether the current BDAT, as far as it was read, announces a chunk.
#[inline(always)]
fn announces_chunk<H: Host>(work: &mut Work) -> bool {
    bdat::read::<H>(work) && bdat::size(work).is_some_and(|(size, _)| size > 0)
}

/// The segment ends within a command. Whatever must not get through has to be overwritten now, because this segment is
/// forwarded before the rest of the line arrives. Returns whether there is anything to overwrite.
#[inline(never)]
fn unfinished<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let end = work.reading.at;
    let span = Span::of(work, SIDE, work.state.line[SIDE].head);
    // The last byte may be the CR of the line's end.
    let cr = rewrite::ends_with_cr(host, work, span.from, span.to);
    // verifier: in this order, as in `command`.
    let verdict = policy.verb_hiding(work.state.line[SIDE].name(), H::opaque_word);
    let kind = Command(work.unknown::<H>(verb::kind(work.state.line[SIDE].name()).0));
    // If a chunk follows, line and chunk become one line, so this CR is overwritten too.
    let kept = cr & (1 ^ (kind == Command::BDAT && announces_chunk::<H>(work)) as u32);
    let span = Span { to: span.to - kept, ..span };
    let line = &work.state.line[SIDE];
    // The word continues after HELO, so it is another one.
    let crossed = line.facts & DOWNGRADED != 0 && kind != Command::EHLO;
    if line.facts & MASKED != 0 || crossed {
        let fill = if line.facts & NOOPED != 0 { b' ' } else { b'X' };
        return ask(work, Change::fill(span.from, span.to, fill), CROSSED * crossed as u8);
    }
    let asked = verdict.action.wrapping_sub(Action::Downgrade as u8) < 2;
    if !policy.enforces() || !asked || line.word_length == 0 || line.facts & DOWNGRADED != 0 {
        return false;
    }
    let in_word = line.state == IN_WORD;
    let other = verdict.reason == FIRST_NAME;
    if in_word && other && work.reading.begins != 0 {
        return false;
    }
    if verdict.action == Action::Downgrade as u8 && span.has_word(span.from) {
        return ask(work, Change::downgrade(span.word), DOWNGRADED);
    }
    if in_word {
        // Overwrite its last byte, so that the word cannot become whole.
        return ask(work, Change::fill(end - 1, end, b'X'), CROSSED);
    }
    if !span.breaks_word(0) {
        return false;
    }
    let change = fill(policy, 0, kind, &span);
    ask(work, change, if change.fill == b' ' { NOOPED } else { CROSSED })
}

/// Requests a change of the current line, and notes what the line becomes.
#[inline(always)]
const fn ask(work: &mut Work, change: Change, facts: u8) -> bool {
    work.state.line[SIDE].facts |= facts;
    work.change = change;
    true
}
