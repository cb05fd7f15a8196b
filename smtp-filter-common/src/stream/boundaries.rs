//! Boundaries: positions in unacknowledged mail data where a receiver may switch from one copy to another, with the
//! scanner's state there. A retransmission has to agree with them. Otherwise bytes of the first copy and of the
//! retransmission could form an end of data that was never read, or break one that was.
//!
//! A position is remembered only if the bytes before it matter: an end of data may be under way there, or the bytes
//! that follow could complete one. A boundary is never forgotten before its bytes are acknowledged. If there is no room
//! for one more, neither in the entry nor in the pool, the segment waits.

use super::{out_of_order, sorted};
use crate::{
    bounds::{ENTRY_BOUNDARIES, ENTRY_RANGES, POOL_BOUNDARIES},
    branchless::{choose, choose_number, less, same},
    entry::Memory,
    host::{Host, Step},
    reason::Reason,
    seq::Seq,
    session::data::{self, CR, DOT, DOT_CR, LINE, MIDDLE},
    work::Work,
};

/// Boundary in use.
const USED: u8 = 0x80;

/// Beside a state: it is not known which state there is, but that it is not this one ([`bar`]).
const BARRED: u8 = 8;

/// What is remembered of a position whose state is not known, and must not be this one.
#[inline(always)]
pub const fn bar(state: u8) -> u8 {
    state | BARRED
}

/// 1 if a state that a retransmission has (`here`, or [`data::END`] if that cannot be said) contradicts what is remembered
/// of the position, else 0.
#[inline(always)]
pub fn differs<H: Host>(here: u8, remembered: u8) -> u32 {
    let is_bar = (remembered / BARRED) as u32;
    let alike = same::<H>(here as u32, (remembered & !BARRED) as u32);
    let unclear = same::<H>(here as u32, data::END as u32);
    H::opaque(alike ^ is_bar ^ 1) | unclear
}

/// Boundaries reserved for segments in order.
pub const SPARE: usize = 4;

/// Whether a position is to be remembered, by the state there and the next four bytes (`short`: there are fewer).
#[inline(always)]
pub const fn matters(state: u8, first: u32, short: bool) -> bool {
    state != MIDDLE || short || data::may_end(first)
}

/// The state so many bytes before a position with this state; [`data::END`] if it cannot be derived.
#[inline(always)]
pub fn under_way<H: Host>(state: u8, bytes: u32) -> u8 {
    // Each of these states can only be reached from the one before it.
    const _: () = assert!(CR == 1 && LINE == 2 && DOT == 3 && DOT_CR == 4 && data::END == 5);
    let fewer = H::opaque(((bytes as u64).wrapping_sub(state as u64) >> 63) as u32);
    choose::<H>(fewer | same::<H>(bytes, 0), state.wrapping_sub(bytes as u8), data::END)
}

/// The one of the two that is known.
#[inline(always)]
fn either<H: Host>(one: u8, other: u8) -> u8 {
    choose::<H>(same::<H>(one as u32, data::END as u32), other, one)
}

struct Look<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    at: Seq,
    /// The result: the known state in the first byte; in the second, what boundaries after the position imply.
    state: &'a mut u32,
}

impl<H: Host> Step for Look<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        // A known state is final.
        if *self.state as u8 != data::END {
            return true;
        }
        let (place, state, is_end) = listed(self.host, self.work, index);
        // A bar says too little.
        let state = choose::<H>((state / BARRED) as u32, data::END, state);
        let before = place.since(self.at);
        let under_way = under_way::<H>(state, before);
        // A boundary says for certain only what the state at its own position is; the end of a range also what it is
        // just before.
        let known = choose::<H>(is_end as u32 | same::<H>(before, 0), under_way, data::END);
        if state != data::END && known != data::END {
            *self.state = known as u32;
        } else if state != data::END && under_way != data::END {
            *self.state = data::END as u32 | (under_way as u32) << 8;
        }
        false
    }
}

/// The state at a position, `before` bytes before the end of what was read; [`data::END`] if it is not known. Then the
/// second value is the state that the first copy had there, as far as boundaries after it imply it, or [`data::END`].
#[inline(always)]
pub fn state_at<H: Host>(host: &mut H, work: &mut Work, at: Seq, before: u32) -> (u8, u8) {
    // The longest way to an end of data says nothing of boundaries further back.
    //
    // verifier: one function after the other, for the stack of Linux 6.1 has no room for one below the other.
    host.list_boundaries(work, at, at.plus(data::END as u32));
    let state = host.look_at_boundary(work, at, before);
    (state as u8, (state >> 8) as u8)
}

/// See [`state_at`]; both states in one number. What is to be looked at has been found before ([`find`]).
#[inline(always)]
pub fn look<H: Host>(host: &mut H, work: &mut Work, at: Seq, before: u32) -> u32 {
    let memory = &work.state.memory;
    // What belongs to an end of data, complete or under way, is known without a boundary.
    let [last, other] = memory.end_of_data;
    let known = either::<H>(
        either::<H>(under_way::<H>(data::END, last.since(at)), under_way::<H>(data::END, other.since(at))),
        under_way::<H>(memory.data_state, before),
    );
    let mut state = known as u32 | (data::END as u32) << 8;
    let count = work.stream.listed.count;
    H::run_steps(count, &mut Look { host, work, at, state: &mut state });
    state
}

/// Items in the entry: boundaries, then ends of out-of-order ranges.
const ENTRY: u32 = (ENTRY_BOUNDARIES + ENTRY_RANGES) as u32;

/// Which items are looked at: the result of [`find`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Items of the entry that are skipped: all of them if none lies in the interval, else 0.
    skipped: u32,
    /// Number of the first range in the pool.
    range: u32,
    /// Number of ranges in the pool.
    ranges: u32,
    /// Number of the first boundary in the pool.
    boundary: u32,
    /// How many are to be asked for.
    count: u32,
}

impl Listed {
    /// None.
    pub const NONE: Self = Self { skipped: 0, range: 0, ranges: 0, boundary: 0, count: 0 };
}

/// Finds the items at positions `from..to`. Returns how many indices are to be given to [`place`]; those of the entry
/// may include some outside the interval.
#[inline(always)]
pub fn find<H: Host>(host: &mut H, work: &mut Work, from: Seq, to: Seq) -> u32 {
    let memory = &work.state.memory;
    let slot = memory.slot;
    let (ranges, boundaries) = (memory.sorted_ranges(), memory.sorted_boundaries());
    let skipped = ENTRY * (1 ^ memory.any_from::<H>(from, to.since(from)));
    work.stream.listed = Listed { skipped, ..Listed::NONE };
    let mut count = ENTRY - skipped;
    work.stream.listed.count = count;
    if slot == 0 {
        return count;
    }
    if ranges.count != 0 {
        let first = sorted::before(host, slot, ranges, from);
        let found = sorted::before(host, slot, ranges, to).saturating_sub(first);
        work.stream.listed.range = first;
        work.stream.listed.ranges = found;
        count += found;
    }
    if boundaries.count != 0 {
        let first = sorted::before(host, slot, boundaries, from);
        work.stream.listed.boundary = first;
        count += sorted::before(host, slot, boundaries, to).saturating_sub(first);
    }
    work.stream.listed.count = count;
    count
}

/// Position, state, and whether it is the end of an out-of-order range, of item `index` among those that [`find`]
/// found. The state is [`data::END`] if the item is not in use.
#[inline(always)]
pub fn listed<H: Host>(host: &mut H, work: &Work, index: u32) -> (Seq, u8, bool) {
    let memory = &work.state.memory;
    let Listed { skipped, range, ranges, boundary, .. } = work.stream.listed;
    let index = index + skipped;
    if index < ENTRY_BOUNDARIES as u32 {
        let (at, state) = memory.in_entry(H::opaque(index) as usize);
        return (at, state, false);
    }
    let index = index - ENTRY_BOUNDARIES as u32;
    if index < ENTRY_RANGES as u32 + ranges {
        let number = if index < ENTRY_RANGES as u32 { index } else { index + range };
        let (at, state) = out_of_order::end(host, memory, number);
        return (at, state, true);
    }
    let number = index - ENTRY_RANGES as u32 - ranges + boundary;
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return (Seq(0), data::END, false) };
    let word = list[memory.sorted_boundaries().index::<H>(number)];
    (Seq(word as u32), (word >> STATE) as u8, false)
}

/// Shift of the state in a boundary's word.
const STATE: u32 = 59;

/// Remembers a boundary. `false` if there is no room: the segment is held back. A segment after a gap leaves [`SPARE`]
/// boundaries for the segments that fill it, which are acknowledged first. Until the segment passes, words written to
/// the pool lie after the counted ones.
#[inline(always)]
pub fn remember<H: Host>(host: &mut H, work: &mut Work, at: Seq, state: u8, spare: usize) -> bool {
    host.note_boundary(work, at, state, spare)
}

/// See [`remember`].
#[inline(always)]
pub fn note<H: Host>(host: &mut H, work: &mut Work, at: Seq, state: u8, spare: usize) -> bool {
    if work.state.memory.remember_in_entry::<H>(at, state, spare) {
        return true;
    }
    if work.state.memory.boundaries as usize + spare >= POOL_BOUNDARIES {
        work.hold_back(Reason::Backlog);
        return false;
    }
    if !out_of_order::need_slot(host, work) {
        return false;
    }
    let memory = &mut work.state.memory;
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return false };
    let number = memory.boundaries as u32;
    list[memory.sorted_boundaries().index::<H>(number)] = at.0 as u64 | (state as u64) << STATE;
    memory.boundaries += 1;
    memory.fresh += 1;
    true
}

/// Forgets the boundaries in the pool that are acknowledged. All of them have to be sorted.
#[inline(always)]
pub fn forget_first<H: Host>(host: &mut H, work: &mut Work) {
    let memory = &mut work.state.memory;
    if memory.boundaries == 0 {
        return;
    }
    let over = sorted::before(host, memory.slot, memory.sorted_boundaries(), work.stream.acknowledged) as u16;
    memory.first_boundary = memory.first_boundary.wrapping_add(over);
    memory.boundaries = memory.boundaries.saturating_sub(over);
}

impl Memory {
    /// Remembers a boundary in the entry; `false` if there is no room.
    #[inline(always)]
    fn remember_in_entry<H: Host>(&mut self, at: Seq, state: u8, spare: usize) -> bool {
        let mut free = ENTRY_BOUNDARIES as u32;
        let mut i = 0;
        while i < ENTRY_BOUNDARIES {
            let unused = 1 ^ H::opaque((self.boundary_state[i] / USED) as u32);
            // A state replaces a state. A bar is kept beside it: what is judged now may be what it is to stop.
            let bar = H::opaque(((self.boundary_state[i] | state) / BARRED) as u32 & 1);
            let fits = (unused | same::<H>(self.boundary_at[i].0, at.0) & (1 ^ bar))
                & less::<H>(i as u32 + (spare & (ENTRY_BOUNDARIES - 1)) as u32, ENTRY_BOUNDARIES as u32);
            free = choose_number::<H>(fits, i as u32, free);
            i += 1;
        }
        if free >= ENTRY_BOUNDARIES as u32 {
            return false;
        }
        let free = H::opaque(free) as usize & (ENTRY_BOUNDARIES - 1);
        self.boundary_at[free] = at;
        self.boundary_state[free] = state | USED;
        true
    }

    /// Position and state of boundary `index` of the entry; the state is [`data::END`] if it is not in use.
    #[inline(always)]
    const fn in_entry(&self, index: usize) -> (Seq, u8) {
        let index = index & (ENTRY_BOUNDARIES - 1);
        let state = self.boundary_state[index];
        (self.boundary_at[index], if state & USED != 0 { state & !USED } else { data::END })
    }

    /// 1 if an item of the entry lies in the `length` positions from `from` on, else 0.
    #[inline(always)]
    fn any_from<H: Host>(&self, from: Seq, length: u32) -> u32 {
        const ANY: u64 = 1 << 63;
        let mut any = 0;
        let mut i = 0;
        while i < ENTRY_BOUNDARIES {
            let so_far = H::opaque_word(any | i as u64);
            let at = so_far as usize & (ENTRY_BOUNDARIES - 1);
            let left = (self.boundary_at[at].since(from) as u64).wrapping_sub(length as u64);
            any = (so_far | left & (self.boundary_state[at] as u64) << 56) & ANY;
            i += 1;
        }
        let mut i = 0;
        while i < ENTRY_RANGES {
            let so_far = H::opaque_word(any | i as u64);
            let at = so_far as usize & (ENTRY_RANGES - 1);
            let left = (self.range_end[at].since(from) as u64).wrapping_sub(length as u64);
            any = (so_far | left & (self.range_state[at] as u64) << 56) & ANY;
            i += 1;
        }
        H::opaque((any >> 63) as u32)
    }

    /// Forgets all boundaries.
    #[inline(always)]
    pub fn forget_boundaries(&mut self) {
        self.boundary_state = [0; ENTRY_BOUNDARIES];
        self.boundaries = 0;
        self.fresh = 0;
    }

    /// Forgets the boundaries before `acknowledged`.
    #[inline(always)]
    pub fn forget_acknowledged(&mut self, acknowledged: Seq) {
        let mut i = 0;
        while i < ENTRY_BOUNDARIES {
            let over = self.boundary_at[i].is_before(acknowledged);
            self.boundary_state[i] = if over { 0 } else { self.boundary_state[i] };
            i += 1;
        }
        let mut i = 0;
        while i < 2 {
            let over = !self.end_of_data[i].is_after(acknowledged);
            // Neutral: no unacknowledged mail data ends there.
            self.end_of_data[i] = if over { acknowledged } else { self.end_of_data[i] };
            i += 1;
        }
    }

    /// Remembers the position after an end of data.
    #[inline(always)]
    pub fn end_of_data_at(&mut self, at: Seq) {
        self.end_of_data[1] = self.end_of_data[0];
        self.end_of_data[0] = at;
    }

    /// Whether an end of data was read that ends at this position.
    #[inline(always)]
    pub fn is_end_of_data(&self, at: Seq) -> bool {
        self.end_of_data[0] == at || self.end_of_data[1] == at
    }
}
