//! What a command becomes whose policy says `mask` or `downgrade`.

use crate::{
    action::Action,
    bounds::MASKED_LINE,
    direction::{Client, Direction as _},
    event::ARG_WITHHELD,
    host::Host,
    policy::{FILL_NOOP, Policy},
    rewrite::{Change, Span, ends_with_cr},
    session::{
        Mode,
        line::{DOWNGRADED, MASKED, NOOPED},
        verb::Command,
    },
    work::Work,
};

const SIDE: usize = Client::INDEX;

/// Rewrites a command, and returns what the server takes it for. If it can no longer be rewritten, there is a verdict
/// against it.
#[inline(never)]
pub fn command<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, kind: Command) -> Command {
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
    let cr = ends_with_cr(host, work, span.from, span.to);
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
        && let Some((size, _)) = work.reading.bdat.size()
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
pub fn fill(policy: &Policy, facts: u8, kind: Command, span: &Span) -> Change {
    let noop = (policy.fill == FILL_NOOP) as u8
        & span.has_word(span.from) as u8
        & (span.to.wrapping_sub(span.from) as i32 >= 4) as u8
        & !kind.is_built_upon() as u8;
    let begun = facts & MASKED != 0;
    let noop = noop & !begun as u8;
    let spaces = noop != 0 || facts & NOOPED != 0;
    Change { noop, ..Change::fill(span.from, span.to, if spaces { b' ' } else { b'X' }) }
}
