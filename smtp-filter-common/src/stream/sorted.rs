//! Two lists in a slot of the shared pool: out-of-order ranges and boundaries. Each is a ring with one word per item;
//! [`Memory`] holds the number of the first word and the count.
//!
//! - A list is sorted by the ends of its items. Ranges neither overlap nor touch, so they are sorted by their starts as
//!   well. Boundaries at the same sequence number are kept in the order in which they were noted.
//! - The last `Memory::fresh` boundaries were added by the last segment. They are sorted among themselves, but not yet
//!   merged with the others; the next segment with payload does that before it looks anything up ([`sort_boundaries`]).
//!   The current segment's own boundaries are never looked up: its bytes agree with them anyway.
//! - What is acknowledged, or read, is removed at the front by changing the ring's numbers. No word is changed.
//!
//! A dropped segment leaves the numbers unchanged. So before the verdict, words may change in two ways only: words
//! after the counted ones are written, and fresh boundaries are merged. A fully sorted list is valid for any number of
//! fresh ones. Words of ranges change only when it is certain that the segment passes ([`super::out_of_order::add`]).

use super::{
    in_segment::{Ring, Sorting},
    pool,
};
use crate::{
    bounds::{POOL_BOUNDARIES, POOL_RANGES, WIDE_WINDOW},
    entry::Memory,
    host::{Host, Step},
    reason::Reason,
    seq::Seq,
    work::Work,
};

/// Words in a ring. A power of two.
const ROOM: usize = POOL_RANGES;

const _: () = assert!(POOL_RANGES == POOL_BOUNDARIES && 2 * ROOM == WIDE_WINDOW / 8 && ROOM.is_power_of_two());

/// Bits for the length in an item. An item is one word: start, length in 27 bits, and 5 bits of state. A boundary has
/// no length.
pub const LENGTH: u32 = (1 << 27) - 1;

/// Words that are moved in one step.
const BLOCK: u32 = 16;

/// Steps that suffice to sort a list: each moves a block or a word, or puts one item where it belongs.
const STEPS: u32 = 3 * ROOM as u32;

impl Ring {
    /// Index in the slot of item `number`.
    #[inline(always)]
    pub fn index<H: Host>(self, number: u32) -> usize {
        let place = self.base | (self.first.wrapping_add(number) & (ROOM as u32 - 1));
        H::opaque(place) as usize & (2 * ROOM - 1)
    }
}

impl Memory {
    /// The out-of-order ranges in the pool.
    #[inline(always)]
    pub const fn sorted_ranges(&self) -> Ring {
        Ring { base: 0, first: self.first_range as u32, count: self.ranges as u32 }
    }

    /// The boundaries in the pool, without the fresh ones.
    #[inline(always)]
    pub const fn sorted_boundaries(&self) -> Ring {
        let count = self.boundaries.saturating_sub(self.fresh) as u32;
        Ring { base: ROOM as u32, first: self.first_boundary as u32, count }
    }
}

/// Makes sure that the connection has a slot for ranges and boundaries; `false` if none is free.
#[inline(always)]
pub fn need_slot<H: Host>(host: &mut H, work: &mut Work) -> bool {
    if work.state.memory.slot == 0 {
        work.state.memory.slot = pool::take(host, &work.key, pool::LISTS);
        if work.state.memory.slot == 0 {
            work.hold_back(Reason::Pool);
            return false;
        }
    }
    true
}

/// Where an item ends.
#[inline(always)]
pub const fn end(word: u64) -> Seq {
    Seq(word as u32).plus((word >> 32) as u32 & LENGTH)
}

/// How many items of a list end before `at`. `slot` is a value of `Memory::slot`, not 0.
#[inline(always)]
pub fn before<H: Host>(host: &mut H, slot: u32, ring: Ring, at: Seq) -> u32 {
    let Some(list) = host.list(slot.wrapping_sub(1)) else { return 0 };
    let mut number = H::opaque(0);
    let mut size = ROOM as u32;
    // verifier: a binary search without jumps, and always the same number of rounds.
    while size > 0 {
        let word = list[ring.index::<H>(number + size - 1)];
        let earlier = H::opaque(end(word).since(at));
        let beyond = H::opaque(ring.count.wrapping_sub(number + size));
        // Of a mask of all bits or none the verifier would walk both.
        number = H::opaque(number + size * H::opaque((earlier & !beyond) >> 31));
        size >>= 1;
    }
    number
}

/// Puts items where they belong, the last one first. Items that end after it are moved out of the way.
struct Sort<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Sort<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let work = &mut *self.work;
        let Sorting { ring, items } = work.stream.sorting;
        if items == 0 {
            return true;
        }
        let Some(list) = self.host.list(work.state.memory.slot.wrapping_sub(1)) else { return true };
        let word = work.piece[1 + (H::opaque(items - 1) as usize & (ROOM - 1))];
        let count = ring.count;
        let at = end(word);
        if count >= BLOCK && end(list[ring.index::<H>(count - BLOCK)]).is_after(at) {
            let mut i = 1;
            while i <= BLOCK {
                list[ring.index::<H>(count - i + items)] = list[ring.index::<H>(count - i)];
                i += 1;
            }
            work.stream.sorting.ring.count = count - BLOCK;
        } else if count > 0 && end(list[ring.index::<H>(count - 1)]).is_after(at) {
            list[ring.index::<H>(count - 1 + items)] = list[ring.index::<H>(count - 1)];
            work.stream.sorting.ring.count = count - 1;
        } else {
            list[ring.index::<H>(count + items - 1)] = word;
            work.stream.sorting.items = items - 1;
        }
        false
    }
}

/// Sorts one item into a list; those that end after it move up by one.
#[inline(always)]
pub fn insert<H: Host>(host: &mut H, work: &mut Work, ring: Ring, word: u64) {
    work.piece[1] = word;
    work.stream.sorting = Sorting { ring, items: 1 };
    host.sort(work);
}

/// Sorts in what `stream.sorting` describes. Afterwards the piece holds no bytes of the segment.
#[inline(always)]
pub fn sort<H: Host>(host: &mut H, work: &mut Work) {
    work.reading.piece_length = 0;
    H::run_steps(STEPS, &mut Sort { host, work });
}

/// Copies fresh boundaries into the piece.
struct Copy<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    ring: Ring,
}

impl<H: Host> Step for Copy<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let work = &mut *self.work;
        let Some(list) = self.host.list(work.state.memory.slot.wrapping_sub(1)) else { return true };
        let mut i = 0;
        // Words after the last fresh one are copied too, but not used.
        while i < BLOCK {
            let number = index * BLOCK + i;
            let word = list[self.ring.index::<H>(self.ring.count + number)];
            work.piece[1 + (H::opaque(number) as usize & (ROOM - 1))] = word;
            i += 1;
        }
        false
    }
}

/// Merges the boundaries that the last segment added.
#[inline(always)]
pub fn sort_boundaries<H: Host>(host: &mut H, work: &mut Work) {
    let memory = &mut work.state.memory;
    let (ring, items) = (memory.sorted_boundaries(), memory.fresh as u32);
    memory.fresh = 0;
    if items == 0 || ring.count == 0 {
        return;
    }
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return };
    let (last, first) = (list[ring.index::<H>(ring.count - 1)], list[ring.index::<H>(ring.count)]);
    if !end(first).is_before(end(last)) {
        // Already sorted: the usual case, with segments in order.
        return;
    }
    H::run_steps(items.div_ceil(BLOCK), &mut Copy { host: &mut *host, work: &mut *work, ring });
    work.stream.sorting = Sorting { ring, items };
    host.sort(work);
}
