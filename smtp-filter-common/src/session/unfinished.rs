//! A segment that ends within a command.

use crate::{
    action::Action,
    direction::{Client, Direction as _},
    host::Host,
    policy::Policy,
    reason::FIRST_NAME,
    rewrite::{Change, Span, disguise::fill, ends_with_cr},
    session::{
        bdat,
        line::{CROSSED, DOWNGRADED, IN_WORD, MASKED, NOOPED},
        verb::{self, Command},
    },
    work::Work,
};

const SIDE: usize = Client::INDEX;

/// Whether the current BDAT, as far as it was read, announces a chunk.
#[inline(always)]
fn announces_chunk<H: Host>(work: &Work) -> bool {
    bdat::read::<H>(work).size().is_some_and(|(size, _)| size > 0)
}

/// The segment ends within a command. Whatever must not get through has to be overwritten now, because this segment is
/// forwarded before the rest of the line arrives. Returns whether there is anything to overwrite.
// verifier: not inlined, because the stack is deep where it is called.
#[inline(never)]
pub(super) fn hide<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let Some((change, becomes)) = change(host, policy, work) else { return false };
    work.state.line[SIDE].facts |= becomes;
    work.change = change;
    true
}

/// What has to be overwritten, and what the line becomes by that: [`DOWNGRADED`] or one of the others.
#[inline(always)]
fn change<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> Option<(Change, u8)> {
    let end = work.reading.at;
    let span = Span::of(work, SIDE, work.state.line[SIDE].head);
    // The last byte may be the CR of the line's end.
    let cr = ends_with_cr(host, work, span.from, span.to);
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
        return Some((Change::fill(span.from, span.to, fill), CROSSED * crossed as u8));
    }
    let asked = Action::number_rewrites(verdict.action);
    if !policy.enforces() || !asked || line.word_length == 0 || line.facts & DOWNGRADED != 0 {
        return None;
    }
    let in_word = line.state == IN_WORD;
    let other = verdict.reason == FIRST_NAME;
    if in_word && other && work.reading.begins != 0 {
        return None;
    }
    if verdict.action == Action::Downgrade as u8 && span.has_word(span.from) {
        return Some((Change::downgrade(span.word), DOWNGRADED));
    }
    if in_word {
        // Overwrite its last byte, so that the word cannot become whole.
        return Some((Change::fill(end - 1, end, b'X'), CROSSED));
    }
    if !span.breaks_word(0) {
        return None;
    }
    let change = fill(policy, 0, kind, &span);
    Some((change, if change.fill == b' ' { NOOPED } else { CROSSED }))
}
