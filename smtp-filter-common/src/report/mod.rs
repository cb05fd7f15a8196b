//! The output of a judgement: counters and events.

pub mod begin;
pub mod block;

use crate::{
    action::Action,
    bounds::{ARG_ROOM, EXCERPT},
    branchless::same,
    entry::{Line, Shared, TLS, first_of, second_of},
    event::{
        ARG_MORE, ARG_WITHHELD, BANNER, CLIENT, CLOSE, COMMAND, CONNECT, EXCERPT_MORE, EXTENSION, Ended, Event, GUARD,
        SERVER, Summary,
    },
    host::Host,
    policy::{Policy, VerbVerdict},
    reason::{FIRST_NAME, Reason, counter},
    session::{rewrite, verb::Command},
    word::Word,
    work::Work,
};

/// The commands of the current segment, as they are counted and reported.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// Commands judged.
    pub commands: u32,
    /// Bytes in the line of the last one.
    pub last_line: u32,
    /// Bytes in the lines of all.
    pub lines: u32,
    /// How the first one is counted.
    pub counter: u32,
    /// 1: they are not all counted in the same way, or one needs an event.
    pub several: u8,
    /// 1: this pass reports.
    pub reporting: u8,
    /// 1: the current event has not been reported.
    pub unreported: u8,
    /// 1: bytes are to be rewritten; the pass that reports does it.
    pub rewrites: u8,
    /// 1: a command requested the skb mark.
    pub mark: u8,
    /// 1: a reply answers no command.
    pub unmatched: u8,
}

impl Tally {
    /// No command.
    pub const NONE: Self = Self {
        commands: 0,
        last_line: 0,
        lines: 0,
        counter: 0,
        several: 0,
        reporting: 0,
        unreported: 0,
        rewrites: 0,
        mark: 0,
        unmatched: 0,
    };
}

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
    event.kind = COMMAND;
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
    let tells = 1 ^ (verdict.action as u32).wrapping_sub(Action::Log as u32) >> 31;
    work.tally.several |= (1 ^ same::<H>(work.tally.counter, like) | tells) as u8;
}

/// Counts one more command or reply line.
#[inline(always)]
fn one_more(work: &mut Work, length: u32) {
    work.tally.commands += 1;
    work.tally.last_line = length;
    work.tally.lines += length;
}

/// Puts the current keyword and the policy's verdict on it into the current event.
#[inline(always)]
pub fn extension(policy: &Policy, work: &mut Work, verdict: VerbVerdict) {
    let enforced = policy.enforces() || verdict.action <= Action::Log as u8;
    no_command(work, EXTENSION, verdict.reason, verdict.action, enforced);
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
    no_command(work, BANNER, Reason::Banner.number(), Action::Mask as u8, policy.enforces());
    work.event.excerpt_length = 0;
    one_more(work, work.state.line[SERVER as usize].length);
    work.tally.several = 1;
}

/// 1 if the argument ends with the CR of the line's end. Without a branch, as everything that much code follows.
#[inline(always)]
const fn ends_with_cr(arg: &[u8; ARG_ROOM], length: u8) -> u8 {
    let last = length.wrapping_sub(1);
    let differs = arg[last as usize & (ARG_ROOM - 1)] ^ b'\r';
    (1 ^ (differs | differs.wrapping_neg()) >> 7) & (1 ^ last >> 7)
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

#[inline(always)]
fn report_of<H: Host>(host: &mut H, work: &mut Work, commands: u32, bytes: u32) {
    if work.event.kind == BANNER && work.state.session.masks_banner == 0 {
        return;
    }
    let action = work.event.action;
    host.count(counter(work.event.reason, action, work.event.enforced != 0), commands, bytes);
    if Action::number_reports(action) {
        host.emit(&work.event);
    }
}

/// Makes the current event one of something other than a command.
#[inline(always)]
pub fn guard(work: &mut Work, reason: u16, action: u8, enforced: bool) {
    no_command(work, GUARD, reason, action, enforced);
}

/// Reports that the connection `id` is established.
#[inline(always)]
pub fn connect<H: Host>(host: &mut H, work: &mut Work, id: u64) {
    no_command(work, CONNECT, Reason::Handshake.number(), Action::Pass as u8, true);
    work.event.connection = id;
    host.emit(&work.event);
}

/// Makes the current event the end of the connection `id`, whose state is in the working area.
#[inline(always)]
pub fn close<H: Host>(shared: &Shared, work: &mut Work, id: u64, ended: u8) {
    no_command(work, CLOSE, Reason::Closing.number(), Action::Pass as u8, true);
    let tls = H::load(&shared.flags) & TLS;
    let from = H::load(&shared.tls_from);
    let acknowledged = |side: u8| first_of(H::load(&shared.peer[side as usize]));
    let Work { event, state, .. } = work;
    let session = &state.session;
    event.excerpt_length = 0;
    event.connection = id;
    event.set_summary(&Summary {
        duration: event.time.saturating_sub(session.since),
        bytes: [
            state.side[CLIENT as usize].all_bytes(tls, first_of(from), acknowledged(CLIENT)),
            state.side[SERVER as usize].all_bytes(tls, second_of(from), acknowledged(SERVER)),
        ],
        commands: session.commands,
        recipients: session.recipients,
        messages: session.messages,
        tls: (tls / TLS) as u8,
        ended: ended + (ended == Ended::Fin as u8) as u8 * session.end,
    });
}

#[inline(always)]
fn no_command(work: &mut Work, kind: u8, reason: u16, action: u8, enforced: bool) {
    let event = &mut work.event;
    event.kind = kind;
    event.verb = Word { high: 0, low: 0 };
    event.verb_length = 0;
    event.arg_length = 0;
    event.arg_flags = 0;
    event.became_length = 0;
    event.reason = reason;
    event.action = action;
    event.enforced = enforced as u8;
}

/// Copies the segment's payload from offset `at` on into the current event, as far as it fits.
#[inline(always)]
pub fn offending<H: Host>(host: &mut H, work: &mut Work, at: u32) {
    let left = work.segment.length.wrapping_sub(at);
    work.event.excerpt_length = 0;
    if left == 0 || left > work.segment.length {
        return;
    }
    let (length, more) = if left > EXCERPT as u32 { (EXCERPT as u32, EXCERPT_MORE) } else { (left, 0) };
    work.reading.piece_length = 0;
    let mut i = 1;
    while i <= EXCERPT / 8 {
        work.piece[i] = 0;
        i += 1;
    }
    if !host.fetch(at, length, &mut work.piece) {
        return;
    }
    let mut i = 0;
    while i < EXCERPT / 8 {
        let bytes = work.piece[1 + i].to_le_bytes();
        let mut k = 0;
        while k < 8 {
            work.event.excerpt[i * 8 + k] = bytes[k];
            k += 1;
        }
        i += 1;
    }
    work.event.excerpt_length = length as u8 | more;
}

/// Removes the excerpt from the current event. No command was read from these bytes, so they may be an address or
/// credentials (I6).
#[inline(always)]
pub const fn hide(work: &mut Work) {
    work.event.excerpt = [0; EXCERPT];
    work.event.excerpt_length = 0;
}

/// Removes from the current event's excerpt everything of the blocked line that is withheld: all but its verb.
#[inline(always)]
pub fn withhold<H: Host>(work: &mut Work) {
    let Work { state, event, block, segment, .. } = work;
    let line = &state.line[CLIENT as usize];
    if block.of_command == 0 || event.arg_flags & ARG_WITHHELD == 0 {
        return;
    }
    // The line may have begun in an earlier segment.
    let here = segment.offset_of(line.start) < segment.length;
    let shown = if here { line.head + event.verb_length as u32 } else { 0 };
    let kept = (event.excerpt_length & !EXCERPT_MORE) as u32;
    let shown = if shown < kept { shown } else { kept };
    let mut i = 0;
    while i < EXCERPT {
        event.excerpt[i] &= rewrite::present::<H>(shown.wrapping_sub(i as u32)) as u8;
        i += 1;
    }
    event.excerpt_length = shown as u8 | EXCERPT_MORE;
}

impl Event {
    /// Bytes in the event's excerpt.
    pub const fn excerpt_bytes(&self) -> usize {
        let length = (self.excerpt_length & !EXCERPT_MORE) as usize;
        if length > EXCERPT { EXCERPT } else { length }
    }
}
