//! A dialogue as frames, cut and repeated as a test wants it; and dialogues out of the frames of a capture.

use std::collections::BTreeMap;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TcpOptionElement, TransportSlice};

/// An IP datagram.
#[derive(Clone, Debug)]
pub struct Frame {
    /// EtherTypes of the tags in front of it, on Ethernet; the outer one first.
    pub tags: Vec<u16>,
    /// Nanoseconds after 1970.
    pub time: u64,
    pub from_client: bool,
    /// From the IP header on.
    pub bytes: Vec<u8>,
}

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [198, 51, 100, 2];

/// Two peers, by their sequence numbers: the client's first.
#[derive(Clone, Debug)]
pub struct Talk {
    time: u64,
    /// First numbers.
    isn: [u32; 2],
    /// Bytes said so far.
    pub said: [u32; 2],
    /// Bytes of it that the other side has acknowledged.
    acknowledged: [u32; 2],
    port: u16,
    /// The server's.
    pub server_port: u16,
    /// IPv6 from now on.
    pub v6: bool,
}

const CLIENT_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const SERVER_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

impl Talk {
    pub fn new(port: u16) -> Self {
        // Near the end of the numbers: they wrap.
        Self {
            time: 1_700_000_000_123_456_789,
            isn: [u32::MAX - 5, 7_000],
            said: [0; 2],
            acknowledged: [0; 2],
            port,
            server_port: 25,
            v6: false,
        }
    }

    pub fn handshake(&mut self) -> Vec<Frame> {
        vec![
            self.segment(true, 0, b"", |tcp| (tcp.syn, tcp.ack) = (true, false)),
            self.segment(false, 0, b"", |tcp| tcp.syn = true),
            self.segment(true, 0, b"", |_| {}),
        ]
    }

    /// Bytes at an offset of a side's stream.
    pub fn at(&mut self, from_client: bool, offset: u32, bytes: &[u8]) -> Frame {
        self.segment(from_client, offset, bytes, |tcp| tcp.psh = true)
    }

    /// The next bytes, in one segment.
    pub fn says(&mut self, from_client: bool, bytes: &[u8]) -> Frame {
        let side = usize::from(!from_client);
        let offset = self.said[side];
        self.said[side] += bytes.len() as u32;
        // Whoever answers has read everything.
        self.acknowledged[1 - side] = self.said[1 - side];
        self.at(from_client, offset, bytes)
    }

    /// So many bytes have been said by a side, and the other has acknowledged so many of them.
    pub fn stand(&mut self, from_client: bool, said: u32, acknowledged: u32) {
        let side = usize::from(!from_client);
        (self.said[side], self.acknowledged[side]) = (said, acknowledged);
    }

    /// An acknowledgement of what has come so far.
    pub fn bare(&mut self, from_client: bool) -> Frame {
        self.segment(from_client, self.said[usize::from(!from_client)], b"", |_| {})
    }

    /// Says that everything has come.
    pub fn acknowledges(&mut self, from_client: bool) -> Frame {
        let side = usize::from(!from_client);
        self.acknowledged[1 - side] = self.said[1 - side];
        self.segment(from_client, self.said[side], b"", |_| {})
    }

    /// An empty segment with changed numbers or flags.
    pub fn odd(&mut self, from_client: bool, change: impl FnOnce(&mut TcpHeader)) -> Frame {
        self.segment(from_client, self.said[usize::from(!from_client)], b"", change)
    }

    /// Time passes.
    pub fn wait(&mut self, nanoseconds: u64) {
        self.time += nanoseconds;
    }

    pub fn fin(&mut self, from_client: bool) -> Frame {
        let side = usize::from(!from_client);
        let offset = self.said[side];
        let frame = self.segment(from_client, offset, b"", |tcp| tcp.fin = true);
        self.said[side] += 1;
        self.acknowledged[side] = self.said[side];
        frame
    }

    fn segment(&mut self, from_client: bool, offset: u32, bytes: &[u8], change: impl FnOnce(&mut TcpHeader)) -> Frame {
        self.time += 1_000_000;
        let side = usize::from(!from_client);
        let (from, to) = if from_client { (self.port, self.server_port) } else { (self.server_port, self.port) };
        let sequence = self.isn[side].wrapping_add(1).wrapping_add(offset);
        let mut tcp = TcpHeader::new(from, to, sequence, 0xffff);
        tcp.ack = true;
        change(&mut tcp);
        if tcp.ack {
            tcp.acknowledgment_number = self.isn[1 - side].wrapping_add(1).wrapping_add(self.acknowledged[1 - side]);
        }
        if tcp.syn {
            tcp.sequence_number = self.isn[side];
            tcp.set_options(&[TcpOptionElement::MaximumSegmentSize(1460), TcpOptionElement::WindowScale(7)]).unwrap();
        }
        let way = if self.v6 {
            let (source, destination) = if from_client { (CLIENT_V6, SERVER_V6) } else { (SERVER_V6, CLIENT_V6) };
            PacketBuilder::ipv6(source, destination, 64)
        } else {
            let (source, destination) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
            PacketBuilder::ipv4(source, destination, 64)
        };
        let builder = way.tcp_header(tcp);
        let mut frame = Vec::new();
        builder.write(&mut frame, bytes).unwrap();
        Frame { tags: Vec::new(), time: self.time, from_client, bytes: frame }
    }
}

/// A dialogue in whole: who says what.
pub fn dialogue(talk: &mut Talk, says: &[(bool, &[u8])]) -> Vec<Frame> {
    let mut frames = talk.handshake();
    for (from_client, bytes) in says {
        frames.push(talk.says(*from_client, bytes));
    }
    frames.push(talk.fin(true));
    frames.push(talk.fin(false));
    frames
}

/// One direction of a connection, put together.
#[derive(Default)]
struct Stream {
    next: Option<u32>,
    early: BTreeMap<u32, Vec<u8>>,
}

impl Stream {
    /// What is new and in order now.
    fn take(&mut self, sequence: u32, bytes: &[u8]) -> Vec<u8> {
        let mut next = *self.next.get_or_insert(sequence);
        self.early.insert(sequence, bytes.to_vec());
        let mut new = Vec::new();
        // Captures here are short: no wrapping within one.
        while let Some((&at, _)) = self.early.iter().find(|(at, bytes)| {
            let begin = next.wrapping_sub(**at) as usize;
            begin < bytes.len()
        }) {
            let bytes = self.early.remove(&at).unwrap();
            let rest = &bytes[next.wrapping_sub(at) as usize..];
            next = next.wrapping_add(rest.len() as u32);
            new.extend_from_slice(rest);
        }
        self.next = Some(next);
        new
    }
}

/// The dialogues in the Ethernet frames of a capture, by the client's port: flights of bytes, `true` from the client.
pub fn reassembled<'a>(frames: impl Iterator<Item = &'a [u8]>) -> BTreeMap<u16, Vec<(bool, Vec<u8>)>> {
    let mut streams: BTreeMap<(u16, bool), Stream> = BTreeMap::new();
    let mut flights: BTreeMap<u16, Vec<(bool, Vec<u8>)>> = BTreeMap::new();
    for frame in frames {
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else { continue };
        let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
            continue;
        };
        let from_client = tcp.destination_port() == 25;
        if !from_client && tcp.source_port() != 25 {
            continue;
        }
        let port = if from_client { tcp.source_port() } else { tcp.destination_port() };
        let stream = streams.entry((port, from_client)).or_default();
        if tcp.syn() {
            stream.next = Some(tcp.sequence_number().wrapping_add(1));
            continue;
        }
        let new = stream.take(tcp.sequence_number(), tcp.payload());
        if new.is_empty() {
            continue;
        }
        let flights = flights.entry(port).or_default();
        match flights.last_mut() {
            Some((direction, bytes)) if *direction == from_client => bytes.extend(new),
            _ => flights.push((from_client, new)),
        }
    }
    flights
}
