//! Segments that belong to no live connection (I8).

use super::{handshakes_seen, late};
use crate::{host::Host, met::Met, outcome::Outcome, policy::Policy, reason::Reason, wire::RST, work::Work};

/// A segment that belongs to no live connection (I8).
#[inline(always)]
pub fn stranger<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> Outcome {
    if host.half_open(&work.key, &mut work.half_open) {
        if work.segment.has(RST) {
            // A RST that refuses the connection carries nothing, and the client waits for it.
            return Outcome::passes(Reason::Closing);
        }
        if work.half_open.confirmed != 0 {
            // The handshake was seen, so the connection is not older than the filter.
            return Outcome::held_back(Reason::Unfinished);
        }
    }
    let from = work.event.direction;
    match late::late(host, work, from) {
        Some(found) => found,
        None => unknown(host, policy, work, met),
    }
}

/// A segment of an unknown connection. During the grace period the connection may be older than the filter.
#[inline(always)]
pub fn unknown<H: Host>(host: &mut H, policy: &Policy, work: &Work, met: Met) -> Outcome {
    if met.now < policy.grace_until && !handshakes_seen::remembers(host, &work.key) {
        return Outcome::passes(Reason::UnknownConnection);
    }
    Outcome::guarded(Reason::UnknownConnection)
}
