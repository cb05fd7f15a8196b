//! Link layers: where IP begins in a frame, and which way the frame went where its header says so.

use smtp_filter_common::userspace::SliceFrame;

/// EtherType of IPv4.
const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
const IPV6: u16 = 0x86dd;
/// Bytes of the header of BSD loopbacks.
const NULL_HEADER: usize = 4;
/// Bytes of the header of a Linux cooked capture.
const COOKED_HEADER: usize = 16;
/// Bytes of the header of a Linux cooked capture of version 2.
const COOKED_2_HEADER: usize = 20;
/// `PACKET_OUTGOING`: sent by the machine that captured.
const OUTGOING: u16 = 4;

/// The address families of IPv6: of Linux, NetBSD, FreeBSD, macOS and Windows.
const INET6: [u32; 5] = [10, 24, 28, 30, 23];
/// The address family of IPv4, everywhere.
const INET: u32 = 2;

/// Which way a frame went, seen from the machine that captured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It came in.
    In,
    /// It went out.
    Out,
}

/// A link layer that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// None: IP.
    Raw,
    /// A BSD loopback, or what Windows and macOS make of theirs: an address family in either byte order.
    Null,
    /// A Linux cooked capture: `tcpdump -i any`.
    Cooked,
    /// The same with the interface's index.
    Cooked2,
}

/// What a link layer's header says.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The frame, from its network header on.
    pub frame: SliceFrame<'a>,
    /// Which way it went.
    pub way: Option<Way>,
    /// The index of its interface.
    pub interface: Option<u32>,
}

impl Link {
    /// The link layer of a capture file's number (<https://www.tcpdump.org/linktypes.html>); `None` where it is not
    /// read.
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            // 12 and 14 are what old libpcap wrote for raw IP, by operating system.
            12 | 14 | 101 | 228 | 229 => Some(Self::Raw),
            0 | 108 => Some(Self::Null),
            113 => Some(Self::Cooked),
            276 => Some(Self::Cooked2),
            _ => None,
        }
    }

    /// The link layer's header of a frame that goes back where another one with this header came from. Who sends it a
    /// cooked header cannot say.
    pub fn turned(self, header: &[u8]) -> Vec<u8> {
        let mut turned = header.to_vec();
        match (self, turned.as_mut_slice()) {
            (Self::Ethernet, [a, b, c, d, e, f, g, h, i, j, k, l, ..]) => {
                for (one, other) in [(a, g), (b, h), (c, i), (d, j), (e, k), (f, l)] {
                    std::mem::swap(one, other);
                }
            }
            (Self::Cooked, [high, low, _, _, rest @ ..]) => {
                [*high, *low] = back(u16::from_be_bytes([*high, *low])).to_be_bytes();
                clear(rest, 10);
            }
            (Self::Cooked2, [_, _, _, _, _, _, _, _, _, _, kind, rest @ ..]) => {
                *kind = back(u16::from(*kind)) as u8;
                clear(rest, 9);
            }
            _ => {}
        }
        turned
    }

    /// Looks at a frame's header. What is shorter than its header is nobody's.
    pub fn find(self, bytes: &[u8]) -> Found<'_> {
        let plain = |frame| Found { frame, way: None, interface: None };
        let found = match self {
            Self::Ethernet => Some(plain(SliceFrame::ethernet(bytes))),
            Self::Raw => Some(plain(SliceFrame::raw(bytes))),
            Self::Null => null(bytes).map(plain),
            Self::Cooked => cooked(bytes),
            Self::Cooked2 => cooked_2(bytes),
        };
        found.unwrap_or_else(|| plain(SliceFrame::of(0, &[])))
    }
}

fn null(bytes: &[u8]) -> Option<SliceFrame<'_>> {
    let (family, network) = bytes.split_first_chunk::<NULL_HEADER>()?;
    let families = [u32::from_le_bytes(*family), u32::from_be_bytes(*family)];
    let protocol = if families.contains(&INET) {
        IPV4
    } else if families.iter().any(|family| INET6.contains(family)) {
        IPV6
    } else {
        return None;
    };
    Some(SliceFrame::of(protocol, network))
}

fn cooked(bytes: &[u8]) -> Option<Found<'_>> {
    let (header, network) = bytes.split_first_chunk::<COOKED_HEADER>()?;
    let frame = SliceFrame::of(u16_at(header, 14)?, network);
    Some(Found { frame, way: Some(way(u16_at(header, 0)?)), interface: None })
}

fn cooked_2(bytes: &[u8]) -> Option<Found<'_>> {
    let (header, network) = bytes.split_first_chunk::<COOKED_2_HEADER>()?;
    let frame = SliceFrame::of(u16_at(header, 0)?, network);
    let interface = u32::from_be_bytes(*header.get(4..)?.first_chunk()?);
    Some(Found { frame, way: Some(way(u16::from(*header.get(10)?))), interface: Some(interface) })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

const fn way(kind: u16) -> Way {
    if kind == OUTGOING { Way::Out } else { Way::In }
}

/// `PACKET_HOST`: to the machine that captured.
const HOST: u16 = 0;

/// The kind of a frame that goes the other way.
const fn back(kind: u16) -> u16 {
    if kind == OUTGOING { HOST } else { OUTGOING }
}

/// No address, where so many bytes say its length and what it is.
fn clear(bytes: &mut [u8], length: usize) {
    bytes.iter_mut().take(length).for_each(|byte| *byte = 0);
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::wire::Frame as _;

    use super::*;

    fn found(link: Link, header: &[u8]) -> (u16, usize, Option<Way>, Option<u32>) {
        let bytes = [header, &[0x45, 1, 2]].concat();
        let Found { frame, way, interface } = link.find(&bytes);
        (frame.protocol(), frame.network().len(), way, interface)
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(found(Link::Raw, &[]), (IPV4, 3, None, None));
        assert_eq!(found(Link::Ethernet, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd]), (IPV6, 3, None, None));
        for (family, protocol) in [(2, IPV4), (10, IPV6), (24, IPV6), (28, IPV6), (30, IPV6), (23, IPV6)] {
            assert_eq!(found(Link::Null, &u32::to_le_bytes(family)), (protocol, 3, None, None));
            assert_eq!(found(Link::Null, &u32::to_be_bytes(family)), (protocol, 3, None, None));
        }
        assert_eq!(found(Link::Null, &[7, 0, 0, 0]), (0, 0, None, None));
        let cooked = |kind| [0, kind, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0];
        assert_eq!(found(Link::Cooked, &cooked(4)), (IPV4, 3, Some(Way::Out), None));
        assert_eq!(found(Link::Cooked, &cooked(0)), (IPV4, 3, Some(Way::In), None));
        let cooked_2 = [0x86, 0xdd, 0, 0, 0, 0, 1, 2, 0, 1, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0];
        assert_eq!(found(Link::Cooked2, &cooked_2), (IPV6, 3, Some(Way::Out), Some(0x102)));
    }

    #[test]
    fn headers_are_turned_back() {
        assert_eq!(
            Link::Ethernet.turned(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0]),
            [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 8, 0]
        );
        for link in [Link::Raw, Link::Null] {
            assert_eq!(link.turned(&[2, 0, 0, 0]), [2, 0, 0, 0]);
        }
        for (kind, back) in [(0, 4), (1, 4), (4, 0)] {
            let cooked = [0, kind, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0];
            assert_eq!(Link::Cooked.turned(&cooked), [0, back, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]);
            let cooked_2 = [0x86, 0xdd, 0, 0, 0, 0, 1, 2, 0, 1, kind, 6, 1, 2, 3, 4, 5, 6, 0, 0];
            let turned = [0x86, 0xdd, 0, 0, 0, 0, 1, 2, 0, 1, back, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(Link::Cooked2.turned(&cooked_2), turned);
        }
    }

    #[test]
    fn what_is_shorter_than_its_header_is_nobodys() {
        for link in [Link::Ethernet, Link::Raw, Link::Null, Link::Cooked, Link::Cooked2] {
            for length in 0..20 {
                let Found { frame, .. } = link.find(&[0; 20][..length]);
                assert_eq!(frame.protocol(), 0, "{link:?} {length}");
            }
        }
    }
}
