//! The policy's action for a guard.

use crate::{
    action::Action,
    event::{Ended, SERVER},
    host::Host,
    policy::Policy,
    reason::counter,
    report,
    verdict::Verdict,
    work::Work,
};

/// Carries out the policy's action for a guard, independent of a connection's state.
#[inline(always)]
pub fn guard<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, reason: u16) -> Verdict {
    let action = policy.guard(reason);
    let enforced = policy.enforces() || action <= Action::Log as u8;
    // Only an end that is known to be the connection's own can reset it; otherwise the segment is dropped.
    let resets = work.ends == Ended::Reset as u8;
    let action = if enforced && action == Action::Reset as u8 && !resets { Action::Drop as u8 } else { action };
    host.count(counter(reason, action, enforced), 1, work.segment.length);
    if Action::number_reports(action) {
        if work.event.direction == SERVER {
            report::offending(host, work, 0);
        } else {
            report::hide(work);
        }
        report::guard(work, reason, action, enforced);
        host.emit(&work.event);
    }
    match (enforced && Action::number_blocks(action), resets) {
        (false, _) => Verdict::Pass,
        (true, false) => Verdict::Drop,
        (true, true) => Verdict::Reset,
    }
}
