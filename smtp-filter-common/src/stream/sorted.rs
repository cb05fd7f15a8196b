//! Two lists in a slot of the shared pool: the out-of-order ranges, and the boundaries. Each is a ring of one word an item;
//! [`Memory`] says which word is the first one, and how many there are.
//!
//! - A list is sorted by where its items end. Ranges neither overlap nor touch one another, so they are sorted by where they
//!   begin as well. Of boundaries at one sequence number that one comes first that was noted first.
//! - The last `Memory::fresh` boundaries are those that the last segment brought, sorted among themselves, but not yet among the
//!   others. The next segment with payload sorts them in before it looks anything up ([`sort_boundaries`]). Nobody looks up
//!   boundaries of the segment in hand: its bytes agree with them.
//! - What is acknowledged, or read, leaves at the front: the ring's numbers change, and no word.
//!
//! A dropped segment leaves the numbers as they were. So before the verdict words change in two ways only: after those that
//! are counted, and by sorting fresh ones in; a list that is sorted as a whole is a right one for any number of fresh ones. Words
//! of ranges change when it is certain that the segment passes ([`super::out_of_order::add`]).

use super::ahead;
use crate::{
    bounds::{POOL_BOUNDARIES, POOL_RANGES, WIDE_WINDOW},
    entry::Memory,
    host::{Host, Step},
    work::Work,
};

/// Words in a ring. A power of two.
const ROOM: usize = POOL_RANGES;
const _: () = assert!(POOL_RANGES == POOL_BOUNDARIES && 2 * ROOM == WIDE_WINDOW / 8 && ROOM.is_power_of_two());
/// An item is one word: where it begins, its length in 27 bits, and 5 bits of what is known of it. A boundary has no length.
pub const LENGTH: u32 = (1 << 27) - 1;
/// Words that are moved in one step.
const BLOCK: u32 = 16;
/// Steps that are enough to sort a list: each moves a block, or a word, or puts one where it belongs.
const STEPS: u32 = 3 * ROOM as u32;

/// A sorted list.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Where the ring begins in the slot.
    base: u32,
    /// Its first word in use.
    first: u32,
    /// Items in it.
    pub count: u32,
}

/// What is sorted in.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting {
    /// Items that are still to be compared.
    ring: Ring,
    /// Items in [`Work::piece`], from word 1 on, that have no place yet.
    items: u32,
}

impl Sorting {
    /// Nothing.
    pub const NONE: Self = Self { ring: Ring { base: 0, first: 0, count: 0 }, items: 0 };
}

impl Ring {
    /// Where item `number` lies in the slot.
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

/// Where an item ends.
#[inline(always)]
pub const fn end(word: u64) -> u32 {
    (word as u32).wrapping_add((word >> 32) as u32 & LENGTH)
}

/// How many items of a list end before `at`. In `Memory::slot` there is one.
#[inline(always)]
pub fn before<H: Host>(host: &mut H, slot: u32, ring: Ring, at: u32) -> u32 {
    let Some(list) = host.list(slot.wrapping_sub(1)) else { return 0 };
    let mut number = H::opaque(0);
    let mut size = ROOM as u32;
    // verifier: without jumps, however many there are.
    while size > 0 {
        let word = list[ring.index::<H>(number + size - 1)];
        let earlier = H::opaque(end(word).wrapping_sub(at));
        let beyond = H::opaque(ring.count.wrapping_sub(number + size));
        // Of a mask of all bits or none the verifier would walk both.
        number = H::opaque(number + size * H::opaque((earlier & !beyond) >> 31));
        size >>= 1;
    }
    number
}

/// Gives items their places, the last one first: what ends after it is moved out of the way.
struct Sort<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Sort<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let work = &mut *self.work;
        let Sorting { ring, items } = work.run.sorting;
        if items == 0 {
            return true;
        }
        let Some(list) = self.host.list(work.state.memory.slot.wrapping_sub(1)) else { return true };
        let word = work.piece[1 + (H::opaque(items - 1) as usize & (ROOM - 1))];
        let count = ring.count;
        let at = end(word);
        if count >= BLOCK && ahead(end(list[ring.index::<H>(count - BLOCK)]), at) > 0 {
            let mut i = 1;
            while i <= BLOCK {
                list[ring.index::<H>(count - i + items)] = list[ring.index::<H>(count - i)];
                i += 1;
            }
            work.run.sorting.ring.count = count - BLOCK;
        } else if count > 0 && ahead(end(list[ring.index::<H>(count - 1)]), at) > 0 {
            list[ring.index::<H>(count - 1 + items)] = list[ring.index::<H>(count - 1)];
            work.run.sorting.ring.count = count - 1;
        } else {
            list[ring.index::<H>(count + items - 1)] = word;
            work.run.sorting.items = items - 1;
        }
        false
    }
}

/// Sorts one item into the first ones of a list: those that end after it move by one place.
#[inline(always)]
pub fn insert<H: Host>(host: &mut H, work: &mut Work, ring: Ring, word: u64) {
    work.piece[1] = word;
    work.run.sorting = Sorting { ring, items: 1 };
    host.sort(work);
}

/// Does what [`Work::run`] says is to be sorted in. The piece holds no bytes of the segment afterwards.
#[inline(always)]
pub fn sort<H: Host>(host: &mut H, work: &mut Work) {
    work.run.piece_length = 0;
    H::repeat(STEPS, &mut Sort { host, work });
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
        // What lies after the last one does no harm.
        while i < BLOCK {
            let number = index * BLOCK + i;
            let word = list[self.ring.index::<H>(self.ring.count + number)];
            work.piece[1 + (H::opaque(number) as usize & (ROOM - 1))] = word;
            i += 1;
        }
        false
    }
}

/// Sorts the boundaries in that the last segment brought.
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
    if ahead(end(first), end(last)) >= 0 {
        // As it is where segments come in their order, or where a segment before this one was dropped.
        return;
    }
    H::repeat(items.div_ceil(BLOCK), &mut Copy { host: &mut *host, work: &mut *work, ring });
    work.run.sorting = Sorting { ring, items };
    host.sort(work);
}
