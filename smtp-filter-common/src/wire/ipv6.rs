//! IPv6 with extension headers and fragments (RFC 8200 section 4).

use super::{Frame, Kind, Segment, TCP, tcp};
use crate::{limits::EXTENSION_HEADERS, policy::Policy};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, policy: &Policy, start: u32, segment: &mut Segment) -> Kind {
    let Some(ip) = frame.read::<40>(start) else { return Kind::Other };
    if ip.0[0] >> 4 != 6 {
        return Kind::Other;
    }
    let (mut next, mut offset, mut first_fragment) = (ip.0[6], start + 40, false);
    for _ in 0..EXTENSION_HEADERS {
        if !matches!(
            next,
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6
        ) {
            break;
        }
        let Some(extension) = frame.read::<8>(offset) else {
            // Behind the ports' possible place nothing can be said; a chain that is cut off may hide TCP.
            return Kind::Unreadable;
        };
        let length = match next {
            FRAGMENT => {
                let field = extension.u16::<2>();
                if field & 0xfff8 != 0 {
                    return if extension.0[0] == TCP { Kind::LaterFragment } else { Kind::Other };
                }
                // Offset 0 without more fragments is a whole datagram (RFC 6946).
                first_fragment |= field & 1 != 0;
                8
            }
            // RFC 4302 section 2.2: in 4-octet units, minus 2.
            AUTHENTICATION => (extension.0[1] as u32 + 2) * 4,
            _ => (extension.0[1] as u32 + 1) * 8,
        };
        next = extension.0[0];
        offset += length;
    }
    if next != TCP {
        return match next {
            // The walk ended before the chain did.
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6 => Kind::Unreadable,
            _ => Kind::Other,
        };
    }
    let Some(ports) = frame.read::<4>(offset) else { return Kind::Unreadable };
    let (source, destination) = (ports.u16::<0>(), ports.u16::<2>());
    if !(policy.has_port(source) || policy.has_port(destination)) {
        return Kind::Other;
    }
    if first_fragment {
        tcp::ports(segment, source, destination);
        return Kind::FirstFragment;
    }
    let room = frame.length().wrapping_sub(start);
    let mut total = ip.u16::<4>() as u32 + 40;
    if total == 40 && frame.merged() {
        // BIG TCP (RFC 2675): the length stands in a hop-by-hop option, or nowhere.
        total = room;
    }
    if total > room {
        return Kind::Unreadable;
    }
    let (mut source_address, mut destination_address) = ([0; 16], [0; 16]);
    source_address.copy_from_slice(&ip.0[8..24]);
    destination_address.copy_from_slice(&ip.0[24..40]);
    segment.source = source_address;
    segment.destination = destination_address;
    segment.version = 6;
    tcp::read(frame, offset, start + total, segment)
}
