//! A dialogue as frames with their times, cut and repeated as a test wants it.

use etherparse::TcpHeader;

use crate::dialogue::{Side, Talk};

/// An IP datagram.
#[derive(Clone, Debug)]
pub struct Frame {
    /// EtherTypes of the tags in front of it, on Ethernet; the outer one first.
    pub tags: Vec<u16>,
    /// Nanoseconds after 1970.
    pub time: u64,
    /// Whether the client sent it.
    pub from_client: bool,
    /// From the IP header on.
    pub bytes: Vec<u8>,
}

/// A connection as somebody beside the wire sees it: bytes at any offset, and what each end has acknowledged.
#[derive(Clone, Debug)]
pub struct Recording {
    talk: Talk,
    time: u64,
    /// Offsets of what has been said: by the client, by the server.
    said: [u32; 2],
    /// Bytes of it that the other side has acknowledged.
    acknowledged: [u32; 2],
}

const fn side(from_client: bool) -> Side {
    if from_client { Side::Client } else { Side::Server }
}

impl Recording {
    /// Nothing said yet, over IPv4, from a port of the client to port 25.
    pub fn new(port: u16) -> Self {
        let mut talk = Talk::v4();
        talk.client_port = port;
        Self { talk, time: 1_700_000_000_123_456_789, said: [0; 2], acknowledged: [0; 2] }
    }

    /// From now on over IPv6, or not.
    pub const fn over_ipv6(&mut self, v6: bool) {
        self.talk.v6 = v6;
    }

    /// To another port of the server.
    pub const fn to_port(&mut self, port: u16) {
        self.talk.server_port = port;
    }

    /// Bytes said so far by a side.
    pub const fn said(&self, from_client: bool) -> u32 {
        self.said[!from_client as usize]
    }

    /// SYN, SYN-ACK, ACK.
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

    /// The end of a side's stream.
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
        let (from, own) = (side(from_client), usize::from(!from_client));
        let mut tcp = self.talk.tcp(from);
        let (sequence, acknowledgement) = (tcp.sequence_number, tcp.acknowledgment_number);
        tcp.sequence_number = sequence.wrapping_add(1).wrapping_add(offset);
        tcp.acknowledgment_number = 0;
        change(&mut tcp);
        if tcp.ack {
            tcp.acknowledgment_number = acknowledgement.wrapping_add(1).wrapping_add(self.acknowledged[1 - own]);
        }
        if tcp.syn {
            tcp.sequence_number = sequence;
            self.talk.offer(&mut tcp);
        }
        Frame { tags: Vec::new(), time: self.time, from_client, bytes: self.talk.datagram(from, tcp, bytes) }
    }
}

/// A dialogue in whole: who says what.
pub fn dialogue(talk: &mut Recording, says: &[(bool, &[u8])]) -> Vec<Frame> {
    let mut frames = talk.handshake();
    for (from_client, bytes) in says {
        frames.push(talk.says(*from_client, bytes));
    }
    frames.push(talk.fin(true));
    frames.push(talk.fin(false));
    frames
}
