//! Remembering the range of an out-of-order segment.

use super::ranges::{BARRED, STATE, USED, bar, put, range, word};
use crate::{
    bounds::{ENTRY_RANGES, POOL_RANGES},
    host::Host,
    seq::Seq,
    session::data,
    stream::{
        in_segment::{NO_RANGE, Neighbours},
        sorted,
    },
    work::Work,
};

/// Remembers `start..end` with the state at its end. [`super::search`] has just found it to be apart from all ranges or
/// next to one. `false` if there is no room. What is written to the pool counts at once, because the segment passes
/// then.
#[inline(never)]
pub fn add<H: Host>(host: &mut H, work: &mut Work, start: Seq, end: Seq, state: data::State) -> bool {
    let (mut start, mut end, mut state) = (start, end, state.0);
    let Neighbours { left, right, free, in_pool: before_it, barred_before, .. } = work.stream.neighbours;
    let mut before = bar(barred_before);
    let fresh = if free == NO_RANGE { ENTRY_RANGES as u32 + before_it } else { free };
    let index = if left != NO_RANGE {
        left
    } else if right != NO_RANGE {
        right
    } else {
        fresh
    };
    let in_pool = index >= ENTRY_RANGES as u32;
    let is_new = left & right == NO_RANGE;
    if in_pool && is_new && work.state.memory.ranges as usize >= POOL_RANGES {
        return false;
    }
    if left != NO_RANGE {
        let (from, _, left_state) = range(host, &work.state.memory, left);
        (start, before) = (from, left_state & BARRED);
    }
    if right != NO_RANGE {
        let (_, to, right_state) = range(host, &work.state.memory, right);
        (end, state) = (to, right_state & STATE);
    }
    if end.since(start) > sorted::LENGTH {
        return false;
    }
    if in_pool && !sorted::need_slot(host, work) {
        return false;
    }
    let memory = &mut work.state.memory;
    let word = word(start, end, state | before);
    let mut ring = memory.sorted_ranges();
    if !in_pool {
        put::<H>(memory, index, (start, end), state | before | USED);
    } else {
        memory.top_range = if memory.ranges == 0 { end } else { memory.top_range.later(end) };
        if !is_new {
            let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return false };
            list[ring.index::<H>(index - ENTRY_RANGES as u32)] = word;
        }
    }
    // The gap between two ranges is filled: the later one is removed.
    let removes = left != NO_RANGE && right != NO_RANGE;
    if removes && right < ENTRY_RANGES as u32 {
        put::<H>(memory, right, (end, end), 0);
    } else if removes {
        // The ranges before it move up by one. The first word of the ring becomes free.
        let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return false };
        let first = list[ring.index::<H>(0)] as u32;
        ring.count = right - ENTRY_RANGES as u32;
        memory.first_range = memory.first_range.wrapping_add(1);
        memory.ranges -= 1;
        sorted::insert(host, work, ring, first as u64);
    } else if in_pool && is_new {
        memory.ranges += 1;
        sorted::insert(host, work, ring, word);
    }
    true
}
