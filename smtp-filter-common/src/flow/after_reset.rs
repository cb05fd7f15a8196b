//! A connection that the filter has reset: nothing of it passes any more.

use crate::{
    entry::Shared,
    host::Host,
    met::Met,
    outcome::Outcome,
    reason::Reason,
    verdict::Verdict,
    wire::{ACK, RST},
    work::Work,
};

/// At most one RST per connection in this time is sent in reply to segments after a reset.
const RESET_EVERY: u64 = 10_000_000;

/// A segment of a connection after its reset.
#[inline(always)]
pub fn after_reset<H: Host>(shared: &Shared, work: &Work, met: Met) -> Outcome {
    if work.segment.has(RST) {
        // The filter's own RST at another hook, or one of an end.
        return Outcome::passes(Reason::OwnReset);
    }
    if !work.segment.has(ACK) || met.now.wrapping_sub(H::load(&shared.reset_at)) < RESET_EVERY {
        return Outcome::held_back(Reason::AfterReset);
    }
    H::store(&shared.reset_at, met.now);
    Outcome { verdict: Verdict::ResetSender as u8, ..Outcome::held_back(Reason::AfterReset) }
}
