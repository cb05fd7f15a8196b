//! The fourth step: decides, saves what the segment changed, and releases the lock.

use super::{
    backlog,
    facts::{BLOCKED, FRESH, STATE_CHANGED, UNREAD},
    identical,
    read::{CHANGED, NOTHING},
    unread::unread,
};
use crate::{
    action::Action,
    direction::Direction,
    entry::MARKED,
    flow::{lifecycle, lock},
    guards::unmatched::unmatched,
    host::Host,
    outcome::Outcome,
    policy::Policy,
    reason::{Reason, counter},
    report::{
        self,
        block::{note_block, report_block},
    },
    verdict::Verdict,
    wire::FIN,
    work::{MISSING, Passed, Work},
};

/// Fourth step, after [`super::read::read`]: decides, and releases the lock.
#[inline(always)]
pub fn decide<D: Direction, H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.outcome = commit::<D, H>(host, policy, work);
}

#[inline(always)]
fn commit<D: Direction, H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> Outcome {
    let taken = work.taken;
    if taken == NOTHING {
        return Outcome::held_back(Reason::Busy);
    }
    let Some(entry) = host.found() else { return Outcome::held_back(Reason::Busy) };
    let mut facts = 0;
    if work.is_blocked() {
        facts = BLOCKED;
        if !policy.enforces() {
            facts = UNREAD | unread::<H, D>(host, work, entry);
        }
    } else if taken & CHANGED != 0 {
        facts = STATE_CHANGED;
    }
    let mut facts = work.unknown::<H>(facts | (UNREAD * (work.uncertain != 0) as u8));
    if work.segment.has(FIN) && facts & BLOCKED == 0 {
        facts |= lifecycle::fin::<D>(work);
        facts = work.unknown::<H>(facts);
    }
    let shared = host.shared(entry);
    if H::load(&shared.id) != work.event.connection {
        // The entry was given to another connection during the reading, so nothing may be saved.
        return Outcome::held_back(Reason::Busy);
    }
    if facts & STATE_CHANGED != 0 {
        host.save_state(entry, &work.state);
        if !D::IS_CLIENT && work.identical.keeps_line != 0 {
            identical::keep(host, work);
        }
    }
    let shared = host.shared(entry);
    lifecycle::set_flags::<H, D>(shared, work, facts);
    let marked = ((H::load(&shared.flags) / MARKED) & 1) as u8 & (1 ^ work.monitors);
    if D::IS_CLIENT && facts & BLOCKED != 0 {
        backlog::note::<H>(shared, work);
    }
    let read = !work.is_blocked();
    if read {
        let Passed { sequence, reason, action } = work.passed;
        work.block_by(reason, action, sequence);
    }
    if work.is_blocked() && note_block::<H>(shared, policy, work) {
        facts |= FRESH;
    }
    lock::release::<H>(&shared.lock);
    let facts = work.unknown::<H>(facts);
    if read {
        count_read(host, policy, work, taken as u16);
        // Meanwhile a command on another CPU may have requested the skb mark.
        work.marked |= work.tally.mark | marked;
    }
    if work.is_blocked() {
        report_block(host, work, facts);
    }
    Outcome::settled(if facts & BLOCKED == 0 {
        Verdict::Pass
    } else if work.block.action == Action::Reset as u8 {
        Verdict::Reset
    } else {
        Verdict::Drop
    })
}

/// Counts a segment that was read and passes, and reports its commands if one pass over them was enough.
#[inline(always)]
fn count_read<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, reason: u16) {
    let reason = if work.uncertain & MISSING != 0 { Reason::Gap.number() } else { reason };
    host.count(counter(reason, Action::Pass as u8, true), 1, work.segment.length);
    if work.tally.commands != 0 && work.tally.reporting == 0 {
        report::report_all(host, work);
    }
    if work.tally.unmatched != 0 {
        unmatched(host, policy, work);
    }
}
