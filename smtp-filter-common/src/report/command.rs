//! Commands and reply lines: how they are counted, and their events.

use super::guard::no_command;
use crate::{
    action::Action,
    bounds::ARG_ROOM,
    branchless::same,
    entry::Line,
    event::{ARG_MORE, ARG_WITHHELD, Kind, SERVER},
    host::Host,
    policy::{Policy, VerbVerdict},
    reason::{FIRST_NAME, Reason, counter},
    session::verb::Command,
    word::Word,
    work::Work,
};

/// Puts the current command and the policy's verdict on it into the current event.
#[inline(always)]
pub fn command<H: Host>(policy: &Policy, work: &mut Work, line: &Line, kind: Command, verdict: VerbVerdict) {
    let enforced = policy.enforces() || verdict.action <= Action::Log as u8;
    // A client that was refused AUTH may still send its credentials, which are then read as a command.
    // verifier: without branches, as everything that much code follows.
    let is = |other: Command| same::<H>(kind.0 as u32, other.0 as u32) as u8;
    let secret = is(Command::AUTH) | is(Command::LOGIN);
    let unknown = is(Command::PLAIN) & same::<H>(verdict.reason as u32, FIRST_NAME as u32) as u8;
    let hidden = work.state.session.secret & unknown;
    work.state.session.secret = secret | hidden;
    let envelope = (is(Command::MAIL) | is(Command::RCPT)) & (1 ^ policy.capture_envelope);
    let withheld = (secret | hidden | envelope) != 0;
    let shown = 1 ^ hidden;
    let event = &mut work.event;
    event.kind = Kind::COMMAND;
    let Word { high, low } = line.name();
    event.verb = Word { high: high * shown as u64, low: low * shown as u64 };
    event.verb_length = line.word_length * shown;
    event.reason = verdict.reason;
    event.action = verdict.action;
    event.enforced = enforced as u8;
    event.excerpt_length = 0;
    event.became_length = 0;
    event.arg_length = 0;
    event.arg_flags = 0;
    if withheld {
        event.arg_flags = ARG_WITHHELD;
    } else {
        event.arg_length = line.arg_length - ends_with_cr(&work.state.arg, line.arg_length);
        event.arg_flags = if line.has_more() { ARG_MORE } else { 0 };
        event.arg = work.state.arg;
    }
    one_more(work, line.length);
    // If all commands are counted in the same way, and none needs an event, their number is enough.
    let like = (verdict.reason as u32) << 16 | (verdict.action as u32) << 8 | enforced as u32;
    let first = same::<H>(work.tally.commands, 1).wrapping_neg();
    work.tally.counter = like & first | work.tally.counter & !first;
    let reports = 1 ^ (verdict.action as u32).wrapping_sub(Action::Log as u32) >> 31;
    work.tally.several |= (1 ^ same::<H>(work.tally.counter, like) | reports) as u8;
}

/// Puts the current keyword and the policy's verdict on it into the current event.
#[inline(always)]
pub fn extension(policy: &Policy, work: &mut Work, verdict: VerbVerdict) {
    let enforced = policy.enforces() || verdict.action <= Action::Log as u8;
    no_command(work, Kind::EXTENSION, verdict.reason, verdict.action, enforced);
    let line = &work.state.line[SERVER as usize];
    work.event.verb = line.name();
    work.event.verb_length = line.word_length;
    work.event.excerpt_length = 0;
    let length = line.length;
    one_more(work, length);
    work.tally.several = 1;
}

/// Puts into the current event that the banner is masked.
#[inline(always)]
pub fn banner(policy: &Policy, work: &mut Work) {
    no_command(work, Kind::BANNER, Reason::Banner.number(), Action::Mask as u8, policy.enforces());
    work.event.excerpt_length = 0;
    one_more(work, work.state.line[SERVER as usize].length);
    work.tally.several = 1;
}

/// Counts the command in the event, and emits the event if the action requires it. A banner that masking did not change
/// is not reported.
#[inline(always)]
pub fn current_event<H: Host>(host: &mut H, work: &mut Work) {
    report_of(host, work, 1, work.tally.last_line);
}

/// The same for all commands of the segment, which are counted in the same way.
#[inline(always)]
pub fn report_all<H: Host>(host: &mut H, work: &mut Work) {
    report_of(host, work, work.tally.commands, work.tally.lines);
}

/// Counts one more command or reply line.
#[inline(always)]
fn one_more(work: &mut Work, length: u32) {
    work.tally.commands += 1;
    work.tally.last_line = length;
    work.tally.lines += length;
}

/// 1 if the argument ends with the CR of the line's end. Without a branch, as everything that much code follows.
#[inline(always)]
const fn ends_with_cr(arg: &[u8; ARG_ROOM], length: u8) -> u8 {
    let last = length.wrapping_sub(1);
    let differs = arg[last as usize & (ARG_ROOM - 1)] ^ b'\r';
    (1 ^ (differs | differs.wrapping_neg()) >> 7) & (1 ^ last >> 7)
}

#[inline(always)]
fn report_of<H: Host>(host: &mut H, work: &mut Work, commands: u32, bytes: u32) {
    if work.event.kind == Kind::BANNER && work.state.session.masks_banner == 0 {
        return;
    }
    let action = work.event.action;
    host.count(counter(work.event.reason, action, work.event.enforced != 0), commands, bytes);
    if Action::number_reports(action) {
        host.emit(&work.event);
    }
}
