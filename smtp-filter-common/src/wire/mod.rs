//! From a frame to the facts of a TCP segment. Frames that are not for the policy's ports leave here, after one look.

mod frame;
mod ipv4;
mod ipv6;
mod options;
mod protocol;
mod segment;
mod tcp;
mod vlan;

use self::protocol::{IPV4, IPV6};
pub use self::{
    frame::{Frame, Raw},
    options::{AUTHENTICATION, TIMESTAMP},
    segment::{HEADER_SUM, IP_OPTION, Kind, NO_SCALE, Segment},
    tcp::{ACK, FIN, PSH, RST, SYN, URG},
    vlan::is_tag,
};
use crate::policy::Policy;

/// Reads a frame's headers into `segment`.
#[inline(always)]
pub fn read<F: Frame>(frame: &F, policy: &Policy, segment: &mut Segment) -> Kind {
    match network(frame, policy, segment) {
        Kind::Segment => transport(frame, segment),
        other => other,
    }
}

/// Reads the TCP header, after [`network`] has found [`Kind::Segment`].
#[inline(always)]
pub fn transport<F: Frame>(frame: &F, segment: &mut Segment) -> Kind {
    tcp::read(frame, segment)
}

/// Reads everything before the TCP header, and the ports. With [`Kind::Segment`] there is a TCP header, which
/// [`transport`] reads.
#[inline(always)]
pub fn network<F: Frame>(frame: &F, policy: &Policy, segment: &mut Segment) -> Kind {
    let (protocol, offset) = vlan::skip(frame);
    match protocol {
        IPV4 => ipv4::read(frame, policy, offset, segment),
        IPV6 => ipv6::read(frame, policy, offset, segment),
        // Linux removes any number of priority tags: after more than are walked here there may be a segment for the
        // ports.
        tag if is_tag(tag) => {
            segment.forget(offset);
            Kind::Unreadable
        }
        _ => Kind::Other,
    }
}
