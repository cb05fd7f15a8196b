//! Looking up what is known of positions in mail data: boundaries, and the ends of out-of-order ranges.

use super::{BARRED, STATE, under_way};
use crate::{
    bounds::{ENTRY_BOUNDARIES, ENTRY_RANGES},
    branchless::{choose, same},
    direction::{Client, Direction as _},
    host::{Host, Step},
    seq::Seq,
    session::{Mode, data::State},
    stream::{in_segment::Listed, out_of_order::ranges, sorted},
    work::Work,
};

/// Items in the entry: boundaries, then ends of out-of-order ranges.
const ENTRY: u32 = (ENTRY_BOUNDARIES + ENTRY_RANGES) as u32;

/// Finds the items at positions `from..to`. Returns how many indices are to be given to [`listed`]; those of the entry
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

/// Position, state or bar, and whether it is the end of an out-of-order range, of item `index` among those that
/// [`find`] found. The state is [`State::UNKNOWN`] if the item is not in use.
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
        let (at, state) = ranges::end(host, memory, number);
        return (at, state.0, true);
    }
    let number = index - ENTRY_RANGES as u32 - ranges + boundary;
    let Some(list) = host.list(memory.slot.wrapping_sub(1)) else { return (Seq(0), State::UNKNOWN.0, false) };
    let word = list[memory.sorted_boundaries().index::<H>(number)];
    (Seq(word as u32), (word >> STATE) as u8, false)
}

/// The one of the two that is known.
#[inline(always)]
fn either<H: Host>(one: State, other: State) -> State {
    State(choose::<H>(same::<H>(one.0 as u32, State::UNKNOWN.0 as u32), other.0, one.0))
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
        if *self.state as u8 != State::UNKNOWN.0 {
            return true;
        }
        let (place, state, is_end) = listed(self.host, self.work, index);
        // A bar says too little.
        let state = State(choose::<H>((state / BARRED) as u32, State::UNKNOWN.0, state));
        let before = place.since(self.at);
        let under_way = under_way::<H>(state, before);
        // A boundary says for certain only what the state at its own position is; the end of a range also what it is
        // just before.
        let known = choose::<H>(is_end as u32 | same::<H>(before, 0), under_way.0, State::UNKNOWN.0);
        if state != State::UNKNOWN && known != State::UNKNOWN.0 {
            *self.state = known as u32;
        } else if state != State::UNKNOWN && under_way != State::UNKNOWN {
            *self.state = State::UNKNOWN.0 as u32 | (under_way.0 as u32) << 8;
        }
        false
    }
}

/// The state at a position, `before` bytes before the end of what was read; [`State::UNKNOWN`] if it is not known. Then
/// the second value is the state that the first copy had there, as far as boundaries after it imply it, or
/// [`State::UNKNOWN`].
#[inline(always)]
pub fn state_at<H: Host>(host: &mut H, work: &mut Work, at: Seq, before: u32) -> (State, State) {
    // The longest way to an end of data says nothing of boundaries further back.
    //
    // verifier: one function after the other, for the stack of Linux 6.1 has no room for one below the other.
    host.list_boundaries(work, at, at.plus(State::END.0 as u32));
    let state = host.look_at_boundary(work, at, before);
    (State(state as u8), State((state >> 8) as u8))
}

/// See [`state_at`]; both states in one number. What is to be looked at has been found before ([`find`]).
#[inline(always)]
pub fn look<H: Host>(host: &mut H, work: &mut Work, at: Seq, before: u32) -> u32 {
    let memory = &work.state.memory;
    // What belongs to an end of data, complete or under way, is known without a boundary.
    let [last, other] = memory.end_of_data;
    let known = either::<H>(
        either::<H>(under_way::<H>(State::END, last.since(at)), under_way::<H>(State::END, other.since(at))),
        under_way::<H>(memory.data_state, before),
    );
    let mut state = known.0 as u32 | (State::UNKNOWN.0 as u32) << 8;
    let count = work.stream.listed.count;
    H::run_steps(count, &mut Look { host, work, at, state: &mut state });
    state
}

/// The state at a position in mail data: see [`state_at`].
#[inline(always)]
pub fn state_of<H: Host>(host: &mut H, work: &mut Work, at: Seq) -> (State, State) {
    // After mail data has ended, no end of data is under way.
    let is_text = work.state.session.mode == Mode::MAIL_DATA;
    let before = if is_text { work.state.side[Client::INDEX].next.since(at) } else { u32::MAX };
    state_at(host, work, at, before)
}
