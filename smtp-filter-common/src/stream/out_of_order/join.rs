//! A segment in order reaches out-of-order ranges: the gap before one of them may be filled.

use super::{
    ranges::{NEAR, STATE, USED, barred, before, range},
    search::neighbour,
};
use crate::{
    action::Action,
    bounds::ENTRY_RANGES,
    direction::{Client, Direction as _},
    done::{DONE, Done},
    host::{Host, Step},
    reason::Reason,
    session::data::State,
    stream::{
        boundaries,
        in_segment::{Fit, Joined},
    },
    work::Work,
};

/// Checks the ranges in which, or at whose end, the new bytes end.
struct Border<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Border<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (start, end, state) = range(host, &work.state.memory, index);
        let joined = &mut work.stream.joined;
        if state & USED == 0 || !start.is_before(joined.reached) {
            return false;
        }
        if end.is_before(joined.reached) {
            return false;
        }
        // At a range's end, and just before it, the range's state implies the state of the first copy. Elsewhere no end
        // of data may be under way.
        let known = boundaries::under_way::<H>(State(state & STATE), end.since(joined.reached));
        let expected = if known == State::UNKNOWN { State::MIDDLE } else { known };
        joined.fit.0 |= (joined.state != expected.0 as u32) as u32 * Fit::WAITS.0;
        joined.inside |= (end != joined.reached) as u32;
        joined.fit != Fit::FITS
    }
}

/// The gap before a range may be filled.
struct Join<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    /// How many ranges in the pool end before the position.
    in_pool: u32,
}

impl<H: Host> Step for Join<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let (start, end, state) = range(host, &work.state.memory, neighbour(self.in_pool, index));
        let joined = &mut work.stream.joined;
        let joins = state & USED != 0 && !start.is_after(joined.reached) && end.is_after(joined.reached);
        if joins {
            let barred = barred(state);
            joined.barred |= barred;
            if barred != 0 && barred == joined.state && joined.fit == Fit::FITS {
                joined.fit = Fit::ENDS;
            }
            joined.reached = end;
            joined.state = (state & STATE) as u32;
        }
        // At most one range joins, since ranges never touch.
        joins
    }
}

/// Looks for a range that the new bytes reach. `stream.joined` says how far the stream is read then.
#[inline(never)]
pub fn reach<H: Host>(host: &mut H, work: &mut Work) -> Done {
    let (reached, state) = (work.state.side[Client::INDEX].next, work.state.memory.data_state.0 as u32);
    let in_pool = before(host, work, reached);
    work.stream.joined = Joined { reached, state, ..Joined::NONE };
    // All ranges that begin within the bytes that were read.
    H::run_steps(ENTRY_RANGES as u32 + in_pool + 1, &mut Border { host: &mut *host, work: &mut *work });
    H::run_steps(NEAR, &mut Join { host, work, in_pool });
    let reached = work.stream.joined.reached;
    let memory = &mut work.state.memory;
    let mut i = 0;
    while i < ENTRY_RANGES {
        let over = !memory.range_start[i].is_after(reached);
        memory.range_state[i] = if over { 0 } else { memory.range_state[i] };
        i += 1;
    }
    DONE
}

/// The gap before an out-of-order range may be filled now.
#[inline(always)]
pub fn join<H: Host>(host: &mut H, work: &mut Work) {
    let before = work.state.side[Client::INDEX].next;
    reach(host, work);
    let Joined { reached, state: state_there, fit, inside, barred } = work.stream.joined;
    if fit == Fit::ENDS {
        // What comes after the end of data has already passed as mail data.
        work.block_by(Reason::LateEndOfData.number(), Action::Reset as u8, before);
        return;
    }
    if fit != Fit::FITS {
        work.hold_back(Reason::OutOfOrder);
        return;
    }
    let length = reached.since(before);
    if length == 0 {
        return;
    }
    let state = work.state.memory.data_state;
    // A boundary, as at the end of an out-of-order segment. If the new bytes end inside a range, it is no longer known
    // how the range continues from there: it might end the mail data. If a state was barred at the range's start, the
    // state is known now and replaces the bar.
    if (state != State::MIDDLE || (inside | barred) != 0) && !boundaries::remember(host, work, before, state.0, 0) {
        return;
    }
    work.state.side[Client::INDEX].next = reached;
    work.state.side[Client::INDEX].bytes += length as u64;
    work.state.memory.data_state = State(state_there as u8);
}
