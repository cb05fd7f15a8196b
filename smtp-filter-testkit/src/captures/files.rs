//! Capture files of both formats, written as their specifications say.

use super::Frame;

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// The least significant byte comes first.
    Little,
    /// The most significant byte comes first.
    Big,
}

impl Endian {
    /// A number of two bytes.
    pub fn u16(self, number: u16) -> [u8; 2] {
        if self == Self::Big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// A number of four bytes.
    pub fn u32(self, number: u32) -> [u8; 4] {
        if self == Self::Big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// A number of eight bytes.
    pub fn u64(self, number: u64) -> [u8; 8] {
        if self == Self::Big { number.to_be_bytes() } else { number.to_le_bytes() }
    }
}

/// Link types by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet II.
    Ethernet = 1,
    /// IP, version 4 or 6, without a header before it.
    Raw = 101,
    /// The same by the number that some BSDs use.
    RawBsd = 12,
    /// IPv4 alone.
    Ipv4 = 228,
    /// The loopback of BSD, in the file's byte order.
    Null = 0,
    /// The loopback of OpenBSD, in network byte order.
    Loop = 108,
    /// Linux, any interface.
    Cooked = 113,
    /// Linux, any interface, the second version.
    Cooked2 = 276,
}

impl LinkType {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Ethernet, Self::Raw, Self::RawBsd, Self::Ipv4, Self::Null, Self::Loop, Self::Cooked, Self::Cooked2];
}

/// A link layer's header in front of an IP datagram, with its tags where it is Ethernet's. Cooked ones say that the
/// client's segments come in.
fn link_header(link: LinkType, frame: &Frame) -> Vec<u8> {
    let kind = if frame.from_client { 0 } else { 4 };
    let v6 = frame.bytes.first().is_some_and(|first| first >> 4 == 6);
    let [high, low] = if v6 { [0x86, 0xdd] } else { [8, 0] };
    let family = if v6 { 10 } else { 2 };
    match link {
        LinkType::Ethernet => {
            let mut header = vec![2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4];
            for tag in &frame.tags {
                header.extend(tag.to_be_bytes());
                header.extend([0, 7]);
            }
            header.extend([high, low]);
            header
        }
        LinkType::Raw | LinkType::RawBsd | LinkType::Ipv4 => vec![],
        LinkType::Null => vec![family, 0, 0, 0],
        LinkType::Loop => vec![0, 0, 0, family],
        LinkType::Cooked => vec![0, kind, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, high, low],
        LinkType::Cooked2 => vec![high, low, 0, 0, 0, 0, 0, 7, 0, 1, kind, 6, 2, 2, 2, 2, 2, 2, 0, 0],
    }
}

/// A pcap file.
pub struct Pcap {
    /// The file so far.
    pub bytes: Vec<u8>,
    endian: Endian,
    link: LinkType,
    nanoseconds: bool,
}

impl Pcap {
    /// A file without frames.
    pub fn new(link: LinkType, endian: Endian, nanoseconds: bool) -> Self {
        let magic = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let mut bytes = endian.u32(magic).to_vec();
        bytes.extend(endian.u16(2));
        bytes.extend(endian.u16(4));
        for number in [0, 0, 262_144, link as u32] {
            bytes.extend(endian.u32(number));
        }
        Self { bytes, endian, link, nanoseconds }
    }

    /// The usual one.
    pub fn of(frames: &[Frame]) -> Vec<u8> {
        let mut file = Self::new(LinkType::Ethernet, Endian::Little, false);
        for frame in frames {
            file.frame(frame, usize::MAX);
        }
        file.bytes
    }

    /// Adds a frame, of which at most so many bytes are captured.
    pub fn frame(&mut self, frame: &Frame, longest: usize) {
        let whole = [link_header(self.link, frame), frame.bytes.clone()].concat();
        let kept = whole.len().min(longest);
        let fraction = frame.time % 1_000_000_000 / if self.nanoseconds { 1 } else { 1000 };
        let seconds = frame.time / 1_000_000_000;
        for number in [seconds as u32, fraction as u32, kept as u32, whole.len() as u32] {
            self.bytes.extend(self.endian.u32(number));
        }
        self.bytes.extend(&whole[..kept]);
    }
}

/// A pcapng file.
pub struct Ng {
    /// The file so far.
    pub bytes: Vec<u8>,
    endian: Endian,
}

impl Ng {
    /// A file with one section and no interface.
    pub fn new(endian: Endian) -> Self {
        let mut file = Self { bytes: Vec::new(), endian };
        file.section();
        file
    }

    /// Begins a section.
    pub fn section(&mut self) {
        let endian = self.endian;
        let body = [endian.u32(0x1a2b_3c4d).as_slice(), &endian.u16(1), &endian.u16(0), &endian.u64(u64::MAX)].concat();
        self.block(0x0a0d_0d0a, &body);
    }

    /// An interface; options are numbers and values.
    pub fn interface(&mut self, link: LinkType, options: &[(u16, &[u8])]) {
        let endian = self.endian;
        let mut body = [endian.u16(link as u16).as_slice(), &endian.u16(0), &endian.u32(0)].concat();
        body.extend(self.options(options));
        self.block(1, &body);
    }

    /// A frame of an interface, its time in the interface's units.
    pub fn frame(&mut self, interface: u32, link: LinkType, units: u64, frame: &Frame, options: &[(u16, &[u8])]) {
        let endian = self.endian;
        let bytes = [link_header(link, frame), frame.bytes.clone()].concat();
        let length = bytes.len() as u32;
        let mut body = Vec::new();
        for number in [interface, (units >> 32) as u32, units as u32, length, length] {
            body.extend(endian.u32(number));
        }
        body.extend(padded(bytes));
        body.extend(self.options(options));
        self.block(6, &body);
    }

    /// A frame without a time.
    pub fn simple(&mut self, link: LinkType, frame: &Frame) {
        let bytes = [link_header(link, frame), frame.bytes.clone()].concat();
        let body = [self.endian.u32(bytes.len() as u32).to_vec(), padded(bytes)].concat();
        self.block(3, &body);
    }

    /// A block of any kind.
    pub fn block(&mut self, kind: u32, body: &[u8]) {
        let length = self.endian.u32(body.len() as u32 + 12);
        self.bytes.extend(self.endian.u32(kind));
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.extend(length);
    }

    fn options(&self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, value) in options {
            bytes.extend(self.endian.u16(*code));
            bytes.extend(self.endian.u16(value.len() as u16));
            bytes.extend(padded(value.to_vec()));
        }
        if !bytes.is_empty() {
            bytes.extend([0; 4]);
        }
        bytes
    }
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
