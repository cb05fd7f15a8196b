//! Retransmitted BDAT lines have to announce the same chunks as the first time (I4).

use core::marker::PhantomData;

use super::word::{Said, chunks};
use crate::{
    bounds::RUN,
    done::{DONE, Done},
    entry::Memory,
    host::{Host, List, Step},
    seq::Seq,
    stream::in_segment::{ChunkCursor, FORGOTTEN},
    work::Work,
};

/// Lines that are compared in one retransmission. A segment with more waits until its sender splits it.
const LINES: u32 = 256;

/// Binary search for the first word whose chunks end after `at`: it lies in `from..=to`.
struct Halve<'a> {
    list: &'a List,
    memory: &'a Memory,
    at: Seq,
    from: &'a mut u32,
    to: &'a mut u32,
}

impl Halve<'_> {
    #[inline(always)]
    fn half<H: Host>(&mut self) -> bool {
        if *self.from >= *self.to {
            return true;
        }
        let middle = (*self.from + *self.to) / 2;
        if chunks::<H>(self.list, self.memory, middle).end().is_after(self.at) {
            *self.to = middle;
        } else {
            *self.from = middle + 1;
        }
        false
    }
}

struct Find<'a, H> {
    halve: Halve<'a>,
    host: PhantomData<H>,
}

impl<H: Host> Step for Find<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        self.halve.half::<H>()
    }
}

/// Compares the lines in a retransmission, one per step. The current line is in `stream.chunk`.
struct Lines<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    from: Seq,
    to: Seq,
}

impl<H: Host> Step for Lines<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let ChunkCursor { word: number, which } = work.stream.chunk;
        let memory = &work.state.memory;
        let Some(list) = host.list(memory.chunk_slot.wrapping_sub(1)) else {
            work.stream.differs |= FORGOTTEN;
            return true;
        };
        let chunks = chunks::<H>(list, memory, number);
        let start = chunks.start.plus(chunks.whole().wrapping_mul(which));
        if number >= memory.chunks as u32 || !start.is_before(self.to) {
            return true;
        }
        if index >= LINES {
            work.stream.differs |= FORGOTTEN;
            return true;
        }
        if which < chunks.more {
            work.stream.chunk.which = which + 1;
        } else {
            work.stream.chunk = ChunkCursor { word: number + 1, which: 0 };
        }
        let from = start.later(self.from);
        let to = start.plus(chunks.said.line()).earlier(self.to);
        if !to.is_after(from) {
            return false;
        }
        let length = to.since(from);
        if !host.fetch_patch(work.segment.offset_of(from), length, &mut work.old) {
            work.stream.differs |= FORGOTTEN;
            return true;
        }
        let at = from.since(start);
        H::run_steps(length, &mut Line::<H> { work, said: chunks.said, at, host: PhantomData });
        self.work.stream.differs != 0
    }
}

/// Compares a byte of a line.
struct Line<'a, H> {
    work: &'a mut Work,
    said: Said,
    /// Offset in the line of the patch's first byte.
    at: u32,
    host: PhantomData<H>,
}

impl<H: Host> Step for Line<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let work = &mut *self.work;
        let byte = (work.old[(index >> 3) as usize & (work.old.len() - 1)] >> ((index & 7) * 8)) as u8;
        let expected = self.said.byte::<H>(self.at.wrapping_add(index));
        work.stream.differs |= (byte.to_ascii_uppercase() != expected) as u32;
        false
    }
}

/// Checks the retransmitted sequence numbers `from..to`: the BDAT lines have to announce the same as the first time.
#[inline(never)]
pub fn check<H: Host>(host: &mut H, work: &mut Work, from: Seq, to: Seq) -> Done {
    let memory = &work.state.memory;
    let count = memory.chunks as u32;
    if count == 0 {
        // Everything unacknowledged belongs to the current chunk.
        return DONE;
    }
    let Some(list) = host.list(memory.chunk_slot.wrapping_sub(1)) else {
        work.stream.differs |= FORGOTTEN;
        return DONE;
    };
    let (mut first, mut last) = (0, count);
    let halve = Halve { list, memory, at: from, from: &mut first, to: &mut last };
    H::run_steps(RUN.ilog2() + 1, &mut Find::<H> { halve, host: PhantomData });
    if first >= count {
        return DONE;
    }
    // The first of the equal chunks that ends after `from`.
    let chunks = chunks::<H>(list, memory, first);
    let into = from.ahead_of(chunks.start);
    let which = if into <= 0 { 0 } else { (into as u32).checked_div(chunks.whole()).unwrap_or(0) };
    work.stream.chunk = ChunkCursor { word: first, which };
    H::run_steps(LINES + 1, &mut Lines { host, work, from, to });
    DONE
}
