//! The second step: which live connection a segment belongs to, and whose policy judges it.

use super::live;
use crate::{
    direction::Direction,
    entry::SYN_NOTED,
    host::Host,
    outcome::Outcome,
    reason::Reason,
    report,
    scope::{self, Policies},
    work::Work,
};

/// Second step, after [`Next::FIND_CLIENT`] or [`Next::FIND_SERVER`]: finds the connection, and judges what can be
/// judged without reading the payload. Before [`Next::READ`] it takes the connection's lock. From here on `Work::scope`
/// says whose policy applies. [`Next::HANDSHAKE`] follows if no connection is known, or a new one may begin.
///
/// [`Next::FIND_CLIENT`]: crate::outcome::Next::FIND_CLIENT
/// [`Next::FIND_SERVER`]: crate::outcome::Next::FIND_SERVER
/// [`Next::READ`]: crate::outcome::Next::READ
/// [`Next::HANDSHAKE`]: crate::outcome::Next::HANDSHAKE
#[inline(always)]
pub fn find<D: Direction, H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.outcome = found::<D, H, P>(host, policies, work);
}

#[inline(always)]
fn found<D: Direction, H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) -> Outcome {
    let entry = match host.find(&work.key) {
        Some(entry) if H::load(&host.shared(entry).flags) & SYN_NOTED == 0 || work.greeted != 0 => entry,
        // The connection was made by the handshake step, and another CPU has removed it since.
        _ if work.greeted != 0 => return Outcome::held_back(Reason::Busy),
        _ => return Outcome::handshake(),
    };
    let policy = policies.of_scope(0).and_then(|whole| scope::choose(host, policies, whole, work, Some(entry)));
    let Some(policy) = policy else { return Outcome::held_back(Reason::Busy) };
    report::begin::begin(policy, work, !D::IS_CLIENT);
    live::live::<H, D>(host, policy, work, entry)
}
