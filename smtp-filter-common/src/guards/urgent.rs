//! The URG flag: what is urgent, the receiver may take out of the stream.

use crate::{
    action::Action,
    direction::Direction,
    entry::{RESET, Shared, TLS},
    event::Ended,
    host::Host,
    policy::Policy,
    reason::Reason,
    stream::acceptable::{self, WITHIN},
    work::Work,
};

/// Judges a segment with the flag, which lies at `position` (see [`acceptable::position`]). Returns whether the guard's
/// action ends its judgement; mode `monitor` reads on where there is something to read. The flag counts even without
/// payload: the pointer may reach into later segments (RFC 9293 section 3.8.5).
#[inline(always)]
pub fn urgent<H: Host, D: Direction>(
    shared: &Shared,
    policy: &Policy,
    work: &mut Work,
    flags: u64,
    position: u8,
) -> bool {
    let segment = &work.segment;
    let enforces = policy.enforces();
    let resets = policy.guard(Reason::Urgent.number()) == Action::Reset as u8;
    // An attacker who forges a segment does not know the sequence numbers. Checksum and hop limit have not been
    // checked for a segment without payload or in TLS, so its receiver may discard it. Such a segment is dropped,
    // and nothing in it is believed.
    let looked_at = segment.length > 0 && flags & TLS == 0;
    if enforces && resets && looked_at && position == WITHIN && acceptable::acknowledges::<H, D>(shared, segment) {
        H::set(&shared.flags, RESET);
        work.ends = Ended::Reset as u8;
    }
    if enforces || segment.length == 0 || flags & TLS != 0 {
        return true;
    }
    let sequence = segment.sequence;
    work.note(Reason::Urgent.number(), policy.guard(Reason::Urgent.number()), sequence);
    false
}
