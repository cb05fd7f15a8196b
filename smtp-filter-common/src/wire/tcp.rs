//! The TCP header (RFC 9293 section 3.1).

use super::{Frame, Kind, Segment};
use crate::{flow::NO_SCALE, host::Step};

/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Sequence numbers are synchronised.
pub const SYN: u8 = 0x02;
/// The connection is reset.
pub const RST: u8 = 0x04;
/// Push.
pub const PSH: u8 = 0x08;
/// The acknowledgement number counts.
pub const ACK: u8 = 0x10;
/// The urgent pointer counts.
pub const URG: u8 = 0x20;

/// The header without options.
const HEADER: u32 = 20;
/// Options there may be: each takes a byte at least.
const OPTIONS: u32 = 40;

/// Reads the header at `start` of a segment that ends at `end`.
#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, start: u32, end: u32, segment: &mut Segment) -> Kind {
    let Some(tcp) = frame.read::<20>(start) else { return Kind::Unreadable };
    let header = ((tcp.0[12] >> 4) as u32) * 4;
    let payload = start + header;
    if header < HEADER || payload > end {
        return Kind::Unreadable;
    }
    segment.source_port = tcp.u16::<0>();
    segment.destination_port = tcp.u16::<2>();
    segment.sequence = tcp.u32::<4>();
    segment.acknowledgement = tcp.u32::<8>();
    segment.flags = tcp.0[13];
    segment.window = tcp.u16::<14>();
    segment.header = start;
    segment.payload = payload;
    segment.length = end - payload;
    segment.scale = NO_SCALE;
    // RFC 9293 section 3.10.7: a receiver takes none of these; what it may make of them is not worth guessing.
    let flags = segment.flags;
    if flags & SYN != 0 && flags & (FIN | RST) != 0 || flags & (SYN | RST | ACK) == 0 {
        return Kind::Unreadable;
    }
    if flags & SYN != 0 {
        segment.scale = scale(frame, start + HEADER, header - HEADER);
    }
    Kind::Segment
}

struct Options<'a, F> {
    frame: &'a F,
    at: &'a mut u32,
    end: u32,
    found: &'a mut u32,
}

impl<F: Frame> Step for Options<'_, F> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let at = *self.at;
        if at >= self.end {
            return true;
        }
        let Some(kind) = self.frame.read::<1>(at) else { return true };
        let kind = kind.0[0];
        if kind == 1 {
            *self.at = at + 1;
            return false;
        }
        if kind == 0 || at + 2 > self.end {
            return true;
        }
        let Some(length) = self.frame.read::<1>(at + 1) else { return true };
        let length = length.0[0] as u32;
        if kind == 3
            && length == 3
            && at + 3 <= self.end
            && let Some(shift) = self.frame.read::<1>(at + 2)
        {
            *self.found = shift.0[0] as u32;
        }
        *self.at = at + length;
        length < 2
    }
}

/// The window scale option (RFC 7323 section 2.2), or [`NO_SCALE`].
#[inline(always)]
fn scale<F: Frame>(frame: &F, start: u32, length: u32) -> u8 {
    let (mut at, mut found) = (start, NO_SCALE as u32);
    F::repeat(OPTIONS, &mut Options { frame, at: &mut at, end: start + length, found: &mut found });
    // RFC 7323 section 2.3: more than 14 counts as 14.
    if found > 14 && found != NO_SCALE as u32 { 14 } else { found as u8 }
}
