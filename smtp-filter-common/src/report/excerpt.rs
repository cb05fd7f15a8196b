//! The excerpt in an event: which bytes of the segment it shows.

use crate::{
    bounds::EXCERPT,
    branchless::present,
    event::{ARG_WITHHELD, CLIENT, EXCERPT_MORE, Event},
    host::Host,
    work::Work,
};

/// Copies the segment's payload from offset `at` on into the current event, as far as it fits.
#[inline(always)]
pub fn offending<H: Host>(host: &mut H, work: &mut Work, at: u32) {
    let left = work.segment.length.wrapping_sub(at);
    work.event.excerpt_length = 0;
    if left == 0 || left > work.segment.length {
        return;
    }
    let (length, more) = if left > EXCERPT as u32 { (EXCERPT as u32, EXCERPT_MORE) } else { (left, 0) };
    work.reading.piece_length = 0;
    let mut i = 1;
    while i <= EXCERPT / 8 {
        work.piece[i] = 0;
        i += 1;
    }
    if !host.fetch(at, length, &mut work.piece) {
        return;
    }
    let mut i = 0;
    while i < EXCERPT / 8 {
        let bytes = work.piece[1 + i].to_le_bytes();
        let mut k = 0;
        while k < 8 {
            work.event.excerpt[i * 8 + k] = bytes[k];
            k += 1;
        }
        i += 1;
    }
    work.event.excerpt_length = length as u8 | more;
}

/// Removes the excerpt from the current event. No command was read from these bytes, so they may be an address or
/// credentials (I6).
#[inline(always)]
pub const fn hide(work: &mut Work) {
    work.event.excerpt = [0; EXCERPT];
    work.event.excerpt_length = 0;
}

/// Removes from the current event's excerpt everything of the blocked line that is withheld: all but its verb.
#[inline(always)]
pub fn withhold<H: Host>(work: &mut Work) {
    let Work { state, event, block, segment, .. } = work;
    let line = &state.line[CLIENT as usize];
    if block.of_command == 0 || event.arg_flags & ARG_WITHHELD == 0 {
        return;
    }
    // The line may have begun in an earlier segment.
    let here = segment.offset_of(line.start) < segment.length;
    let shown = if here { line.head + event.verb_length as u32 } else { 0 };
    let kept = (event.excerpt_length & !EXCERPT_MORE) as u32;
    let shown = if shown < kept { shown } else { kept };
    let mut i = 0;
    while i < EXCERPT {
        event.excerpt[i] &= present::<H>(shown.wrapping_sub(i as u32)) as u8;
        i += 1;
    }
    event.excerpt_length = shown as u8 | EXCERPT_MORE;
}

impl Event {
    /// Bytes in the event's excerpt.
    pub const fn excerpt_bytes(&self) -> usize {
        let length = (self.excerpt_length & !EXCERPT_MORE) as usize;
        if length > EXCERPT { EXCERPT } else { length }
    }
}
