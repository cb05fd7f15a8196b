//! Boundaries: positions in unacknowledged mail data where a receiver may switch from one copy to another, with the
//! scanner's state there. A retransmission has to agree with them. Otherwise bytes of the first copy and of the
//! retransmission could form an end of data that was never read, or break one that was.
//!
//! A position is remembered only if the bytes before it matter: an end of data may be under way there, or the bytes
//! that follow could complete one. A boundary is never forgotten before its bytes are acknowledged. If there is no room
//! for one more, neither in the entry nor in the pool, the segment waits.

mod entry;
pub mod lookup;

use super::sorted;
use crate::{
    bounds::POOL_BOUNDARIES,
    branchless::{choose, same},
    host::Host,
    reason::Reason,
    seq::Seq,
    session::data::{self, State},
    work::Work,
};

/// Beside a state: it is not known which state there is, but that it is not this one ([`bar`]).
const BARRED: u8 = 8;

/// What is remembered of a position whose state is not known, and must not be this one.
#[inline(always)]
pub const fn bar(state: State) -> u8 {
    state.0 | BARRED
}

/// 1 if a state that a retransmission has (`here`, or [`State::UNKNOWN`] if that cannot be said) contradicts what is
/// remembered of the position, else 0.
#[inline(always)]
pub fn differs<H: Host>(here: State, remembered: u8) -> u32 {
    let is_bar = (remembered / BARRED) as u32;
    let alike = same::<H>(here.0 as u32, (remembered & !BARRED) as u32);
    let unclear = same::<H>(here.0 as u32, State::UNKNOWN.0 as u32);
    H::opaque(alike ^ is_bar ^ 1) | unclear
}

/// Boundaries reserved for segments in order.
pub const SPARE: usize = 4;

/// Whether a position is to be remembered, by the state there and the next four bytes (`short`: there are fewer).
#[inline(always)]
pub const fn matters(state: State, first: u32, short: bool) -> bool {
    state.0 != State::MIDDLE.0 || short || data::may_end(first)
}

/// The state so many bytes before a position with this state; [`State::UNKNOWN`] if it cannot be derived.
#[inline(always)]
pub fn under_way<H: Host>(state: State, bytes: u32) -> State {
    // Each of these states can only be reached from the one before it.
    const _: () = {
        assert!(State::CR.0 == 1 && State::LINE.0 == 2 && State::DOT.0 == 3);
        assert!(State::DOT_CR.0 == 4 && State::END.0 == 5);
    };
    let fewer = H::opaque(((bytes as u64).wrapping_sub(state.0 as u64) >> 63) as u32);
    State(choose::<H>(fewer | same::<H>(bytes, 0), state.0.wrapping_sub(bytes as u8), State::UNKNOWN.0))
}

/// Shift of the state in a boundary's word.
const STATE: u32 = 59;

/// Remembers a boundary: the number of a state, or a [`bar`]. `false` if there is no room: the segment is held back. A
/// segment after a gap leaves [`SPARE`] boundaries for the segments that fill it, which are acknowledged first. Until
/// the segment passes, words written to the pool lie after the counted ones.
#[inline(always)]
pub fn remember<H: Host>(host: &mut H, work: &mut Work, at: Seq, state: u8, spare: usize) -> bool {
    host.note_boundary(work, at, state, spare)
}

/// Remembers the boundary at offset `at` if it matters; `false` if there is no room.
#[inline(always)]
pub fn remember_if_it_matters<H: Host>(host: &mut H, work: &mut Work, at: u32, state: State, spare: usize) -> bool {
    let left = work.segment.length.wrapping_sub(at);
    let short = left < 4;
    work.piece[1] = 0;
    if !short && !host.fetch(at, 4, &mut work.piece) {
        work.hold_back(Reason::Unfetched);
        return false;
    }
    let position = work.segment.sequence_at(at);
    !matters(state, work.piece[1] as u32, short) || remember(host, work, position, state.0, spare)
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
    if !sorted::need_slot(host, work) {
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

/// The state after the first `count` (less than four) of these bytes. [`State::UNKNOWN`] if it depends on the bytes
/// before them and those are not known.
#[inline(always)]
pub const fn after_few(before: State, bytes: u32, count: u32) -> State {
    const fn word(bytes: [u8; 4]) -> u32 {
        u32::from_le_bytes(bytes)
    }
    let last = (bytes >> ((count * 8).wrapping_sub(8) & 31)) as u8;
    let plain = !matches!(last, b'\r' | b'\n' | b'.');
    let prefix = match before {
        State::MIDDLE => word(*b"aaaa"),
        State::CR => word(*b"aaa\r"),
        State::LINE => word(*b"aa\r\n"),
        State::DOT => word(*b"a\r\n."),
        State::DOT_CR => word(*b"\r\n.\r"),
        _ => return if plain { State::MIDDLE } else { State::UNKNOWN },
    };
    data::state_after((prefix >> ((count * 8) & 31)) | (bytes << (32_u32.wrapping_sub(count * 8) & 31)))
}
