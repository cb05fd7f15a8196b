//! The TCP header (RFC 9293 section 3.1).

use super::{
    frame::{Frame, Raw},
    options,
    segment::{FRAME_END, Kind, NO_SCALE, Segment},
};
use crate::seq::Seq;

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
/// The header and the options of most segments: read at once if the frame has so many bytes.
const LOOK: u32 = 32;

/// The header at `start`, and the bytes after it as far as [`LOOK`] and the frame reach.
#[inline(always)]
fn look<F: Frame>(frame: &F, start: u32) -> Option<Raw<{ LOOK as usize }>> {
    if frame.length().wrapping_sub(start) >= LOOK {
        return frame.read(start);
    }
    let header = frame.read::<20>(start)?;
    let mut look = Raw([0; LOOK as usize]);
    let mut i = 0;
    while i < HEADER as usize {
        look.0[i] = header.0[i];
        i += 1;
    }
    Some(look)
}

/// Reads the header of a segment whose start and end are known ([`Segment::begins`]).
#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, segment: &mut Segment) -> Kind {
    let (start, end) = (segment.header, segment.length);
    segment.begins(0, 0);
    let room = frame.length();
    let end = if end == FRAME_END { room } else { end };
    if end > room {
        return Kind::Unreadable;
    }
    let Some(tcp) = look(frame, start) else { return Kind::Unreadable };
    let header = ((tcp.0[12] >> 4) as u32) * 4;
    let payload = start + header;
    if header < HEADER || payload > end {
        return Kind::Unreadable;
    }
    segment.source_port = tcp.u16::<0>();
    segment.destination_port = tcp.u16::<2>();
    segment.sequence = Seq(tcp.u32::<4>());
    segment.acknowledgement = Seq(tcp.u32::<8>());
    segment.flags = tcp.0[13];
    segment.window = tcp.u16::<14>();
    segment.checksum = tcp.u16::<16>();
    segment.header = start;
    segment.payload = payload;
    segment.length = end - payload;
    segment.piece = frame.piece();
    segment.scale = NO_SCALE;
    // RFC 9293 section 3.10.7: a receiver accepts none of these, and what else it does with them is uncertain.
    let flags = segment.flags;
    if flags & SYN != 0 && flags & (FIN | RST) != 0 || flags & (SYN | RST | ACK) == 0 {
        return Kind::Unreadable;
    }
    if header > HEADER && !options::read(frame, &tcp, start + HEADER, payload, segment) {
        return Kind::Unreadable;
    }
    Kind::Segment
}
