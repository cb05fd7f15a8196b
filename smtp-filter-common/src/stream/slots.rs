//! The slots of the shared pool that a connection holds.

use super::{boundaries, out_of_order::ranges, pool, sorted, window};
use crate::{
    direction::{Client, Direction as _},
    done::{DONE, Done},
    entry::{Memory, first_of},
    host::Host,
    reason::Reason,
    session::Mode,
    work::Work,
};

/// Releases the pool slots once all that the client sent is acknowledged. Otherwise an idle client would keep them from
/// others.
#[inline(never)]
pub fn release_if_at_rest<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let Some(entry) = host.found() else { return false };
    let shared = host.shared(entry);
    let acknowledged = first_of(H::load(&shared.peer[Client::INDEX]));
    if acknowledged.is_before(work.state.side[Client::INDEX].next) {
        return false;
    }
    if work.state.side[Client::INDEX].slot != 0 {
        window::release::<H, Client>(host, work);
    }
    let Memory { slot, ranges, chunk_slot, .. } = work.state.memory;
    if slot != 0 && ranges == 0 && work.state.session.mode != Mode::MAIL_DATA {
        pool::release(host, slot, pool::LISTS);
        work.state.memory.slot = 0;
        work.state.memory.boundaries = 0;
        work.state.memory.fresh = 0;
    }
    if chunk_slot != 0 {
        pool::release(host, chunk_slot, pool::CHUNKS);
        work.state.memory.chunk_slot = 0;
        work.state.memory.chunks = 0;
    }
    true
}

/// The connection seems to have ended: others may take its slots of the pool.
#[inline(never)]
pub fn leave<H: Host>(host: &mut H, work: &mut Work) -> Done {
    let Memory { slot, chunk_slot, .. } = work.state.memory;
    let [client, server] = [work.state.side[0].slot, work.state.side[1].slot];
    pool::leave(host, client, pool::BYTES);
    pool::leave(host, server, pool::BYTES + 1);
    pool::leave(host, slot, pool::LISTS);
    pool::leave(host, chunk_slot, pool::CHUNKS);
    DONE
}

/// Forgets what is over. Releases a slot that was no longer needed when the last segment had passed, and checks that a
/// needed slot is still held. A dropped segment does not save the state, so the next one forgets the same again.
#[inline(never)]
pub fn look_after_lists<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let next = work.state.side[Client::INDEX].next;
    let memory = &mut work.state.memory;
    if memory.ranges | memory.boundaries == 0 {
        pool::release(host, memory.slot, pool::LISTS);
        work.state.memory.slot = 0;
        return true;
    }
    if memory.ranges != 0 && !next.is_before(memory.top_range) {
        memory.ranges = 0;
    }
    if pool::holds(host, memory.slot, pool::LISTS) {
        sorted::sort_boundaries(host, work);
        boundaries::forget_first(host, work);
        let over = ranges::before(host, work, next.plus(1)) as u16;
        let memory = &mut work.state.memory;
        memory.first_range = memory.first_range.wrapping_add(over);
        memory.ranges = memory.ranges.saturating_sub(over);
        return true;
    }
    let memory = &mut work.state.memory;
    if memory.ranges != 0 || work.stream.acknowledged.is_before(next) {
        work.hold_back(Reason::Forgotten);
        return false;
    }
    memory.slot = 0;
    memory.boundaries = 0;
    memory.fresh = 0;
    true
}
