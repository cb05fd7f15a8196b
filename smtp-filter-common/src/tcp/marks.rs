//! Places in unacknowledged mail text where a receiver may go over from one copy to another, with the scanner's state
//! there. A repeat has to agree with them, or bytes of the first copy and bytes of the repeat could be put together to
//! an end of data that nobody read, or to none where one was read.
//!
//! Only those are remembered where it matters what stands before: where an end of data may be under way, or where what
//! follows might complete one. Such a place is never forgotten before its bytes are acknowledged; where there is no
//! room for one more, neither in the entry nor in the pool, the segment waits.

use super::{ahead, early};
use crate::{
    branchless::{choose, choose_number, less, same},
    entry::Memory,
    event::CLIENT,
    host::{Host, Step},
    limits::{BOUNDARIES, MARKS, RANGES},
    reason::Reason,
    smtp::text::{self, CR, DOT, DOT_CR, LINE, MIDDLE},
    work::Work,
};

/// Mark in use.
const USED: u8 = 0x80;

/// Places kept for segments in their order.
pub const SPARE: usize = 4;

/// Whether a place is to be remembered: the state there, and the next four bytes (of fewer, `short`).
#[inline(always)]
pub const fn matters(state: u8, first: u32, short: bool) -> bool {
    state != MIDDLE || short || text::may_end(first)
}

/// The state so many bytes in front of a place with this state; [`text::END`] where that does not tell.
#[inline(always)]
pub fn under_way<H: Host>(state: u8, bytes: u32) -> u8 {
    // Each of these states has only one that leads to it.
    const _: () = assert!(CR == 1 && LINE == 2 && DOT == 3 && DOT_CR == 4 && text::END == 5);
    let fewer = H::opaque(((bytes as u64).wrapping_sub(state as u64) >> 63) as u32);
    choose::<H>(fewer | same::<H>(bytes, 0), state.wrapping_sub(bytes as u8), text::END)
}

/// The one that is known.
#[inline(always)]
fn either<H: Host>(one: u8, other: u8) -> u8 {
    choose::<H>(same::<H>(one as u32, text::END as u32), other, one)
}

struct Look<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    at: u32,
    /// What is known, and in the second byte what marks behind the place say of it.
    state: &'a mut u32,
}

impl<H: Host> Step for Look<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        // What is known stays.
        if *self.state as u8 != text::END {
            return true;
        }
        let (place, state, is_end) = place(self.host, self.work, index);
        let before = place.wrapping_sub(self.at);
        let under_way = under_way::<H>(state, before);
        // A mark tells of its own place alone.
        let known = choose::<H>(is_end as u32 | same::<H>(before, 0), under_way, text::END);
        if state != text::END && known != text::END {
            *self.state = known as u32;
        } else if state != text::END && under_way != text::END {
            *self.state = text::END as u32 | (under_way as u32) << 8;
        }
        false
    }
}

/// The state at a place, `before` bytes in front of where all is read; [`text::END`] where it is not known. Then what the
/// first copy had there, as far as marks behind it say, or [`text::END`].
#[inline(always)]
pub fn state_at<H: Host>(host: &mut H, work: &mut Work, at: u32, before: u32) -> (u8, u8) {
    let state = host.look_at_place(work, at, before);
    (state as u8, (state >> 8) as u8)
}

/// See [`state_at`]: both in one number.
#[inline(always)]
pub fn look<H: Host>(host: &mut H, work: &mut Work, at: u32, before: u32) -> u32 {
    let memory = &work.state.memory;
    // What belongs to an end of data, whole or under way, is known without a mark.
    let [last, other] = memory.end_of_data;
    let known = either::<H>(
        either::<H>(
            under_way::<H>(text::END, last.wrapping_sub(at)),
            under_way::<H>(text::END, other.wrapping_sub(at)),
        ),
        under_way::<H>(memory.text, before),
    );
    let mut state = known as u32 | (text::END as u32) << 8;
    let count = count(memory);
    H::repeat(count, &mut Look { host, work, at, state: &mut state });
    state
}

/// Places that matter, at most.
#[inline(always)]
pub const fn count(memory: &Memory) -> u32 {
    MARKS as u32 + early::count(memory) + memory.boundaries as u32
}

/// A place that matters, the state there, and whether it is the end of an out-of-order range; [`text::END`] where it is not
/// in use.
#[inline(always)]
pub fn place<H: Host>(host: &mut H, work: &Work, index: u32) -> (u32, u8, bool) {
    let memory = &work.state.memory;
    if index < MARKS as u32 {
        let (at, state) = memory.marked(H::opaque(index) as usize);
        return (at, state, false);
    }
    let index = index - MARKS as u32;
    let ranges = early::count(memory);
    if index < ranges {
        let (at, state) = early::end(host, memory, index, work.state.half[CLIENT as usize].next);
        return (at, state, true);
    }
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return (0, text::END, false) };
    let word = list[boundary::<H>(memory, index - ranges)];
    (word as u32, (word >> 32) as u8, false)
}

/// The place in a slot of the pool of the boundary with this number, counted from the first one in use.
#[inline(always)]
fn boundary<H: Host>(memory: &Memory, number: u32) -> usize {
    RANGES + (H::opaque((memory.first_boundary as u32).wrapping_add(number)) as usize & (BOUNDARIES - 1))
}

/// Remembers a place; `false` where there is no room: the segment is held back. What stands in front of a gap leaves some
/// ([`SPARE`]) for what fills it, which is acknowledged first. What is written into the pool lies beyond what is counted
/// there until the segment passes.
#[inline(always)]
pub fn remember<H: Host>(host: &mut H, work: &mut Work, at: u32, state: u8, spare: usize) -> bool {
    host.note_place(work, at, state, spare)
}

/// See [`remember`].
#[inline(always)]
pub fn note<H: Host>(host: &mut H, work: &mut Work, at: u32, state: u8, spare: usize) -> bool {
    if work.state.memory.mark::<H>(at, state, spare) {
        return true;
    }
    if work.state.memory.boundaries as usize + spare >= BOUNDARIES {
        work.hold_back(Reason::Backlog);
        return false;
    }
    if !early::need_slot(host, work) {
        return false;
    }
    let memory = &mut work.state.memory;
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return false };
    list[boundary::<H>(memory, memory.boundaries as u32)] = at as u64 | (state as u64) << 32;
    memory.boundaries += 1;
    true
}

/// The first boundary in the pool may be acknowledged.
struct Forget<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Forget<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let memory = &mut self.work.state.memory;
        let Some(list) = self.host.list(memory.slot.wrapping_sub(1)) else { return true };
        let at = list[boundary::<H>(memory, 0)] as u32;
        if memory.boundaries == 0 || ahead(at, self.work.run.acknowledged) >= 0 {
            return true;
        }
        memory.first_boundary = memory.first_boundary.wrapping_add(1);
        memory.boundaries -= 1;
        false
    }
}

/// Forgets the first boundaries in the pool, as far as they are acknowledged.
#[inline(always)]
pub fn forget_first<H: Host>(host: &mut H, work: &mut Work) {
    let count = work.state.memory.boundaries as u32;
    H::repeat(count, &mut Forget { host, work });
}

impl Memory {
    /// Remembers a place in the entry; `false` where there is no room.
    #[inline(always)]
    fn mark<H: Host>(&mut self, at: u32, state: u8, spare: usize) -> bool {
        let mut free = MARKS as u32;
        let mut i = 0;
        while i < MARKS {
            let unused = 1 ^ H::opaque((self.mark_state[i] / USED) as u32);
            let fits = (unused | same::<H>(self.mark_at[i], at))
                & less::<H>(i as u32 + (spare & (MARKS - 1)) as u32, MARKS as u32);
            free = choose_number::<H>(fits, i as u32, free);
            i += 1;
        }
        if free >= MARKS as u32 {
            return false;
        }
        let free = H::opaque(free) as usize & (MARKS - 1);
        self.mark_at[free] = at;
        self.mark_state[free] = state | USED;
        true
    }

    /// The state at mark `index`, and its place; [`text::END`] where it is not in use.
    #[inline(always)]
    const fn marked(&self, index: usize) -> (u32, u8) {
        let index = index & (MARKS - 1);
        let state = self.mark_state[index];
        (self.mark_at[index], if state & USED != 0 { state & !USED } else { text::END })
    }

    /// Forgets all marks.
    #[inline(always)]
    pub fn forget_marks(&mut self) {
        self.mark_state = [0; MARKS];
        self.boundaries = 0;
    }

    /// Forgets what lies before `acknowledged`.
    #[inline(always)]
    pub fn forget_acknowledged(&mut self, acknowledged: u32) {
        let mut i = 0;
        while i < MARKS {
            let over = ahead(self.mark_at[i], acknowledged) < 0;
            self.mark_state[i] = if over { 0 } else { self.mark_state[i] };
            i += 1;
        }
        let mut i = 0;
        while i < 2 {
            let over = ahead(self.end_of_data[i], acknowledged) <= 0;
            // No unacknowledged text ends there.
            self.end_of_data[i] = if over { acknowledged } else { self.end_of_data[i] };
            i += 1;
        }
    }

    /// Remembers the place behind an end of data.
    #[inline(always)]
    pub fn end_of_data_at(&mut self, at: u32) {
        self.end_of_data[1] = self.end_of_data[0];
        self.end_of_data[0] = at;
    }

    /// Whether an end of data was read there.
    #[inline(always)]
    pub fn is_end_of_data(&self, at: u32) -> bool {
        self.end_of_data[0] == at || self.end_of_data[1] == at
    }
}
