//! The TCP header (RFC 9293 section 3.1).

use super::{Frame, Kind, Segment};
use crate::flow::NO_SCALE;

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
/// Words of options there may be.
const OPTIONS: usize = 40;

/// What is known of a segment of which only the ports were read.
#[inline(always)]
pub(super) fn ports(segment: &mut Segment, source: u16, destination: u16) {
    segment.source_port = source;
    segment.destination_port = destination;
    segment.length = 0;
}

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

/// The window scale option (RFC 7323 section 2.2), or [`NO_SCALE`].
#[inline(always)]
fn scale<F: Frame>(frame: &F, start: u32, length: u32) -> u8 {
    let (mut at, mut found) = (0_u32, NO_SCALE);
    for _ in 0..OPTIONS {
        if at >= length {
            break;
        }
        let Some(kind) = frame.read::<1>(start + at) else { break };
        at += match kind.0[0] {
            0 => break,
            1 => 1,
            kind => {
                let Some(option) = frame.read::<3>(start + at) else { break };
                if option.0[1] < 2 {
                    break;
                }
                if kind == 3 && option.0[1] == 3 && at + 3 <= length {
                    // RFC 7323 section 2.3: more than 14 counts as 14.
                    found = if option.0[2] > 14 { 14 } else { option.0[2] };
                }
                option.0[1] as u32
            }
        };
    }
    found
}
