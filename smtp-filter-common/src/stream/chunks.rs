//! Chunks in flight (RFC 3030 lets a client send BDAT after BDAT without waiting). A slot of the shared pool keeps
//! where each line began and which size it announced, oldest first. Only plain lines announce a chunk, so a line can be
//! rebuilt from the size when a retransmission is compared. The bytes of the chunk itself are not kept.
//!
//! A run of chunks is one region ([`session::Mode::CHUNKS`]). If there is no slot, or it is full, a chunk is a region
//! of its own.

use super::pool;
use crate::{
    bounds::RUN,
    direction::{Client, Direction as _},
    entry::Memory,
    host::{Host, List, Step},
    reason::Reason,
    seq::Seq,
    session,
    stream::in_segment::FORGOTTEN,
    work::Work,
};

/// Low bits of a word: sequence number of the first line. Above it: octets of each chunk in 20 bits, then in 10 bits
/// how many chunks of the same size follow the first one.
const OCTETS: u32 = (1 << 20) - 1;
const MORE: u32 = (1 << 10) - 1;
/// Or: octets in 30 bits, of a single chunk.
const LARGE: u32 = 1 << 30;
/// It is the last chunk of its mail.
const IS_LAST: u32 = 1 << 31;

static BEFORE: [u8; 8] = *b"BDAT \0\0\0";
static AFTER: [u8; 8] = *b" LAST\r\n\0";
static POWER: [u32; 16] = {
    let mut table = [1; 16];
    let mut i = 1;
    while i < 10 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// Lines that are compared in one retransmission. A segment with more waits until its sender splits it.
const LINES: u32 = 256;

/// Consecutive chunks of one size.
#[derive(Clone, Copy)]
struct Chunks {
    start: Seq,
    /// How many follow the first one.
    more: u32,
    said: Said,
}

/// What the BDAT line announces.
#[derive(Clone, Copy)]
struct Said {
    octets: u32,
    /// 5 if it is not the last chunk, so that ` LAST` is missing in the line.
    missing: u32,
    digits: u32,
}

impl Chunks {
    #[inline(always)]
    fn new(word: u64) -> Self {
        let (start, rest) = (word as u32, (word >> 32) as u32);
        let large = rest & LARGE != 0;
        let octets = rest & if large { LARGE - 1 } else { OCTETS };
        let more = if large { 0 } else { rest >> 20 & MORE };
        let mut digits = 1;
        let mut i = 1;
        while i < 9 {
            // 1 if the number has this digit.
            digits += 1 ^ (octets.wrapping_sub(POWER[i]) >> 31);
            i += 1;
        }
        Self { start: Seq(start), more, said: Said { octets, missing: 5 * (1 ^ rest >> 31), digits } }
    }

    /// Bytes of a line and its chunk.
    #[inline(always)]
    const fn whole(self) -> u32 {
        self.said.line() + self.said.octets
    }

    #[inline(always)]
    const fn end(self) -> Seq {
        self.start.plus(self.whole().wrapping_mul(self.more + 1))
    }
}

impl Said {
    /// Bytes of the line.
    #[inline(always)]
    const fn line(self) -> u32 {
        // `BDAT `, the number, ` LAST`, CRLF.
        5 + self.digits + 5 - self.missing + 2
    }

    /// Byte `at` of the line, in upper case.
    #[inline(always)]
    fn byte<H: Host>(self, at: u32) -> u8 {
        let digit = at.wrapping_sub(5);
        if at < 5 {
            return BEFORE[H::opaque(at) as usize & 7];
        }
        if digit < self.digits {
            let power = POWER[H::opaque(self.digits - 1 - digit) as usize & 15];
            let upper = self.octets.checked_div(power).unwrap_or(0);
            return b'0' + (upper % 10) as u8;
        }
        AFTER[H::opaque(digit - self.digits + self.missing) as usize & 7]
    }
}

#[inline(always)]
fn index_of<H: Host>(memory: &Memory, number: u32) -> usize {
    H::opaque((memory.first_chunk as u32).wrapping_add(number)) as usize & (RUN - 1)
}

/// Chunks in flight, word `number` from the oldest on. For the newest word the number of equal chunks is kept in the
/// entry, so that a dropped segment does not change it.
#[inline(always)]
fn chunks<H: Host>(list: &List, memory: &Memory, number: u32) -> Chunks {
    let found = Chunks::new(list[index_of::<H>(memory, number)]);
    let newest = number.wrapping_add(1) == memory.chunks as u32;
    Chunks { more: if newest { memory.equal_chunks as u32 } else { found.more }, ..found }
}

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
        return work.begin_region(session::Mode::CHUNK, at);
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
        use crate::bounds::REGIONS;
        let used = self.regions as usize;
        let last = used.wrapping_sub(1) & (REGIONS - 1);
        let before = used.wrapping_sub(2) & (REGIONS - 1);
        // Acknowledged bytes of the line do not count.
        let alone =
            used > 0 && self.region_kind[last] == session::Mode::COMMAND && !self.region_at[last].is_before(start);
        if !alone {
            return self.begin_region(session::Mode::CHUNKS, start);
        }
        if used > 1 && self.region_kind[before] == session::Mode::CHUNKS {
            self.regions -= 1;
        } else {
            self.region_kind[last] = session::Mode::CHUNKS;
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
    host: core::marker::PhantomData<H>,
}

impl<H: Host> Step for Find<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        self.halve.half::<H>()
    }
}

/// Compares the lines in a retransmission, one per step. The current line is in `stream.ranges`.
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
        let (number, which) = work.stream.ranges.line();
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
            work.stream.ranges.set_line(number, which + 1);
        } else {
            work.stream.ranges.set_line(number + 1, 0);
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
        H::run_steps(length, &mut Line::<H> { work, said: chunks.said, at, host: core::marker::PhantomData });
        self.work.stream.differs != 0
    }
}

/// Compares a byte of a line.
struct Line<'a, H> {
    work: &'a mut Work,
    said: Said,
    /// Offset in the line of the patch's first byte.
    at: u32,
    host: core::marker::PhantomData<H>,
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
pub fn check_retransmitted<H: Host>(host: &mut H, work: &mut Work, from: Seq, to: Seq) -> bool {
    let memory = &work.state.memory;
    let count = memory.chunks as u32;
    if count == 0 {
        // Everything unacknowledged belongs to the current chunk.
        return true;
    }
    let Some(list) = host.list(memory.chunk_slot.wrapping_sub(1)) else {
        work.stream.differs |= FORGOTTEN;
        return false;
    };
    let (mut first, mut last) = (0, count);
    let halve = Halve { list, memory, at: from, from: &mut first, to: &mut last };
    H::run_steps(RUN.ilog2() + 1, &mut Find::<H> { halve, host: core::marker::PhantomData });
    if first >= count {
        return true;
    }
    // The first of the equal chunks that ends after `from`.
    let chunks = chunks::<H>(list, memory, first);
    let into = from.ahead_of(chunks.start);
    let which = if into <= 0 { 0 } else { (into as u32).checked_div(chunks.whole()).unwrap_or(0) };
    work.stream.ranges.set_line(first, which);
    H::run_steps(LINES + 1, &mut Lines { host, work, from, to });
    true
}
