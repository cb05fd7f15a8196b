//! The client's bytes: commands, mail text, chunks, answers in an AUTH exchange.

use crate::{
    action::Action,
    event::CLIENT,
    host::{Host, Step},
    policy::Policy,
    reason::Reason,
    report,
    smtp::{AUTH_LINE, CHUNK, COMMAND, TEXT, bdat, line, text, verb},
    work::{NOWHERE, Work},
};

const SIDE: usize = CLIENT as usize;
/// What a session begins with.
pub const FIRST_MODE: u8 = COMMAND;

/// Reads payload `run.at..run.end` as the client's next bytes; `false` where a
/// decision against them stands in `run.cut`.
#[inline(never)]
pub fn read<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    // Each step reads at least a byte, or it is the last.
    let steps = work.run.end - work.run.at + 1;
    H::repeat(steps, &mut Steps { host, policy, work });
    work.run.cut == 0
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
        if work.run.at >= work.run.end {
            return true;
        }
        match work.state.session.mode {
            TEXT => mail_text(host, work),
            CHUNK => chunk(work),
            COMMAND | AUTH_LINE => command_bytes(host, self.policy, work),
            _ => work.run.at = work.run.end,
        }
        work.run.cut != 0
    }
}

/// The place of the next byte in sequence space.
#[inline(always)]
fn place(work: &Work) -> u32 {
    work.segment.sequence.wrapping_add(work.run.at)
}

/// Back to commands, at the next byte.
#[inline(always)]
pub fn begin_commands(work: &mut Work) {
    let at = place(work);
    work.state.session.mode = COMMAND;
    work.state.line[SIDE].begin(false, at);
    if !work.state.memory.begin_region(COMMAND, at) {
        work.hold_back(Reason::Backlog);
    }
}

#[inline(always)]
fn mail_text<H: Host>(host: &mut H, work: &mut Work) {
    work.run.text = work.state.memory.text;
    let (from, to) = (work.run.at, work.run.end);
    text::scan(host, work, from, to);
    if work.run.cut != 0 {
        return;
    }
    if work.run.found == NOWHERE {
        work.run.at = to;
        work.state.memory.text = work.run.text;
        return;
    }
    work.run.at = work.run.found;
    work.state.memory.text = text::MIDDLE;
    let at = place(work);
    if work.state.memory.has_early_behind(at) {
        // What stands there has passed as mail text already.
        work.cut(Reason::LateEndOfData.number(), Action::Reset as u8, at);
        return;
    }
    work.state.memory.end_of_data_at(at);
    begin_commands(work);
    if !work.state.session.wait(verb::END_OF_DATA) {
        work.hold_back(Reason::Backlog);
    }
}

#[inline(always)]
fn chunk(work: &mut Work) {
    let here = (work.run.end - work.run.at) as u64;
    let left = work.state.session.chunk;
    if left > here {
        work.state.session.chunk = left - here;
        work.run.at = work.run.end;
    } else {
        work.state.session.chunk = 0;
        work.run.at += left as u32;
        begin_commands(work);
    }
}

#[inline(always)]
fn command_bytes<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    let hold = work.state.session.hold;
    if hold != 0 {
        let reason = match hold {
            verb::STARTTLS => Reason::StarttlsInjection,
            verb::BDAT => Reason::BdatRefused,
            _ => Reason::Sync,
        };
        let at = place(work);
        work.cut(reason.number(), policy.guard(reason.number()), at);
        return;
    }
    let (from, length) = line::at_hand(host, work);
    if length == 0 {
        return;
    }
    work.run.read = 0;
    let Work { state, piece, run, .. } = &mut *work;
    line::read::<H>(&mut state.line[SIDE], &mut state.arg, piece, from, length, &mut run.read);
    work.run.at += work.run.read;
    if work.state.line[SIDE].done() {
        let passes = command(host, policy, work);
        let at = place(work);
        if passes {
            work.state.line[SIDE].begin(false, at);
        }
    }
}

/// A whole line has been read; `false` where a decision against it stands in `run.cut`. A function of its own, so that
/// its stack frame does not lie below the loop over the line.
#[inline(never)]
fn command<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let line = &{ work.state.line[SIDE] };
    if work.state.session.mode == AUTH_LINE {
        // RFC 4954 section 4: an answer, or `*`; never a command, and never shown.
        work.state.session.mode = COMMAND;
        work.state.session.hold = verb::AUTH;
        if !work.state.session.wait(verb::AUTH) {
            work.hold_back(Reason::Backlog);
        }
        return work.run.cut == 0;
    }
    let kind = work.unknown::<H>(verb::kind(line.name()));
    let verdict = policy.verb_hiding(line.name(), H::opaque);
    report::command(host, policy, work, line, kind, verdict);
    if policy.enforces() && Action::number_cuts(verdict.action) {
        work.cut(verdict.reason, verdict.action, line.start);
        work.run.line_cut = 1;
        return false;
    }
    work.run.mark |= (policy.enforces() && verdict.action == Action::Mark as u8) as u8;
    let session = &mut work.state.session;
    session.commands = session.commands.wrapping_add(1);
    session.recipients = session.recipients.wrapping_add((kind == verb::RCPT) as u32);
    let mut waits = kind;
    match kind {
        verb::DATA | verb::AUTH | verb::STARTTLS => session.hold = kind,
        verb::BDAT => match bdat::size::<H>(&work.state.arg, line) {
            // RFC 3030 section 2: the octets follow at once, and the server takes them whatever it answers. That holds
            // for a server that speaks BDAT; for any other the next bytes are commands.
            Some((size, last)) if session.chunking != 0 => {
                waits = if last { verb::BDAT_LAST } else { verb::BDAT };
                session.chunk = size;
                if size > 0 {
                    session.mode = CHUNK;
                    let at = work.segment.sequence.wrapping_add(work.run.at);
                    if !work.state.memory.begin_region(CHUNK, at) {
                        work.hold_back(Reason::Backlog);
                        return false;
                    }
                }
            }
            _ => session.hold = verb::BDAT,
        },
        _ => {}
    }
    if !work.state.session.wait(waits) {
        work.hold_back(Reason::Backlog);
    }
    work.run.cut == 0
}
