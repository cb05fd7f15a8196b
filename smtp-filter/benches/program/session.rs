//! A connection's segments, each new: one after the other in sequence space.

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};
use smtp_filter_testkit::dialogue::{Outcome, SERVER_V4, Side, Step, Talk};

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
const V6: ([u8; 16], [u8; 16]) = (
    [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10],
    [0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x25],
);
const CLIENT_PORT: u16 = 41_234;
/// Windows of 1 GiB, so that no measurement waits for an acknowledgement.
const SCALE: u8 = 14;

/// A segment on its way.
#[derive(Clone, Debug)]
pub struct Segment {
    /// From where.
    pub from: Side,
    /// The whole frame.
    pub frame: Vec<u8>,
}

/// A connection, all of whose segments pass.
#[derive(Clone, Debug)]
pub struct Session(Talk);

impl Session {
    /// An established connection; its segments so far are there to be taken.
    pub fn new(client: [u8; 4]) -> Self {
        let mut talk = Talk::v4();
        (talk.client_v4, talk.client_port, talk.scale) = (client, CLIENT_PORT, SCALE);
        talk.handshake();
        talk.server(b"220 server.example ESMTP\r\n");
        Self(talk)
    }

    /// One that stands where this one stands, of another client.
    pub fn like(&self, client: [u8; 4]) -> Self {
        Self(Talk { client_v4: client, steps: Vec::new(), ..self.0.clone() })
    }

    /// A session in which the server takes every extension there is to measure.
    pub fn extended(client: [u8; 4]) -> Self {
        let mut session = Self::new(client);
        session.exchange(
            b"EHLO client.example\r\n",
            b"250-server.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 CHUNKING\r\n",
        );
        session
    }

    /// A session in which the server waits for mail data.
    pub fn in_text(client: [u8; 4]) -> Self {
        let mut session = Self::extended(client);
        session.exchange(b"MAIL FROM:<alice@client.example>\r\n", b"250 2.1.0 Ok\r\n");
        session.exchange(b"RCPT TO:<bob@server.example>\r\n", b"250 2.1.5 Ok\r\n");
        session.exchange(b"DATA\r\n", b"354 End data with <CR><LF>.<CR><LF>\r\n");
        session
    }

    /// A session in a chunk that does not end here.
    pub fn in_chunk(client: [u8; 4]) -> Self {
        let mut session = Self::extended(client);
        session.exchange(b"MAIL FROM:<alice@client.example>\r\n", b"250 2.1.0 Ok\r\n");
        session.exchange(b"RCPT TO:<bob@server.example>\r\n", b"250 2.1.5 Ok\r\n");
        session.client(b"BDAT 900000000 LAST\r\n");
        session
    }

    /// A session that speaks TLS.
    pub fn in_tls(client: [u8; 4]) -> Self {
        let mut session = Self::extended(client);
        session.exchange(b"STARTTLS\r\n", b"220 2.0.0 Ready to start TLS\r\n");
        session
    }

    /// The client's next bytes.
    pub fn client(&mut self, payload: &[u8]) {
        self.0.client(payload);
    }

    /// Bytes of the client that begin so many after its next ones, and pass before those.
    pub fn client_after(&mut self, gap: u32, payload: &[u8]) {
        let mut tcp = self.0.tcp(Side::Client);
        tcp.psh = true;
        tcp.sequence_number = tcp.sequence_number.wrapping_add(gap);
        self.0.raw(Side::Client, tcp, payload, Outcome::Pass);
    }

    /// A command and its reply.
    pub fn exchange(&mut self, command: &[u8], reply: &[u8]) {
        self.0.client(command);
        self.0.server(reply);
    }

    /// An acknowledgement of all there is.
    pub fn acknowledge(&mut self, from: Side) {
        self.0.acknowledge(from);
    }

    /// The segments since this was last asked.
    pub fn take(&mut self) -> Vec<Segment> {
        let steps = std::mem::take(&mut self.0.steps).into_iter();
        let segment = |step| match step {
            Step::Packet { hook, frame, .. } => {
                Some(Segment { from: if hook.egress { Side::Server } else { Side::Client }, frame })
            }
            Step::Policy(_) => None,
        };
        steps.filter_map(segment).collect()
    }

    /// Its key in the table of live connections.
    pub fn key(&self) -> [u8; 36] {
        let mut key = [0; 36];
        for (place, address) in [(0, self.0.client_v4), (16, SERVER_V4)] {
            key[place + 10..place + 12].fill(0xff);
            key[place + 12..place + 16].copy_from_slice(&address);
        }
        key[32..34].copy_from_slice(&self.0.client_port.to_be_bytes());
        key[34..].copy_from_slice(&self.0.server_port.to_be_bytes());
        key
    }
}

/// TCP for another port.
pub fn other_port(v6: bool, payload: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(MACS.0, MACS.1);
    let ip = if v6 { ethernet.ipv6(V6.0, V6.1, 64) } else { ethernet.ipv4([192, 0, 2, 10], SERVER_V4, 64) };
    frame(ip.tcp(CLIENT_PORT, 80, 1_000, u16::MAX).ack(5_000), payload)
}

/// UDP.
pub fn datagram(payload: &[u8]) -> Vec<u8> {
    let ip = PacketBuilder::ethernet2(MACS.0, MACS.1).ipv4([192, 0, 2, 10], SERVER_V4, 64);
    let step = ip.udp(CLIENT_PORT, 53);
    let mut frame = Vec::with_capacity(step.size(payload.len()));
    assert!(step.write(&mut frame, payload).is_ok(), "writing to memory");
    frame
}

fn frame(step: PacketBuilderStep<TcpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(step.size(payload.len()));
    assert!(step.write(&mut frame, payload).is_ok(), "writing to memory");
    frame
}
