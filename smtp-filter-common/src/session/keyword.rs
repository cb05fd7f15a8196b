//! The keywords in the reply to EHLO (RFC 5321 section 4.1.1.1).

use crate::{
    action::Action,
    direction::{Direction as _, Server},
    host::Host,
    policy::Policy,
    reason::FIRST_KEYWORD,
    report,
    rewrite::{Change, Span, ends_with_cr},
    session::{
        begins,
        line::{CROSSED, HEAD, IN_WORD},
        reply_line::BEFORE,
        verb::Command,
    },
    work::Work,
};

const SIDE: usize = Server::INDEX;

/// Whether a reply line may hold a keyword: any line but the first of a positive reply to EHLO (RFC 5321 section
/// 4.1.1.1). `false` as long as its code and separator have not been read.
///
/// A client whose EHLO was downgraded reads the reply to HELO as one to EHLO. All lines of a reply should have the same
/// code; if they do not, some clients believe the first, some the last, and some each.
///
/// If it is uncertain which command a reply answers, it is read for keywords as long as any EHLO is waiting: the server
/// may not have replied to what came before it (a blank line).
#[inline(always)]
pub(super) fn may_begin(work: &Work) -> bool {
    let (session, line) = (&work.state.session, &work.state.line[SIDE]);
    let uncertain = work.monitors == 0 && ((session.astray | session.lmtp) != 0 || session.answered() == Command::NONE);
    let asked = uncertain || session.hellos != 0;
    let good = matches!(session.reply, 200..300) || line.head >> 24 == b'2' as u32;
    // A line that ends within its first four bytes has no keyword.
    session.greeted != 0 && session.reply != 0 && asked && good && line.word_length != 0 && line.length > BEFORE
}

/// A whole line with a keyword; `false` if there is a verdict against it in `block.action`. Not inlined, so that its
/// stack frame does not lie below the loop over the line.
#[inline(never)]
pub(super) fn judge<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let span = Span::of(work, SIDE, BEFORE);
    let line = &work.state.line[SIDE];
    let crossed = line.facts & CROSSED != 0;
    let verdict = policy.keyword_hiding(line.name(), H::opaque_word);
    report::extension(policy, work, verdict);
    if crossed || policy.enforces() && verdict.action == Action::Mask as u8 {
        work.event.action = Action::Mask as u8;
        let from = first(&span);
        let to = span.to - ends_with_cr(host, work, from, span.to);
        // If only the line's end is left, the client already has the keyword.
        work.event.enforced = (crossed || to > from) as u8;
        work.change = Change::fill(from, to, b'X').reported();
    }
    work.tally.unreported = 1;
    !work.is_blocked()
}

/// Offset of the first available byte of keyword and parameters.
#[inline(always)]
const fn first(span: &Span) -> u32 {
    if span.has_word(span.from) { span.word } else { span.from }
}

/// The segment ends within a reply line. The part of a keyword that must not get through has to be overwritten now.
/// Returns whether there is any.
#[inline(never)]
pub(super) fn hide_unfinished<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let end = work.reading.at;
    let span = Span::of(work, SIDE, BEFORE);
    if work.state.line[SIDE].state >= HEAD || !may_begin(work) {
        return false;
    }
    let from = first(&span);
    // The last byte may be the CR of the line's end.
    let cr = ends_with_cr(host, work, from, span.to);
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
