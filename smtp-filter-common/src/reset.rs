//! The RSTs that end a connection (RFC 9293 section 3.10.7, RFC 5961 section 3.2).

use crate::{
    seq::Seq,
    wire::{ACK, RST, Segment},
};

/// The bytes of a segment that is turned into a RST. Offsets count from the frame's first byte.
pub trait Bytes {
    /// `N` bytes; `None` if the frame ends before.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;
    /// Writes bytes; `false` if that was refused.
    fn store<const N: usize>(&mut self, offset: u32, bytes: &[u8; N]) -> bool;
    /// Shortens the frame to a length; `false` if that was refused.
    fn truncate(&mut self, length: u32) -> bool;
}

/// Bytes of a TCP header without options.
const HEADER: u32 = 20;

/// Shortens a segment to its TCP header, after `link` bytes of the link layer. Returns whether its checksum was left to
/// the device: then the field holds the pseudo header's sum.
#[inline(always)]
pub fn shorten<B: Bytes>(bytes: &mut B, link: u32, segment: &Segment) -> Option<bool> {
    let header = link + segment.header;
    let check = bytes.load::<2>(header + 16)?;
    // The length that the stack summed: the one on the wire, which may exceed the IP length field.
    let length = segment.payload - segment.header + segment.length;
    let partial = u16::from_be_bytes(check) == Reset::pseudo(segment, length);
    if bytes.truncate(header + HEADER) { Some(partial) } else { None }
}

/// The header fields of a RST. Addresses as on the wire; numbers in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number: the one that the receiver of the RST expects; with any other it would only send a challenge
    /// ACK.
    pub sequence: Seq,
    /// Acknowledgement number.
    pub acknowledgement: Seq,
    /// Offset of the IP header (after tags in the data).
    pub network: u32,
    /// 4 or 6.
    pub version: u8,
}

impl Reset {
    /// A RST to the sender of a segment, in the name of its receiver.
    #[inline(always)]
    pub const fn to_sender(segment: &Segment) -> Self {
        Self {
            source: segment.destination,
            destination: segment.source,
            source_port: segment.destination_port,
            destination_port: segment.source_port,
            sequence: segment.acknowledgement,
            acknowledgement: segment.end(),
            network: segment.network,
            version: segment.version,
        }
    }

    /// A RST to the receiver of a segment, in the name of its sender, who has sent everything before `next`.
    #[inline(always)]
    pub const fn to_receiver(segment: &Segment, next: Seq) -> Self {
        Self {
            source: segment.source,
            destination: segment.destination,
            source_port: segment.source_port,
            destination_port: segment.destination_port,
            sequence: next,
            acknowledgement: segment.acknowledgement,
            network: segment.network,
            version: segment.version,
        }
    }

    /// Writes the RST over the shortened segment, whose TCP header is at `header` after `link` bytes of the link layer;
    /// `false` if a write was refused.
    #[inline(always)]
    pub fn write<B: Bytes>(&self, bytes: &mut B, link: u32, header: u32, partial: bool) -> bool {
        let network = link + self.network;
        let written = if self.version == 4 {
            let Some(first) = bytes.load::<12>(network) else { return false };
            let old = u16::from_be_bytes([first[10], first[11]]);
            let length = (header - self.network + HEADER) as u16;
            let was = u16::from_be_bytes([first[2], first[3]]);
            let check = Self::adjust(old, was, length).to_be_bytes();
            bytes.store(network + 2, &length.to_be_bytes())
                && bytes.store(network + 10, &check)
                && bytes.store(network + 12, &self.addresses4())
        } else {
            let length = (header - self.network - 40 + HEADER) as u16;
            bytes.store(network + 4, &length.to_be_bytes())
                && bytes.store(network + 8, &self.source)
                && bytes.store(network + 24, &self.destination)
        };
        written && bytes.store(link + header, &self.header(partial))
    }

    /// IPv4 source and destination.
    #[inline(always)]
    const fn addresses4(&self) -> [u8; 8] {
        let (s, d) = (&self.source, &self.destination);
        [s[12], s[13], s[14], s[15], d[12], d[13], d[14], d[15]]
    }

    /// The TCP header with its checksum, or with the pseudo header's sum alone if the device completes it.
    #[inline(always)]
    pub const fn header(&self, partial: bool) -> [u8; 20] {
        let (s, d) = (self.source_port.to_be_bytes(), self.destination_port.to_be_bytes());
        let (q, a) = (self.sequence.to_be_bytes(), self.acknowledgement.to_be_bytes());
        let flags = RST | ACK;
        let pseudo = sum_pseudo(&self.source, &self.destination, self.version, 20);
        let check = if partial {
            fold(pseudo)
        } else {
            let ports = self.source_port as u32 + self.destination_port as u32;
            let numbers = (self.sequence.0 >> 16) + (self.sequence.0 & 0xffff);
            let numbers = numbers + (self.acknowledgement.0 >> 16) + (self.acknowledgement.0 & 0xffff);
            !fold(pseudo + ports + numbers + 0x5000 + flags as u32)
        };
        let c = check.to_be_bytes();
        [s[0], s[1], d[0], d[1], q[0], q[1], q[2], q[3], a[0], a[1], a[2], a[3], 0x50, flags, 0, 0, c[0], c[1], 0, 0]
    }

    /// The folded sum of a segment's pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
    #[inline(always)]
    pub const fn pseudo(segment: &Segment, length: u32) -> u16 {
        fold(sum_pseudo(&segment.source, &segment.destination, segment.version, length))
    }

    /// A header checksum after one 16-bit field changed (RFC 1624 section 3).
    #[inline(always)]
    pub const fn adjust(check: u16, was: u16, becomes: u16) -> u16 {
        !fold(!check as u32 + !was as u32 + becomes as u32)
    }
}

const fn fold(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[inline(always)]
const fn sum_pseudo(source: &[u8; 16], destination: &[u8; 16], version: u8, length: u32) -> u32 {
    // The prefix ::ffff: of an IPv4 address is not part of the pseudo header.
    let mut i = if version == 4 { 12 } else { 0 };
    let mut sum = 6 + (length >> 16) + (length & 0xffff);
    while i < 16 {
        sum += (source[i] as u32) << 8 | source[i + 1] as u32;
        sum += (destination[i] as u32) << 8 | destination[i + 1] as u32;
        i += 2;
    }
    sum
}
