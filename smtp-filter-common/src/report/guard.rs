//! Something other than a command.

use crate::{event::Kind, word::Word, work::Work};

/// Makes the current event one of something other than a command.
#[inline(always)]
pub fn guard(work: &mut Work, reason: u16, action: u8, enforced: bool) {
    no_command(work, Kind::GUARD, reason, action, enforced);
}

#[inline(always)]
pub(super) fn no_command(work: &mut Work, kind: Kind, reason: u16, action: u8, enforced: bool) {
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
