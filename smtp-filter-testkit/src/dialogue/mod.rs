//! A TCP connection, packet by packet, with what the filter is expected to do with each.

use etherparse::{
    EtherType, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header, TcpHeader, TcpOptionElement,
};

/// Who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on, every byte as it was, without a mark.
    Pass,
    /// It goes on, every byte as it was, with this mark.
    Marked(u32),
    /// It is dropped, without a RST.
    Drop,
    /// It becomes a RST to its receiver, and its sender gets one too.
    Reset,
    /// It is dropped, and its sender gets a RST.
    ResetSender,
}

/// Where a packet is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// At the second interface, the one towards the server.
    pub second: bool,
    /// On its way out.
    pub egress: bool,
}

impl Side {
    /// Where the side's packets are met at the interface towards the client.
    pub fn hook(self) -> Hook {
        Hook { second: false, egress: self == Self::Server }
    }
}

/// One step of a fixture.
#[derive(Clone, Debug)]
pub enum Step {
    /// A packet.
    Packet {
        /// By which way.
        hook: Hook,
        /// The whole frame.
        frame: Vec<u8>,
        /// What is to become of it.
        expected: Outcome,
        /// The payload that comes out where it is rewritten. Otherwise it goes on with every byte as it was.
        rewritten: Option<Vec<u8>>,
        /// Everything before this sequence number has been forwarded: where the receiver's RST has to stand.
        next: u32,
    },
    /// A change of the policy.
    Policy(Vec<&'static str>),
}

/// What stands around the TCP segment.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Tags in the data: their EtherTypes, the outer one first.
    pub tags: Vec<u16>,
    /// IPv4 options: a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers: number and bytes, whose first one is filled in.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Bytes behind the IP datagram.
    pub padding: usize,
    /// The IP length says so much more than there is.
    pub lie: i32,
    /// More fragments follow (IPv4).
    pub more_fragments: bool,
    /// Offset of the fragment in units of eight bytes (IPv4).
    pub fragment_offset: u16,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Talk {
    /// IPv6.
    pub v6: bool,
    /// What stands around the segments from now on.
    pub shape: Shape,
    /// The client's address over IPv4.
    pub client_v4: [u8; 4],
    /// The client's port.
    pub client_port: u16,
    /// The server's port.
    pub server_port: u16,
    /// The shift of the windows that both sides offer.
    pub scale: u8,
    /// The client's next sequence number: what went before has been forwarded.
    pub client_next: u32,
    /// The server's.
    pub server_next: u32,
    /// What has been done so far.
    pub steps: Vec<Step>,
    /// What a plain beginning counts under a policy that lets it pass: reason and bytes of each segment and command.
    pub plain: Vec<(&'static str, usize)>,
}

/// The client's address over IPv4.
pub const CLIENT_V4: [u8; 4] = [192, 0, 2, 10];
/// The server's address over IPv4.
pub const SERVER_V4: [u8; 4] = [198, 51, 100, 25];
const CLIENT_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const SERVER_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x25];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Close to the end of the numbers, so that they begin anew within every connection.
const CLIENT_ISN: u32 = 0xffff_fff0;
const SERVER_ISN: u32 = 0xffff_ff80;

impl Talk {
    /// A connection that has not begun yet, over IPv4.
    pub fn v4() -> Self {
        Self {
            v6: false,
            shape: Shape::default(),
            client_v4: CLIENT_V4,
            client_port: 41_234,
            server_port: 25,
            scale: 7,
            client_next: CLIENT_ISN,
            server_next: SERVER_ISN,
            steps: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// The same over IPv6.
    pub fn v6() -> Self {
        Self { v6: true, ..Self::v4() }
    }

    /// An established connection whose banner has been said.
    pub fn greeted() -> Self {
        let mut talk = Self::v4();
        talk.greet();
        talk
    }

    /// The handshake and the banner.
    pub fn greet(&mut self) {
        let banner = b"220 server.example ESMTP\r\n";
        self.handshake();
        self.server(banner);
        self.plain.push(("pass.replies", banner.len()));
    }

    /// A command and its reply, as any session has them at its beginning.
    fn plainly(&mut self, reason: &'static str, command: &str, reply: &str) {
        self.exchange(command, reply);
        let [command, reply] = [command, reply].map(|line| line.len() + 2);
        self.plain.extend([("pass.commands", command), (reason, command), ("pass.replies", reply)]);
    }

    /// An established session that began with HELO.
    pub fn hello() -> Self {
        let mut talk = Self::greeted();
        talk.plainly("commands.helo", "HELO client.example", "250 server.example");
        talk
    }

    /// A session in which the server waits for mail data.
    pub fn in_text() -> Self {
        let mut talk = Self::hello();
        talk.plainly("commands.mail", "MAIL FROM:<alice@client.example>", "250 2.1.0 Ok");
        talk.plainly("commands.rcpt", "RCPT TO:<bob@server.example>", "250 2.1.5 Ok");
        talk.plainly("commands.data", "DATA", "354 End data with <CR><LF>.<CR><LF>");
        talk
    }

    /// A header from one side, with its current numbers.
    pub fn tcp(&self, from: Side) -> TcpHeader {
        let (source, destination, sequence, acknowledgement) = match from {
            Side::Client => (self.client_port, self.server_port, self.client_next, self.server_next),
            Side::Server => (self.server_port, self.client_port, self.server_next, self.client_next),
        };
        let mut tcp = TcpHeader::new(source, destination, sequence, 0xffff);
        (tcp.ack, tcp.acknowledgment_number) = (true, acknowledgement);
        tcp
    }

    /// A frame around a segment.
    pub fn frame(&self, from: Side, tcp: TcpHeader, payload: &[u8]) -> Vec<u8> {
        let (mut source, mut destination) = (CLIENT_MAC, SERVER_MAC);
        if from == Side::Server {
            std::mem::swap(&mut source, &mut destination);
        }
        let mut frame = [destination, source].concat();
        let ip = if self.v6 { EtherType::IPV6 } else { EtherType::IPV4 };
        for tag in &self.shape.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend(7_u16.to_be_bytes());
        }
        frame.extend(ip.0.to_be_bytes());
        frame.extend(self.datagram(from, tcp, payload));
        frame.extend(std::iter::repeat_n(b'P', self.shape.padding));
        frame
    }

    /// The IP datagram around a segment.
    pub fn datagram(&self, from: Side, tcp: TcpHeader, payload: &[u8]) -> Vec<u8> {
        if self.v6 { self.datagram_v6(from, tcp, payload) } else { self.datagram_v4(from, tcp, payload) }
    }

    fn datagram_v4(&self, from: Side, mut tcp: TcpHeader, payload: &[u8]) -> Vec<u8> {
        let client = self.client_v4;
        let (source, destination) = if from == Side::Client { (client, SERVER_V4) } else { (SERVER_V4, client) };
        tcp.checksum = tcp.calc_checksum_ipv4_raw(source, destination, payload).unwrap();
        let length = tcp.header_len() + payload.len();
        let mut ip = Ipv4Header::new(length as u16, 64, IpNumber::TCP, source, destination).unwrap();
        ip.options = Ipv4Options::try_from(self.shape.options.as_slice()).unwrap();
        ip.total_len = (ip.header_len() as i32 + length as i32 + self.shape.lie) as u16;
        ip.more_fragments = self.shape.more_fragments;
        ip.fragment_offset = IpFragOffset::try_new(self.shape.fragment_offset).unwrap();
        ip.dont_fragment = false;
        ip.header_checksum = ip.calc_header_checksum();
        [ip.to_bytes().as_slice(), tcp.to_bytes().as_slice(), payload].concat()
    }

    fn datagram_v6(&self, from: Side, mut tcp: TcpHeader, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = if from == Side::Client { (CLIENT_V6, SERVER_V6) } else { (SERVER_V6, CLIENT_V6) };
        tcp.checksum = tcp.calc_checksum_ipv6_raw(source, destination, payload).unwrap();
        let mut extensions = Vec::new();
        let numbers: Vec<u8> =
            self.shape.extensions.iter().map(|(number, _)| *number).chain([IpNumber::TCP.0]).collect();
        for ((_, bytes), next) in self.shape.extensions.iter().zip(&numbers[1..]) {
            extensions.push(*next);
            extensions.extend(&bytes[1..]);
        }
        let length = extensions.len() + tcp.header_len() + payload.len();
        let ip = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: (length as i32 + self.shape.lie) as u16,
            next_header: IpNumber(numbers[0]),
            hop_limit: 64,
            source,
            destination,
        };
        [ip.to_bytes().as_slice(), &extensions, tcp.to_bytes().as_slice(), payload].concat()
    }

    /// A packet of any kind; the numbers stay as they are.
    pub fn raw(&mut self, from: Side, tcp: TcpHeader, payload: &[u8], expected: Outcome) {
        self.met(from.hook(), from, tcp, payload, expected);
    }

    /// The same, met anywhere: by a forger's way, or once more on the way out.
    pub fn met(&mut self, hook: Hook, from: Side, tcp: TcpHeader, payload: &[u8], expected: Outcome) {
        let frame = self.frame(from, tcp, payload);
        let next = if from == Side::Client { self.client_next } else { self.server_next };
        self.steps.push(Step::Packet { hook, frame, expected, rewritten: None, next });
    }

    /// A segment with payload at the side's place in its stream. Where it goes on, the stream has advanced.
    pub fn segment(&mut self, from: Side, payload: &[u8], expected: Outcome) {
        let mut tcp = self.tcp(from);
        tcp.psh = true;
        self.raw(from, tcp, payload, expected);
        if matches!(expected, Outcome::Pass | Outcome::Marked(_)) {
            let next = if from == Side::Client { &mut self.client_next } else { &mut self.server_next };
            *next = next.wrapping_add(payload.len() as u32);
        }
    }

    /// A segment that passes with other bytes, as many as it had.
    pub fn rewritten(&mut self, from: Side, payload: &[u8], becomes: &[u8]) {
        self.segment(from, payload, Outcome::Pass);
        if let Some(Step::Packet { rewritten, .. }) = self.steps.last_mut() {
            *rewritten = Some(becomes.to_vec());
        }
    }

    /// A client's segment that passes.
    pub fn client(&mut self, payload: &[u8]) {
        self.segment(Side::Client, payload, Outcome::Pass);
    }

    /// A server's segment that passes.
    pub fn server(&mut self, payload: &[u8]) {
        self.segment(Side::Server, payload, Outcome::Pass);
    }

    /// A command and its reply, both of which pass.
    pub fn exchange(&mut self, command: &str, reply: &str) {
        self.client(format!("{command}\r\n").as_bytes());
        self.server(format!("{reply}\r\n").as_bytes());
    }

    /// Gives a SYN the options that a usual TCP offers.
    pub fn offer(&self, syn: &mut TcpHeader) {
        let options = [
            TcpOptionElement::MaximumSegmentSize(1460),
            TcpOptionElement::Noop,
            TcpOptionElement::WindowScale(self.scale),
        ];
        syn.set_options(&options).expect("they fit");
    }

    /// SYN, SYN-ACK, ACK.
    pub fn handshake(&mut self) {
        let mut syn = self.tcp(Side::Client);
        (syn.syn, syn.ack, syn.acknowledgment_number) = (true, false, 0);
        self.offer(&mut syn);
        self.raw(Side::Client, syn, b"", Outcome::Pass);
        self.client_next = self.client_next.wrapping_add(1);
        let mut syn_ack = self.tcp(Side::Server);
        syn_ack.syn = true;
        self.offer(&mut syn_ack);
        self.raw(Side::Server, syn_ack, b"", Outcome::Pass);
        self.server_next = self.server_next.wrapping_add(1);
        let ack = self.tcp(Side::Client);
        self.raw(Side::Client, ack, b"", Outcome::Pass);
        self.plain.extend([("pass.handshake", 0), ("pass.handshake", 0), ("pass.acknowledgement", 0)]);
    }

    /// An acknowledgement without payload, which passes.
    pub fn acknowledge(&mut self, from: Side) {
        let tcp = self.tcp(from);
        self.raw(from, tcp, b"", Outcome::Pass);
    }

    /// Changes the policy.
    pub fn policy(&mut self, settings: &[&'static str]) {
        self.steps.push(Step::Policy(settings.to_vec()));
    }
}
