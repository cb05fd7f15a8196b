//! IPv4 with options and fragments (RFC 791 section 3.1).

use super::{Frame, Kind, Segment, TCP, is_ours, tcp};
use crate::policy::Policy;

/// The header and, where there are no options, the ports behind it: what most frames are judged by.
const LOOK: usize = 24;

#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, policy: &Policy, offset: u32, segment: &mut Segment) -> Kind {
    let Some(ip) = frame.read::<LOOK>(offset) else {
        // Shorter than header and ports: no TCP segment, but perhaps a first fragment made that short.
        return match frame.read::<20>(offset) {
            Some(ip) if ip.0[9] == TCP && ip.u16::<6>() & 0x1fff == 0 => Kind::Unreadable,
            _ => Kind::Other,
        };
    };
    if ip.0[9] != TCP {
        return Kind::Other;
    }
    let fragment = ip.u16::<6>();
    if fragment & 0x1fff != 0 {
        return Kind::LaterFragment;
    }
    let header = ((ip.0[0] & 0x0f) as u32) * 4;
    if ip.0[0] >> 4 != 4 || header < 20 {
        return Kind::Unreadable;
    }
    let (source, destination) = if header == 20 {
        (ip.u16::<20>(), ip.u16::<22>())
    } else {
        match frame.read::<4>(offset + header) {
            Some(ports) => (ports.u16::<0>(), ports.u16::<2>()),
            None => return Kind::Unreadable,
        }
    };
    if !(is_ours::<F>(policy, source) || is_ours::<F>(policy, destination)) {
        return Kind::Other;
    }
    segment.source = mapped(ip.0[12], ip.0[13], ip.0[14], ip.0[15]);
    segment.destination = mapped(ip.0[16], ip.0[17], ip.0[18], ip.0[19]);
    segment.version = 4;
    segment.network = offset;
    tcp::ports(segment, source, destination);
    if fragment & 0x2000 != 0 {
        return Kind::FirstFragment;
    }
    let room = frame.length().wrapping_sub(offset);
    let mut total = ip.u16::<2>() as u32;
    if total == 0 && frame.merged() {
        // BIG TCP: the length does not fit its field.
        total = room;
    }
    if total > room || total < header + 20 {
        return Kind::Unreadable;
    }
    tcp::read(frame, offset + header, offset + total, segment)
}

/// RFC 4291 section 2.5.5.2.
#[inline(always)]
const fn mapped(a: u8, b: u8, c: u8, d: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
