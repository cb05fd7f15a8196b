//! A connection's segments, each new: one after the other in sequence space.

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, TcpOptionElement};

/// The server, from the outside.
pub const SERVER: [u8; 4] = [198, 51, 100, 25];
/// Its port.
pub const PORT: u16 = 25;
const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
const V6: ([u8; 16], [u8; 16]) = (
    [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10],
    [0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x25],
);
const CLIENT_PORT: u16 = 41_234;
/// Windows of 1 GiB, so that no measurement waits for an acknowledgement.
const SCALE: u8 = 14;

/// Who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client: ingress.
    Client,
    /// The server: egress.
    Server,
}

/// A segment on its way.
#[derive(Clone, Debug)]
pub struct Segment {
    /// From where.
    pub from: Side,
    /// The whole frame.
    pub frame: Vec<u8>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Talk {
    client: [u8; 4],
    client_next: u32,
    server_next: u32,
    segments: Vec<Segment>,
}

impl Talk {
    /// An established connection; its segments so far are there to be taken.
    pub fn new(client: [u8; 4]) -> Self {
        let mut talk = Self { client, client_next: 1_000, server_next: 5_000, segments: Vec::new() };
        for (from, ack) in [(Side::Client, false), (Side::Server, true)] {
            talk.push(from, b"", |tcp| (tcp.syn, tcp.ack) = (true, ack));
            *talk.next(from) += 1;
        }
        talk.push(Side::Client, b"", |_| {});
        talk.server(b"220 server.example ESMTP\r\n");
        talk
    }

    /// One that stands where this one stands, of another client.
    pub fn like(&self, client: [u8; 4]) -> Self {
        Self { client, segments: Vec::new(), ..*self }
    }

    /// A session in which the server takes every extension there is to measure.
    pub fn extended(client: [u8; 4]) -> Self {
        let mut talk = Self::new(client);
        talk.exchange(
            b"EHLO client.example\r\n",
            b"250-server.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 CHUNKING\r\n",
        );
        talk
    }

    /// A session in which the server waits for mail data.
    pub fn in_text(client: [u8; 4]) -> Self {
        let mut talk = Self::extended(client);
        talk.exchange(b"MAIL FROM:<alice@client.example>\r\n", b"250 2.1.0 Ok\r\n");
        talk.exchange(b"RCPT TO:<bob@server.example>\r\n", b"250 2.1.5 Ok\r\n");
        talk.exchange(b"DATA\r\n", b"354 End data with <CR><LF>.<CR><LF>\r\n");
        talk
    }

    /// A session in a chunk that does not end here.
    pub fn in_chunk(client: [u8; 4]) -> Self {
        let mut talk = Self::extended(client);
        talk.exchange(b"MAIL FROM:<alice@client.example>\r\n", b"250 2.1.0 Ok\r\n");
        talk.exchange(b"RCPT TO:<bob@server.example>\r\n", b"250 2.1.5 Ok\r\n");
        talk.client(b"BDAT 900000000 LAST\r\n");
        talk
    }

    /// A session that speaks TLS.
    pub fn in_tls(client: [u8; 4]) -> Self {
        let mut talk = Self::extended(client);
        talk.exchange(b"STARTTLS\r\n", b"220 2.0.0 Ready to start TLS\r\n");
        talk
    }

    /// The client's next bytes.
    pub fn client(&mut self, payload: &[u8]) {
        self.say(Side::Client, payload);
    }

    /// The server's next bytes.
    pub fn server(&mut self, payload: &[u8]) {
        self.say(Side::Server, payload);
    }

    /// Bytes of the client that begin so many after its next ones, and pass before those.
    pub fn client_after(&mut self, gap: u32, payload: &[u8]) {
        self.client_next += gap;
        self.push(Side::Client, payload, |tcp| tcp.psh = true);
        self.client_next -= gap;
    }

    /// A command and its reply.
    pub fn exchange(&mut self, command: &[u8], reply: &[u8]) {
        self.client(command);
        self.server(reply);
    }

    /// An acknowledgement of all there is.
    pub fn acknowledge(&mut self, from: Side) {
        self.push(from, b"", |_| {});
    }

    /// The segments since this was last asked.
    pub fn take(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.segments)
    }

    fn say(&mut self, from: Side, payload: &[u8]) {
        self.push(from, payload, |tcp| tcp.psh = true);
        *self.next(from) += payload.len() as u32;
    }

    fn next(&mut self, of: Side) -> &mut u32 {
        match of {
            Side::Client => &mut self.client_next,
            Side::Server => &mut self.server_next,
        }
    }

    fn push(&mut self, from: Side, payload: &[u8], change: impl FnOnce(&mut TcpHeader)) {
        let (source, destination, ports, sequence, acknowledgement) = match from {
            Side::Client => (self.client, SERVER, (CLIENT_PORT, PORT), self.client_next, self.server_next),
            Side::Server => (SERVER, self.client, (PORT, CLIENT_PORT), self.server_next, self.client_next),
        };
        let mut tcp = TcpHeader::new(ports.0, ports.1, sequence, u16::MAX);
        (tcp.ack, tcp.acknowledgment_number) = (true, acknowledgement);
        change(&mut tcp);
        if tcp.syn {
            let scaled = tcp.set_options(&[TcpOptionElement::WindowScale(SCALE)]);
            assert!(scaled.is_ok(), "an option of three bytes has room");
        }
        let ip = PacketBuilder::ethernet2(MACS.0, MACS.1).ipv4(source, destination, 64);
        self.segments.push(Segment { from, frame: frame(ip.tcp_header(tcp), payload) });
    }

    /// Its key in the table of live connections.
    pub fn key(&self) -> [u8; 36] {
        let mut key = [0; 36];
        for (place, address) in [(0, self.client), (16, SERVER)] {
            key[place + 10..place + 12].fill(0xff);
            key[place + 12..place + 16].copy_from_slice(&address);
        }
        key[32..34].copy_from_slice(&CLIENT_PORT.to_be_bytes());
        key[34..].copy_from_slice(&PORT.to_be_bytes());
        key
    }
}

/// TCP for another port.
pub fn other_port(v6: bool, payload: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(MACS.0, MACS.1);
    let ip = if v6 { ethernet.ipv6(V6.0, V6.1, 64) } else { ethernet.ipv4([192, 0, 2, 10], SERVER, 64) };
    frame(ip.tcp(CLIENT_PORT, 80, 1_000, u16::MAX).ack(5_000), payload)
}

/// UDP.
pub fn datagram(payload: &[u8]) -> Vec<u8> {
    let ip = PacketBuilder::ethernet2(MACS.0, MACS.1).ipv4([192, 0, 2, 10], SERVER, 64);
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
