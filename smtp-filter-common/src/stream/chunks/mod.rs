//! Chunks in flight (RFC 3030 lets a client send BDAT after BDAT without waiting). A slot of the shared pool keeps
//! where each line began and which size it announced, oldest first. Only plain lines announce a chunk, so a line can be
//! rebuilt from the size when a retransmission is compared. The bytes of the chunk itself are not kept.
//!
//! A run of chunks is one region ([`Mode::CHUNKS`]). If there is no slot, or it is full, a chunk is a region
//! of its own.

pub mod retransmitted;
mod word;

use self::word::{Chunks, IS_LAST, LARGE, MORE, OCTETS, chunks, index_of};
use super::pool;
use crate::{
    bounds::{REGIONS, RUN},
    direction::{Client, Direction as _},
    entry::Memory,
    host::{Host, Step},
    reason::Reason,
    seq::Seq,
    session::Mode,
    work::Work,
};

/// A chunk begins at the next byte, after a line that began at `start`. `false` if there is no room to remember that:
/// the segment is held back. Until the segment passes, words written to the pool lie after the counted ones.
#[inline(never)]
pub fn begin<H: Host>(host: &mut H, work: &mut Work, start: Seq, octets: u32, last: bool) -> bool {
    let at = work.segment.sequence_at(work.reading.at);
    let memory = &mut work.state.memory;
    if memory.chunks == 0 && memory.chunk_slot == 0 {
        memory.chunk_slot = pool::take(host, &work.key, pool::CHUNKS);
    }
    let memory = &mut work.state.memory;
    let room = (memory.chunks as usize) < RUN;
    let slot = memory.chunk_slot.wrapping_sub(1);
    let Some(list) = (if room { host.list(slot) } else { None }) else {
        return work.begin_region(Mode::CHUNK, at);
    };
    if !memory.begin_run(start) {
        work.hold_back(Reason::Backlog);
        return false;
    }
    let newest = (memory.chunks as u32).wrapping_sub(1);
    let large = octets > OCTETS;
    let rest = octets | if large { LARGE } else { 0 } | if last { IS_LAST } else { 0 };
    let word = &mut list[index_of::<H>(memory, newest)];
    let alike = memory.equal_chunks as u32;
    if memory.chunks != 0 && memory.of_size == rest && !large && alike < MORE {
        let before = Chunks { more: alike, ..Chunks::new(*word) };
        if before.end() == start {
            memory.equal_chunks += 1;
            return true;
        }
    }
    if memory.chunks != 0 {
        // From now on this word is no longer the newest, so its count moves into the word.
        *word = *word & !((MORE as u64) << 52) | if *word >> 62 & 1 == 0 { (alike as u64) << 52 } else { 0 };
    }
    list[index_of::<H>(memory, memory.chunks as u32)] = start.0 as u64 | (rest as u64) << 32;
    memory.chunks += 1;
    memory.equal_chunks = 0;
    memory.of_size = rest;
    true
}

impl Memory {
    /// The line that began at `start` belongs to a run of chunks.
    #[inline(always)]
    fn begin_run(&mut self, start: Seq) -> bool {
        let used = self.regions as usize;
        let last = used.wrapping_sub(1) & (REGIONS - 1);
        let before = used.wrapping_sub(2) & (REGIONS - 1);
        // Acknowledged bytes of the line do not count.
        let alone = used > 0 && self.region_kind[last] == Mode::COMMAND && !self.region_at[last].is_before(start);
        if !alone {
            return self.begin_region(Mode::CHUNKS, start);
        }
        if used > 1 && self.region_kind[before] == Mode::CHUNKS {
            self.regions -= 1;
        } else {
            self.region_kind[last] = Mode::CHUNKS;
        }
        true
    }
}

struct Forget<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Forget<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let memory = &mut self.work.state.memory;
        let Some(list) = self.host.list(memory.chunk_slot.wrapping_sub(1)) else { return true };
        let end = chunks::<H>(list, memory, 0).end();
        if memory.chunks == 0 || end.is_after(self.work.stream.acknowledged) {
            return true;
        }
        memory.first_chunk = memory.first_chunk.wrapping_add(1);
        memory.chunks -= 1;
        false
    }
}

/// Forgets what is acknowledged. Releases a slot that was no longer needed when the last segment had passed, and checks
/// that a needed slot is still held. A dropped segment does not save the state, so the next one forgets the same again.
#[inline(never)]
pub fn look_after<H: Host>(host: &mut H, work: &mut Work) -> bool {
    let slot = work.state.memory.chunk_slot;
    let count = work.state.memory.chunks as u32;
    if count == 0 {
        pool::release(host, slot, pool::CHUNKS);
        work.state.memory.chunk_slot = 0;
        return true;
    }
    if pool::holds(host, slot, pool::CHUNKS) {
        H::run_steps(count, &mut Forget { host, work });
        return true;
    }
    if work.stream.acknowledged.is_before(work.state.side[Client::INDEX].next) {
        work.hold_back(Reason::Forgotten);
        return false;
    }
    work.state.memory.chunk_slot = 0;
    work.state.memory.chunks = 0;
    true
}

/// A segment that begins within a chunk, or at its end, after a gap. The missing bytes belong to the chunk, so they are
/// no commands and may come in any order: reading continues with this segment. `false` if it begins elsewhere.
#[inline(always)]
pub fn enter_after_gap(work: &mut Work, gap: u32) -> bool {
    if work.state.session.mode != Mode::CHUNK || gap as u64 > work.state.session.chunk {
        return false;
    }
    work.state.side[Client::INDEX].next = work.segment.sequence;
    work.state.memory.missing |= 1;
    work.state.memory.missing_to = work.segment.sequence;
    work.state.side[Client::INDEX].bytes += gap as u64;
    work.state.session.chunk -= gap as u64;
    true
}
