//! A reply that answers no command.

use crate::{
    action::Action,
    done::{DONE, Done},
    host::Host,
    policy::Policy,
    reason::{Reason, counter},
    report,
    work::Work,
};

/// Counts and reports a reply that answers no command. The segment passes, and the client reads the reply as it likes.
#[inline(never)]
pub fn unmatched<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> Done {
    let reason = Reason::UnmatchedReply.number();
    let action = policy.guard(reason);
    host.count(counter(reason, action, true), 1, work.segment.length);
    if Action::number_reports(action) {
        report::hide(work);
        report::guard(work, reason, action, true);
        host.emit(&work.event);
    }
    DONE
}
