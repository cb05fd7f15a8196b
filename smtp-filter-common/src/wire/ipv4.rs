//! IPv4 with options and fragments (RFC 791 section 3.1).

use super::{
    frame::{Frame, Raw},
    protocol::{TCP, is_ours},
    segment::{FRAME_END, HEADER_SUM, IP_OPTION, Kind, Segment},
};
use crate::{host::step::Step, policy::Policy};

/// The header and, without options, the ports after it: enough to judge most frames.
const LOOK: usize = 24;

#[inline(always)]
pub(super) fn read<F: Frame>(frame: &F, policy: &Policy, offset: u32, segment: &mut Segment) -> Kind {
    let Some(ip) = frame.read::<LOOK>(offset) else {
        // Shorter than header and ports: not a TCP segment, but perhaps a first fragment made that short.
        return match frame.read::<20>(offset) {
            Some(ip) if ip.0[9] == TCP && ip.u16::<6>() & 0x1fff == 0 => {
                begin(segment, offset, &ip);
                Kind::Unreadable
            }
            _ => Kind::Other,
        };
    };
    if ip.0[9] != TCP {
        return Kind::Other;
    }
    let fragment = ip.u16::<6>();
    let header = ((ip.0[0] & 0x0f) as u32) * 4;
    let ports = if header == 20 {
        Some((ip.u16::<20>(), ip.u16::<22>()))
    } else {
        frame.read::<4>(offset + header).map(|ports| (ports.u16::<0>(), ports.u16::<2>()))
    };
    let later = fragment & 0x1fff != 0;
    let broken = ip.0[0] >> 4 != 4 || header < 20;
    let (source, destination) = match ports {
        Some(ports) if !later && !broken => ports,
        _ => {
            begin(segment, offset, &ip);
            return if later { Kind::LaterFragment } else { Kind::Unreadable };
        }
    };
    if !(is_ours::<F>(policy, source) || is_ours::<F>(policy, destination)) {
        return Kind::Other;
    }
    begin(segment, offset, &ip);
    segment.source_port = source;
    segment.destination_port = destination;
    if fragment & 0x2000 != 0 {
        return Kind::FirstFragment;
    }
    let total = ip.u16::<2>() as u32;
    // BIG TCP: the length does not fit its field.
    let end = if total == 0 && frame.merged() { FRAME_END } else { offset + total };
    if end != FRAME_END && total < header + 20 {
        return Kind::Unreadable;
    }
    let Read { sum, others } = add_up(frame, &ip, offset, header);
    // A router or receiver would discard it (RFC 1122 section 3.2.1.2). The stack has already verified merged segments.
    if !frame.merged() && (sum >> 16) + (sum & 0xffff) != 0xffff {
        segment.options = HEADER_SUM;
    }
    if others != 0 {
        segment.options |= IP_OPTION;
    }
    segment.begins(offset + header, end);
    Kind::Segment
}

/// Fills in what the IP header says about a segment; ports and payload are not known yet.
#[inline(always)]
fn begin<const N: usize>(segment: &mut Segment, offset: u32, ip: &Raw<N>) {
    segment.blank(offset, 4);
    segment.hops = ip.0[8];
    segment.source = mapped(ip.0[12], ip.0[13], ip.0[14], ip.0[15]);
    segment.destination = mapped(ip.0[16], ip.0[17], ip.0[18], ip.0[19]);
}

/// RFC 4291 section 2.5.5.2.
#[inline(always)]
const fn mapped(a: u8, b: u8, c: u8, d: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// 32-bit words of the longest options.
const OPTION_WORDS: u32 = 10;

/// In a word of options, the bits that neither NOP (1) nor the end of the list (0) has in any byte.
const OTHERS: u32 = 0xfefe_fefe;

/// Result of reading the whole header.
struct Read {
    /// The sum of its words, not folded.
    sum: u32,
    /// 0 if the options are only padding, or there are none.
    others: u32,
}

struct Options<'a, F> {
    frame: &'a F,
    start: u32,
    end: u32,
    read: &'a mut Read,
}

impl<F: Frame> Step for Options<'_, F> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let at = self.start + index * 4;
        if at >= self.end {
            return true;
        }
        let Some(word) = self.frame.read::<4>(at) else { return true };
        self.read.sum += word.u16::<0>() as u32 + word.u16::<2>() as u32;
        self.read.others |= word.u32::<0>() & OTHERS;
        false
    }
}

/// Sums the header, and checks its options.
#[inline(always)]
fn add_up<F: Frame, const N: usize>(frame: &F, ip: &Raw<N>, offset: u32, header: u32) -> Read {
    let mut read = Read { sum: 0, others: 0 };
    let mut i = 0;
    while i < 20 {
        read.sum += u16::from_be_bytes([ip.0[i], ip.0[i + 1]]) as u32;
        i += 2;
    }
    if header > 20 {
        F::run_steps(OPTION_WORDS, &mut Options { frame, start: offset + 20, end: offset + header, read: &mut read });
    }
    read
}
