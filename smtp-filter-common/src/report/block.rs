//! A block: counted for each segment, reported once per position.

use crate::{
    entry::{BLOCK_REPORTED, Shared, pair},
    event::CLIENT,
    host::Host,
    policy::Policy,
    reason::{FIRST_NAME, Reason, counter},
    report,
    stream::facts::{BLOCKED, FRESH},
    work::Work,
};

/// Records the last reported block; returns whether this one is new.
#[inline(always)]
pub fn note_block<H: Host>(shared: &Shared, policy: &Policy, work: &Work) -> bool {
    if Reason::is_forced(work.block.reason) {
        // A verdict of this kind is never reported, and must not come between two reports of the same block.
        return false;
    }
    let this = pair(work.block.sequence.0, (policy.generation << 16) | work.block.reason as u32);
    if H::load(&shared.flags) & BLOCK_REPORTED != 0 && H::load(&shared.reported_block) == this {
        return false;
    }
    H::store(&shared.reported_block, this);
    H::set(&shared.flags, BLOCK_REPORTED);
    true
}

/// Counts a block, and reports it once per position. A verdict that follows from the state of the stream is only
/// counted, because it occurs on every loss. A command is counted when it is reported, once; its segments, including
/// retransmissions, are counted separately.
#[inline(always)]
pub fn report_block<H: Host>(host: &mut H, work: &mut Work, facts: u8) {
    let (reason, action) = (work.block.reason, work.block.action);
    let enforced = facts & BLOCKED != 0;
    let names = reason >= FIRST_NAME;
    let of_segment = if names { Reason::DroppedCommand.number() } else { reason };
    host.count(counter(of_segment, action, enforced), 1, work.segment.length);
    if facts & FRESH == 0 {
        return;
    }
    if names {
        host.count(counter(reason, action, enforced), 1, work.tally.last_line);
    }
    let from = work.segment.offset_of(work.block.sequence);
    // The line began in an earlier segment, so all bytes up to its end belong to it.
    let from = if from >= work.segment.length { 0 } else { from };
    if work.block.of_command == 0 && work.event.direction == CLIENT {
        report::hide(work);
    } else {
        report::offending(host, work, from);
        report::withhold::<H>(work);
    }
    if work.block.of_command == 0 {
        report::guard(work, reason, action, enforced);
    }
    host.emit(&work.event);
}
