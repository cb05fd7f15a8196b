//! A scripted pair of peers in front of the datapath.
#![allow(dead_code, reason = "each test file takes what it needs")]

pub mod bare;
pub mod rewriting;
pub mod stream;

use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement};
use smtp_filter_common::{
    action::Action,
    bounds::NAMED_VERBS,
    event::{Event, Kind},
    flow::Key,
    met::Met,
    policy::{ENFORCE, MONITOR, Policy},
    reason::{FIRST_NAME, Reason},
    userspace::{SliceFrame, World},
    verdict::Verdict,
    word::Word,
};

pub const CLIENT: [u8; 4] = [192, 0, 2, 1];
pub const SERVER: [u8; 4] = [198, 51, 100, 2];
pub const CLIENT_PORT: u16 = 41234;
pub const PORT: u16 = 25;

/// Where the client's segments come in.
pub const OUTSIDE: u32 = 2;
/// Where the server's segments come in.
pub const INSIDE: u32 = 3;

/// `commands.NAME` of the verbs that [`policy`] names, in order from `FIRST_NAME + 1`.
pub const VERBS: [&str; 12] =
    ["HELO", "EHLO", "MAIL", "RCPT", "DATA", "QUIT", "RSET", "NOOP", "STARTTLS", "AUTH", "BDAT", "VRFY"];

/// Enforces; every verb is logged.
pub fn policy() -> Policy {
    let mut policy = Policy::empty();
    policy.generation = 1;
    policy.mode = ENFORCE;
    policy.other = Action::Log as u8;
    policy.capture_envelope = 1;
    policy.mark_value = 0x19;
    policy.mark_mask = 0xff;
    for (place, verb) in VERBS.iter().enumerate() {
        assert!(policy.set_verb(Word::of(verb), Action::Log, place as u8 + 1));
    }
    policy.guards[Reason::StarttlsInjection.number() as usize] = Action::Reset as u8;
    policy.guards[Reason::BdatRefused.number() as usize] = Action::Reset as u8;
    policy.guards[Reason::LateEndOfData.number() as usize] = Action::Reset as u8;
    policy.add_port(PORT);
    assert!(VERBS.len() <= NAMED_VERBS);
    policy
}

/// The reason number of a verb that [`policy`] names.
pub fn verb(name: &str) -> u16 {
    FIRST_NAME + VERBS.iter().position(|verb| *verb == name).expect("a named verb") as u16 + 1
}

/// One side's numbers.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Sequence number of its SYN.
    pub isn: u32,
    /// Offset of its next byte.
    pub next: u32,
    /// Offset of the other side's bytes that it has acknowledged.
    pub acked: u32,
    /// Window that it announces, not scaled.
    pub window: u16,
    /// Its shift.
    pub scale: Option<u8>,
}

impl End {
    const fn new(isn: u32) -> Self {
        Self { isn, next: 0, acked: 0, window: 0xffff, scale: Some(7) }
    }
}

/// Flags of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
    pub urg: bool,
}

pub const ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: false, urg: false };
pub const SYN: Flags = Flags { syn: true, ack: false, fin: false, rst: false, urg: false };
pub const SYN_ACK: Flags = Flags { syn: true, ack: true, fin: false, rst: false, urg: false };
pub const FIN: Flags = Flags { syn: false, ack: true, fin: true, rst: false, urg: false };
pub const RST: Flags = Flags { syn: false, ack: true, fin: false, rst: true, urg: false };

/// The filter between the two.
pub struct Net {
    pub world: World,
    pub policy: Policy,
    pub now: u64,
    pub v6: bool,
    pub client: End,
    pub server: End,
    pub client_address: [u8; 4],
    pub client_port: u16,
    pub server_port: u16,
    /// Where the client's segments are met.
    pub outside: (u32, bool),
    /// Where the server's segments are met.
    pub inside: (u32, bool),
    /// What frames are merged of; 0: they are not.
    pub piece: u16,
}

impl Net {
    pub fn new(policy: Policy) -> Self {
        Self {
            world: World::new(),
            policy,
            now: 1_000_000_000_000,
            v6: false,
            client: End::new(1000),
            server: End::new(9_000_000),
            client_address: CLIENT,
            client_port: CLIENT_PORT,
            server_port: PORT,
            outside: (OUTSIDE, false),
            inside: (INSIDE, false),
            piece: 0,
        }
    }

    /// A connection that is established.
    pub fn established(policy: Policy) -> Self {
        let mut net = Self::new(policy);
        net.handshake();
        net
    }

    /// A connection whose banner has been read, and the client's EHLO answered.
    pub fn greeted(policy: Policy) -> Self {
        let mut net = Self::established(policy);
        assert_eq!(net.reply("220 mail.example ESMTP\r\n"), Verdict::Pass);
        net
    }

    /// In mail data, with no event left to read.
    pub fn in_text(policy: Policy) -> Self {
        let mut net = Self::greeted(policy);
        for (command, answer) in [
            ("EHLO c.example\r\n", "250 mail.example\r\n"),
            ("MAIL FROM:<a@a.example>\r\n", "250 OK\r\n"),
            ("RCPT TO:<b@b.example>\r\n", "250 OK\r\n"),
            ("DATA\r\n", "354 Go\r\n"),
        ] {
            assert_eq!(net.say(command), Verdict::Pass, "{command}");
            assert_eq!(net.reply(answer), Verdict::Pass, "{answer}");
        }
        net.world.events.clear();
        net
    }

    pub fn key(&self) -> Key {
        let address = |v4: [u8; 4]| {
            let mut out = [0; 16];
            if self.v6 {
                out[..2].copy_from_slice(&[0x20, 0x01]);
            } else {
                out[10..12].copy_from_slice(&[0xff, 0xff]);
            }
            out[12..].copy_from_slice(&v4);
            out
        };
        Key {
            client: address(self.client_address),
            server: address(SERVER),
            client_port: self.client_port.to_be_bytes(),
            server_port: self.server_port.to_be_bytes(),
        }
    }

    /// A frame as it goes over the wire.
    pub fn build(
        &self,
        from_client: bool,
        sequence: u32,
        acknowledgement: u32,
        flags: Flags,
        payload: &[u8],
    ) -> Vec<u8> {
        let (end, source_port, destination_port) = if from_client {
            (&self.client, self.client_port, self.server_port)
        } else {
            (&self.server, self.server_port, self.client_port)
        };
        let mut tcp = TcpHeader::new(source_port, destination_port, sequence, end.window);
        tcp.acknowledgment_number = acknowledgement;
        (tcp.syn, tcp.ack, tcp.fin, tcp.rst, tcp.urg) = (flags.syn, flags.ack, flags.fin, flags.rst, flags.urg);
        if flags.syn {
            let mut options = vec![TcpOptionElement::MaximumSegmentSize(1460)];
            options.extend(end.scale.map(TcpOptionElement::WindowScale));
            tcp.set_options(&options).expect("they fit");
        }
        let client = self.client_address;
        let (source, destination) = if from_client { (client, SERVER) } else { (SERVER, client) };
        let start = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let start = if self.v6 {
            let address = |v4: [u8; 4]| {
                let mut out = [0; 16];
                out[..2].copy_from_slice(&[0x20, 0x01]);
                out[12..].copy_from_slice(&v4);
                out
            };
            start.ipv6(address(source), address(destination), 64)
        } else {
            start.ipv4(source, destination, 64)
        };
        let builder = start.tcp_header(tcp);
        let mut frame = Vec::with_capacity(builder.size(payload.len()));
        builder.write(&mut frame, payload).expect("it fits");
        frame
    }

    pub fn met(&self, side: (u32, bool)) -> Met {
        Met { now: self.now, ifindex: side.0, egress: side.1 }
    }

    /// A frame at a hook.
    pub fn frame(&mut self, frame: &[u8], side: (u32, bool)) -> Verdict {
        self.now += 1_000;
        let met = self.met(side);
        self.world.frame(&self.policy, SliceFrame::ethernet(frame).merged_of(self.piece), met)
    }

    /// A segment with payload at an offset of its side's stream.
    pub fn segment(&mut self, from_client: bool, offset: u32, flags: Flags, payload: &[u8]) -> Verdict {
        let side = if from_client { self.outside } else { self.inside };
        self.segment_at(from_client, offset, flags, payload, side)
    }

    /// The same, at another hook.
    pub fn segment_at(
        &mut self,
        from_client: bool,
        offset: u32,
        flags: Flags,
        payload: &[u8],
        side: (u32, bool),
    ) -> Verdict {
        let (end, other) = if from_client { (self.client, self.server) } else { (self.server, self.client) };
        let sequence = end.isn.wrapping_add(1).wrapping_add(offset);
        let acknowledgement = other.isn.wrapping_add(1).wrapping_add(end.acked);
        let frame = self.build(from_client, sequence, acknowledgement, flags, payload);
        self.frame(&frame, side)
    }

    pub fn syn(&mut self) -> Verdict {
        let frame = self.build(true, self.client.isn, 0, SYN, b"");
        self.frame(&frame, self.outside)
    }

    pub fn syn_ack(&mut self) -> Verdict {
        let frame = self.build(false, self.server.isn, self.client.isn.wrapping_add(1), SYN_ACK, b"");
        self.frame(&frame, self.inside)
    }

    pub fn handshake(&mut self) {
        assert_eq!(self.syn(), Verdict::Pass);
        assert_eq!(self.syn_ack(), Verdict::Pass);
        assert_eq!(self.client_acks(), Verdict::Pass);
        let key = self.key();
        assert!(self.world.connection(&key).is_some(), "the connection is live");
        // The SYN-ACK's window is not scaled; the next segment's is.
        assert_eq!(self.server_acks(), Verdict::Pass);
    }

    /// The client acknowledges all that the server has said.
    pub fn client_acks(&mut self) -> Verdict {
        self.client.acked = self.server.next;
        self.segment(true, self.client.next, ACK, b"")
    }

    /// The server acknowledges all that the client has said.
    pub fn server_acks(&mut self) -> Verdict {
        self.server.acked = self.client.next;
        self.segment(false, self.server.next, ACK, b"")
    }

    /// The client's bytes at an offset, with what it has acknowledged so far.
    pub fn client_at(&mut self, offset: u32, payload: &[u8]) -> Verdict {
        self.segment(true, offset, ACK, payload)
    }

    /// The server's bytes at an offset.
    pub fn server_at(&mut self, offset: u32, payload: &[u8]) -> Verdict {
        self.segment(false, offset, ACK, payload)
    }

    /// The client's next bytes. They count as sent if they pass.
    pub fn say(&mut self, payload: impl AsRef<[u8]>) -> Verdict {
        self.client.acked = self.server.next;
        let payload = payload.as_ref();
        let verdict = self.client_at(self.client.next, payload);
        if verdict == Verdict::Pass {
            self.client.next += payload.len() as u32;
        }
        verdict
    }

    /// The server's next bytes, with which it acknowledges all that has come.
    pub fn reply(&mut self, payload: impl AsRef<[u8]>) -> Verdict {
        self.server.acked = self.client.next;
        let payload = payload.as_ref();
        let verdict = self.server_at(self.server.next, payload);
        if verdict == Verdict::Pass {
            self.server.next += payload.len() as u32;
        }
        verdict
    }

    /// The events so far, which are taken. What a connection's beginning and end tell is the subject of few tests, and
    /// left out here.
    pub fn events(&mut self) -> Vec<Event> {
        let mut events = self.all_events();
        events.retain(|event| !matches!(event.kind, Kind::CONNECT | Kind::CLOSE));
        events
    }

    /// The events so far, those of a connection's beginning and end among them, which are taken.
    pub fn all_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.world.events)
    }

    /// The verbs of the events so far, which are taken.
    pub fn verbs(&mut self) -> Vec<String> {
        self.events().iter().map(name).collect()
    }

    /// Segments counted for a reason.
    pub fn segments(&self, reason: Reason) -> u64 {
        self.world.counted(reason.number()).segments
    }

    pub fn state(&self) -> smtp_filter_common::entry::State {
        self.world.connection(&self.key()).expect("it is live").state
    }

    pub fn mode(&self) -> smtp_filter_common::session::Mode {
        self.state().session.mode
    }

    pub fn monitor(&mut self) {
        self.policy.mode = MONITOR;
        self.policy.generation += 1;
    }

    pub fn enforce(&mut self) {
        self.policy.mode = ENFORCE;
        self.policy.generation += 1;
    }

    /// Sets a verb's action in a new generation.
    pub fn set(&mut self, name: &str, action: Action) {
        let place = (verb(name) - FIRST_NAME) as u8;
        assert!(self.policy.set_verb(Word::of(name), action, place));
        self.policy.generation += 1;
    }
}

/// What an event is of: a verb, or a reason's name.
pub fn name(event: &Event) -> String {
    if event.kind != smtp_filter_common::event::Kind::COMMAND {
        return Reason::from_number(event.reason)
            .map_or_else(|| event.reason.to_string(), |reason| reason.name().into());
    }
    if event.verb_length as usize > smtp_filter_common::bounds::WORD {
        return format!("<{}>", event.verb_length);
    }
    event.verb.bytes().iter().filter(|byte| **byte != 0).map(|byte| *byte as char).collect()
}

/// An event's argument.
pub fn arg(event: &Event) -> Vec<u8> {
    event.arg[..event.arg_length as usize].to_vec()
}
