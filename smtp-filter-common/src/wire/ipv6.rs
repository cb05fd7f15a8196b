//! IPv6 with extension headers and fragments (RFC 8200 section 4).

use super::{
    frame::{Frame, Raw},
    protocol::{TCP, is_ours},
    segment::{FRAME_END, IP_OPTION, Kind, Segment},
};
use crate::{bounds::EXTENSION_HEADERS, host::step::Step, policy::Policy};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6)
}

/// How the walk along the chain ended: it has not.
const OPEN: u32 = 0;
/// At a header that is no extension.
const UPPER: u32 = 1;
/// At the end of the frame.
const CUT_OFF: u32 = 2;
/// At a fragment that is not the first one.
const LATER_FRAGMENT: u32 = 3;

/// PadN of four bytes, which fills a header of options.
const PAD: u32 = 0x0104_0000;
/// The jumbo option, and its length (RFC 2675).
const JUMBO: u16 = 0xc204;

struct Chain {
    next: u32,
    offset: u32,
    end: u32,
    first_fragment: u32,
    /// 1 after a fragment header.
    fragmented: u32,
    /// 0 if a receiver accepts every header of the chain.
    odd: u32,
}

struct Walk<'a, F> {
    frame: &'a F,
    chain: &'a mut Chain,
}

impl<F: Frame> Step for Walk<'_, F> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let chain = &mut *self.chain;
        let next = chain.next as u8;
        if !is_extension(next) {
            chain.end = UPPER;
            return true;
        }
        let Some(extension) = self.frame.read::<8>(chain.offset) else {
            chain.end = CUT_OFF;
            return true;
        };
        let padding = extension.u32::<2>() ^ PAD | extension.u16::<6>() as u32 | extension.0[1] as u32;
        chain.odd |= match next {
            // Linux discards a datagram with two, atomic or not.
            FRAGMENT => chain.fragmented,
            DESTINATION => padding,
            // Refused anywhere else. A segment merged beyond 64 KiB has one for its length, but never on the wire.
            HOP_BY_HOP if index == 0 && self.frame.merged() => {
                (extension.u16::<2>() ^ JUMBO) as u32 | extension.0[1] as u32
            }
            HOP_BY_HOP if index == 0 => padding,
            _ => 1,
        };
        chain.fragmented |= (next == FRAGMENT) as u32;
        chain.next = extension.0[0] as u32;
        chain.offset += match next {
            FRAGMENT => {
                let field = extension.u16::<2>();
                if field & 0xfff8 != 0 {
                    chain.end = LATER_FRAGMENT;
                    return true;
                }
                // Offset 0 without more fragments is a whole datagram (RFC 6946).
                chain.first_fragment |= (field & 1) as u32;
                8
            }
            _ => {
                // RFC 4302 section 2.2: in 4-octet units, minus 2; all others in 8-octet units, minus 1.
                let differs = (next ^ AUTHENTICATION) as u32;
                let shorter = 1 ^ F::opaque(F::opaque(differs.wrapping_neg()) >> 31);
                (extension.0[1] as u32 + 1 + shorter) << (3 - shorter)
            }
        };
        false
    }
}

#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, policy: &Policy, start: u32, segment: &mut Segment) -> Kind {
    let Some(ip) = frame.read::<40>(start) else { return Kind::Other };
    if ip.0[0] >> 4 != 6 {
        return Kind::Other;
    }
    let mut chain =
        Chain { next: ip.0[6] as u32, offset: start + 40, end: OPEN, first_fragment: 0, fragmented: 0, odd: 0 };
    if is_extension(ip.0[6]) {
        F::run_steps(EXTENSION_HEADERS as u32 + 1, &mut Walk { frame, chain: &mut chain });
    } else {
        chain.end = UPPER;
    }
    let ports = match chain.end {
        UPPER if chain.next != TCP as u32 => return Kind::Other,
        UPPER => frame.read::<4>(chain.offset),
        LATER_FRAGMENT if chain.next != TCP as u32 => return Kind::Other,
        // Cut off, or longer than is walked: TCP may follow.
        _ => None,
    };
    let Some(ports) = ports else {
        begin(segment, start, &ip);
        return if chain.end == LATER_FRAGMENT { Kind::LaterFragment } else { Kind::Unreadable };
    };
    let (offset, first_fragment) = (chain.offset, chain.first_fragment != 0);
    let (source, destination) = (ports.u16::<0>(), ports.u16::<2>());
    if !(is_ours::<F>(policy, source) || is_ours::<F>(policy, destination)) {
        return Kind::Other;
    }
    begin(segment, start, &ip);
    segment.source_port = source;
    segment.destination_port = destination;
    if chain.odd != 0 {
        segment.options = IP_OPTION;
    }
    if first_fragment {
        return Kind::FirstFragment;
    }
    let total = ip.u16::<4>() as u32 + 40;
    // BIG TCP (RFC 2675): the length is in a hop-by-hop option, or nowhere.
    let end = if total == 40 && frame.merged() { FRAME_END } else { start + total };
    segment.begins(offset, end);
    Kind::Segment
}

/// Fills in what the IP header says about a segment; ports and payload are not known yet.
#[inline(always)]
fn begin(segment: &mut Segment, offset: u32, ip: &Raw<40>) {
    segment.blank(offset, 6);
    segment.hops = ip.0[7];
    let (mut source, mut destination) = ([0; 16], [0; 16]);
    source.copy_from_slice(&ip.0[8..24]);
    destination.copy_from_slice(&ip.0[24..40]);
    segment.source = source;
    segment.destination = destination;
}
