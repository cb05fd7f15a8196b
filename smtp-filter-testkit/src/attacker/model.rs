//! What a policy lets through, written from the documents.

use smtp_filter_common::{
    action::Action,
    policy::{FILL_NOOP, Policy},
    reason::FIRST_NAME,
    word::Word,
};

use super::server::{blank, word};

/// Whether a server may be given this line as a command: whole, or made of one that was masked.
pub fn allows(policy: &Policy, line: &[u8]) -> bool {
    let mut place = [0; 32];
    let verb = word(line, blank, &mut place);
    if verb.is_empty() {
        return true;
    }
    let name = Word::new(verb);
    let (action, named) = match name {
        Some(name) => {
            let verdict = policy.verb(name);
            (verdict.action, verdict.reason != FIRST_NAME)
        }
        None => (policy.other, false),
    };
    let last = line.iter().skip_while(|byte| blank(**byte)).take_while(|byte| !blank(**byte)).last();
    let made = last == Some(&b'X') && !named || verb == b"NOOP" && policy.fill == FILL_NOOP || verb == b"HELO";
    made || action < Action::Downgrade as u8
}

/// The keyword of a line of the reply to EHLO.
pub fn keyword(line: &[u8]) -> Option<Word> {
    let mut place = [0; 32];
    Word::new(word(&line[4..], |byte| blank(byte) || byte == b'=', &mut place))
}

/// Whether the keyword of a line of the reply to EHLO is to be hidden.
pub fn hides(policy: &Policy, line: &[u8]) -> bool {
    let action = keyword(line).map_or(policy.other_keyword, |keyword| policy.keyword(keyword).action);
    action == Action::Mask as u8
}
