//! The client's bytes: commands, mail data, chunks, answers in an AUTH exchange.

use crate::{
    action::Action,
    direction::{Client, Direction},
    host::{Host, Step},
    policy::Policy,
    reason::Reason,
    report, rewrite,
    rewrite::Change,
    seq::Seq,
    session::{
        Mode, begins, command, data::State, line, monitor, proxy, reading::NOWHERE, scan, unfinished, verb::Command,
    },
    work::Work,
};

const SIDE: usize = Client::INDEX;

/// Reads payload `reading.at..reading.end` as the client's next bytes; `false` if there is a verdict against them in
/// `block.action`.
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
                if !unfinished::hide(host, self.policy, work) {
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
        over | change_and_report::<H, Client>(host, work)
    }
}

/// Makes the change that a step has requested, and reports the event that it has prepared. Returns whether there is a
/// verdict against the segment.
#[inline(always)]
pub fn change_and_report<H: Host, D: Direction>(host: &mut H, work: &mut Work) -> bool {
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
    scan::scan(host, work, from, to);
    if work.is_blocked() {
        return;
    }
    if work.scan.end_of_data == NOWHERE {
        work.reading.at = to;
        work.state.memory.data_state = work.scan.state;
        return;
    }
    work.reading.at = work.scan.end_of_data;
    work.state.memory.data_state = State::MIDDLE;
    let at = next_sequence(work);
    if work.state.memory.has_range_after(at) {
        // What comes after the end of data has already passed as mail data.
        work.block_by(Reason::LateEndOfData.number(), Action::Reset as u8, at);
        if !work.pass_over_if_monitoring() {
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
        if !work.pass_over_if_monitoring() || !monitor::continue_before_reply(work, hold) {
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
        if work.pass_over_if_monitoring() {
            monitor::skip(work);
        }
        return;
    }
    if work.state.line[SIDE].done() {
        let passes = command::command(host, policy, work);
        let at = next_sequence(work);
        if passes {
            work.state.line[SIDE].begin(false, at);
        }
    }
}
