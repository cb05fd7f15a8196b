//! The PROXY protocol: a header that a load balancer sends before the client's dialogue, and that no server replies to.
//!
//! Version 1 is a line, which the guard passes or refuses. Version 2 is binary. A server that does not speak it reads
//! commands where others skip addresses, so it is always refused.

use crate::{
    direction::{Client, Direction as _},
    host::{Host, Step, byte},
    work::Work,
};

/// What version 2 begins with.
const SIGNATURE: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\0\0\0\0";
/// Bytes of the signature.
const LENGTH: u32 = 12;

/// Counts how many of the client's first bytes match the signature.
struct Compare<'a> {
    work: &'a mut Work,
    /// Offset in the piece.
    from: u32,
    /// Bytes before these in the client's stream.
    before: u32,
}

impl Step for Compare<'_> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let at = self.before.wrapping_add(index);
        if index >= self.work.reading.loop_read || at >= LENGTH {
            return true;
        }
        let same = byte(&self.work.piece, self.from.wrapping_add(index)) == SIGNATURE[at as usize & 15];
        let goes_on = same && self.work.state.session.signature as u32 == at;
        self.work.state.session.signature += goes_on as u8;
        !goes_on
    }
}

/// Checks the last `reading.loop_read` bytes, which begin at offset `from` of the piece. Returns whether they complete
/// the signature of version 2 at the start of the client's stream.
#[inline(never)]
pub fn is_signed<H: Host>(work: &mut Work, from: u32) -> bool {
    let first = work.segment.sequence_at(work.reading.at).minus(work.reading.loop_read);
    let before = first.since(work.state.side[Client::INDEX].isn.plus(1));
    if before >= LENGTH || work.state.session.signature as u32 != before {
        return false;
    }
    H::run_steps(LENGTH, &mut Compare { work, from, before });
    work.state.session.signature as u32 == LENGTH
}
