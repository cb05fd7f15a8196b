//! The facts of a segment, and what a frame is.

use crate::seq::Seq;

/// What a frame is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not TCP, or neither port is one of the policy's.
    Other,
    /// A later fragment of an IP datagram: never reassembled without the first one.
    LaterFragment,
    /// The first fragment of an IP datagram, to or from the ports or without readable ports.
    FirstFragment,
    /// To or from the ports, or TCP with unknown ports, and its headers cannot be read; or more tags than are walked.
    Unreadable,
    /// A segment whose headers were read.
    Segment,
}

impl Kind {
    /// The kind with this number.
    #[inline(always)]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Other,
            1 => Self::LaterFragment,
            2 => Self::FirstFragment,
            4 => Self::Segment,
            _ => Self::Unreadable,
        }
    }
}

/// The facts of a segment. Numbers in host byte order; addresses as on the wire, IPv4 as ::ffff:a.b.c.d.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Offset of the IP header, after tags in the data.
    pub network: u32,
    /// Offset of the TCP header.
    pub header: u32,
    /// Offset of the payload.
    pub payload: u32,
    /// Bytes of payload, without padding after the IP length.
    pub length: u32,
    /// Sequence number.
    pub sequence: Seq,
    /// Acknowledgement number.
    pub acknowledgement: Seq,
    /// Window, not scaled.
    pub window: u16,
    /// [`super::SYN`] and the others.
    pub flags: u8,
    /// Window scale option of a SYN; [`NO_SCALE`] if there is none.
    pub scale: u8,
    /// 4 or 6.
    pub version: u8,
    /// 1: a SYN with the Multipath TCP option.
    pub multipath: u8,
    /// Bytes of payload in each segment from which this one was merged; 0: it was not merged.
    pub piece: u16,
    /// The sender's timestamp, and the one that it echoes, if `options` says so.
    pub stamp: Seq,
    /// See `stamp`.
    pub echo: Seq,
    /// Checksum in the TCP header.
    pub checksum: u16,
    /// [`super::TIMESTAMP`], [`super::AUTHENTICATION`], [`HEADER_SUM`] and [`IP_OPTION`].
    pub options: u8,
    /// Hops that the datagram has left.
    pub hops: u8,
}

impl Segment {
    /// An empty one, to be filled in.
    pub const EMPTY: Self = Self {
        source: [0; 16],
        destination: [0; 16],
        source_port: 0,
        destination_port: 0,
        network: 0,
        header: 0,
        payload: 0,
        length: 0,
        sequence: Seq(0),
        acknowledgement: Seq(0),
        window: 0,
        flags: 0,
        scale: NO_SCALE,
        version: 0,
        multipath: 0,
        piece: 0,
        stamp: Seq(0),
        echo: Seq(0),
        checksum: 0,
        options: 0,
        hops: 0,
    };

    /// Clears everything but the addresses, for a new segment.
    #[inline(always)]
    pub(super) fn blank(&mut self, network: u32, version: u8) {
        self.source_port = 0;
        self.destination_port = 0;
        self.network = network;
        self.header = 0;
        self.payload = 0;
        self.length = 0;
        self.sequence = Seq(0);
        self.acknowledgement = Seq(0);
        self.window = 0;
        self.flags = 0;
        self.scale = NO_SCALE;
        self.version = version;
        self.multipath = 0;
        self.piece = 0;
        self.stamp = Seq(0);
        self.echo = Seq(0);
        self.checksum = 0;
        self.options = 0;
        self.hops = 0;
    }

    /// Sets where the TCP header begins and where the segment ends, according to the IP header, or [`FRAME_END`].
    /// [`super::transport`] does the rest.
    #[inline(always)]
    pub(super) const fn begins(&mut self, header: u32, end: u32) {
        self.header = header;
        self.length = end;
    }

    /// Clears everything, addresses included.
    #[inline(always)]
    pub(super) fn forget(&mut self, network: u32) {
        self.blank(network, 0);
        self.source = [0; 16];
        self.destination = [0; 16];
    }

    /// Whether any of these flags is set.
    #[inline(always)]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Sequence number after the payload.
    #[inline(always)]
    pub const fn end(&self) -> Seq {
        self.sequence.plus(self.length)
    }

    /// Sequence number of the payload's byte at this offset.
    #[inline(always)]
    pub const fn sequence_at(&self, offset: u32) -> Seq {
        self.sequence.plus(offset)
    }

    /// Offset in the payload of the byte with this sequence number. One before the segment wraps to a value far beyond
    /// every payload.
    #[inline(always)]
    pub const fn offset_of(&self, sequence: Seq) -> u32 {
        sequence.since(self.sequence)
    }
}

/// `Segment::options`: the checksum of the IPv4 header is wrong.
pub const HEADER_SUM: u8 = 4;

/// `Segment::options`: IPv4 options or IPv6 extension headers that a receiver, or a router on the way, may refuse: all
/// but padding (NOP and the end of the list; one PadN that fills its header) and a fragment header around a whole
/// datagram, which translators add (RFC 6145 section 4).
pub const IP_OPTION: u8 = 8;

/// `Segment::scale`: a SYN without a window scale option.
pub const NO_SCALE: u8 = 0xff;

/// Instead of an end according to the IP header: the segment ends with its frame, because its length does not fit the
/// header's field.
pub(super) const FRAME_END: u32 = u32::MAX;
