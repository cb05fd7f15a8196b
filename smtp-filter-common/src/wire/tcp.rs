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
    segment.piece = frame.piece();
    segment.scale = NO_SCALE;
    // RFC 9293 section 3.10.7: a receiver takes none of these; what it may make of them is not worth guessing.
    let flags = segment.flags;
    if flags & SYN != 0 && flags & (FIN | RST) != 0 || flags & (SYN | RST | ACK) == 0 {
        return Kind::Unreadable;
    }
    if flags & SYN != 0 {
        let options = options(frame, start + HEADER, header - HEADER);
        // RFC 7323 section 2.3: more than 14 counts as 14.
        let above = options.scale > 14 && options.scale != NO_SCALE as u32;
        segment.scale = if above { 14 } else { options.scale as u8 };
        segment.multipath = options.multipath as u8;
    }
    Kind::Segment
}

/// What the options of a SYN say.
struct Options {
    /// Where the walk stands.
    at: u32,
    /// The window scale (RFC 7323 section 2.2), or [`NO_SCALE`].
    scale: u32,
    /// 1: Multipath TCP (RFC 8684 section 3).
    multipath: u32,
}

const NO_OPERATION: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const MULTIPATH: u8 = 30;

struct Walk<'a, F> {
    frame: &'a F,
    options: &'a mut Options,
    end: u32,
}

impl<F: Frame> Step for Walk<'_, F> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let options = &mut *self.options;
        let at = options.at;
        if at >= self.end {
            return true;
        }
        let Some(kind) = self.frame.read::<1>(at) else { return true };
        let kind = kind.0[0];
        if kind == NO_OPERATION {
            options.at = at + 1;
            return false;
        }
        if kind == 0 || at + 2 > self.end {
            return true;
        }
        let Some(length) = self.frame.read::<1>(at + 1) else { return true };
        let length = length.0[0] as u32;
        if kind == WINDOW_SCALE
            && length == 3
            && at + 3 <= self.end
            && let Some(shift) = self.frame.read::<1>(at + 2)
        {
            options.scale = shift.0[0] as u32;
        }
        if kind == MULTIPATH {
            options.multipath = 1;
        }
        options.at = at + length;
        length < 2
    }
}

/// The options of a SYN.
#[inline(always)]
fn options<F: Frame>(frame: &F, start: u32, length: u32) -> Options {
    let mut options = Options { at: start, scale: NO_SCALE as u32, multipath: 0 };
    F::repeat(OPTIONS, &mut Walk { frame, options: &mut options, end: start + length });
    options
}
