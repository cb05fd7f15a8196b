//! What the receiver would discard is discarded first: acknowledgements, timestamps, signatures, hop limits, checksums.
//!
//! Invariants: I1, I4.

use crate::support::{ACK, CLIENT, FIN, Net, OUTSIDE, PORT, RST, SERVER, policy};
use etherparse::{IpNumber, Ipv4Header, Ipv4Options, TcpHeader, TcpOptionElement};
use proptest::prelude::*;
use smtp_filter_common::{
    action::Action, met::Met, reason::Reason, stream::normalise::NARROW_WINDOW, userspace::SliceFrame, verdict::Verdict,
};

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;
const ISNS: [u32; 2] = [1000, 9_000_000];
const DAY: u64 = 24 * 3600 * 1_000_000_000;
/// An option of TCP MD5, with two NOPs.
const MD5: [u8; 20] = [1, 1, 19, 18, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];
/// The authentication option.
const AO: [u8; 16] = [29, 16, 1, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];

/// A connection whose segments are made by hand.
struct Wire {
    net: Net,
    /// Next offsets of client and server.
    next: [u32; 2],
    /// Options of a segment of each side, as they stand in the header.
    options: [Vec<u8>; 2],
    hops: u8,
    window: u16,
}

/// What differs from an ordinary segment.
#[derive(Clone, Default)]
struct Odd {
    /// Added to the acknowledgement number.
    acknowledgement: u32,
    /// Instead of the side's options.
    options: Option<Vec<u8>>,
    /// Options of the IPv4 header.
    of_ip: &'static [u8],
    fin: bool,
    rst: bool,
    /// Added to a byte at this offset of the IP packet.
    spoiled: Option<usize>,
    egress: bool,
    checked: bool,
}

fn stamp(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10], value.to_be_bytes().as_slice(), &echo.to_be_bytes()].concat()
}

impl Wire {
    fn new(options: [Vec<u8>; 2], hops: u8) -> Self {
        Self { net: Net::new(policy()), next: [0; 2], options, hops, window: 0xffff }
    }

    /// Established, and greeted.
    fn greeted(options: [Vec<u8>; 2], hops: u8) -> Self {
        let mut wire = Self::new(options, hops);
        assert_eq!(wire.handshake(), PASS);
        assert_eq!(wire.say(1, b"220 mail.example ESMTP\r\n"), PASS);
        wire
    }

    fn handshake(&mut self) -> Verdict {
        for from in [0, 1] {
            let scale = [TcpOptionElement::Noop, TcpOptionElement::WindowScale(7)];
            let mut scaled = TcpHeader::new(0, 0, 0, 0);
            scaled.set_options(&scale).unwrap();
            let mut tcp = self.header(from, 0, &[scaled.options.as_slice(), &self.options[from]].concat());
            tcp.sequence_number = ISNS[from];
            (tcp.syn, tcp.ack) = (true, from == 1);
            let frame = self.frame(from, &tcp, b"", &Odd::default());
            assert_eq!(self.met(from, &frame, &Odd::default()), PASS);
        }
        self.segment(0, b"", &Odd::default())
    }

    fn header(&self, from: usize, acknowledgement: u32, options: &[u8]) -> TcpHeader {
        let ports = [41_234, PORT];
        let mut tcp = TcpHeader::new(ports[from], ports[1 - from], 0, self.window);
        tcp.sequence_number = ISNS[from].wrapping_add(1).wrapping_add(self.next[from]);
        tcp.acknowledgment_number =
            ISNS[1 - from].wrapping_add(1).wrapping_add(self.next[1 - from]).wrapping_add(acknowledgement);
        tcp.ack = true;
        tcp.set_options_raw(options).unwrap();
        tcp
    }

    fn frame(&self, from: usize, tcp: &TcpHeader, payload: &[u8], odd: &Odd) -> Vec<u8> {
        let ends = [CLIENT, SERVER];
        let mut tcp = tcp.clone();
        tcp.checksum = tcp.calc_checksum_ipv4_raw(ends[from], ends[1 - from], payload).unwrap();
        let length = (tcp.header_len() + payload.len()) as u16;
        let hops = if from == 0 { self.hops } else { 64 };
        let mut ip = Ipv4Header::new(length, hops, IpNumber::TCP, ends[from], ends[1 - from]).unwrap();
        ip.options = Ipv4Options::try_from(odd.of_ip).unwrap();
        ip.set_payload_len(usize::from(length)).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        [[2; 12].as_slice(), &[8, 0], &ip.to_bytes(), &tcp.to_bytes(), payload].concat()
    }

    fn met(&mut self, from: usize, frame: &[u8], odd: &Odd) -> Verdict {
        self.net.now += 1_000;
        let met = Met { now: self.net.now, ifindex: OUTSIDE + from as u32, egress: odd.egress };
        let mut network = SliceFrame::ethernet(frame).merged_of(self.net.piece);
        if odd.checked {
            network = network.with_checksums();
        }
        self.net.world.frame(&self.net.policy, network, met)
    }

    /// A segment at the side's place, which stays.
    fn segment(&mut self, from: usize, payload: &[u8], odd: &Odd) -> Verdict {
        let options = odd.options.clone().unwrap_or_else(|| self.options[from].clone());
        let mut tcp = self.header(from, odd.acknowledgement, &options);
        (tcp.fin, tcp.rst) = (odd.fin, odd.rst);
        let mut frame = self.frame(from, &tcp, payload, odd);
        if let Some(at) = odd.spoiled {
            frame[14 + at] = frame[14 + at].wrapping_add(1);
        }
        self.met(from, &frame, odd)
    }

    /// The side's next bytes.
    fn say(&mut self, from: usize, payload: &[u8]) -> Verdict {
        let verdict = self.segment(from, payload, &Odd::default());
        if verdict == PASS {
            self.next[from] += payload.len() as u32;
        }
        verdict
    }

    fn refused(&self) -> Vec<(Reason, u64)> {
        let all = [
            Reason::OutsideAcknowledgement,
            Reason::OldTimestamp,
            Reason::AuthenticationOption,
            Reason::HopLimit,
            Reason::IpOption,
            Reason::Checksum,
        ];
        all.into_iter().map(|reason| (reason, self.net.segments(reason))).filter(|(_, count)| *count > 0).collect()
    }

    /// A segment is refused for a reason, and left nothing behind: the honest one passes and is reported.
    fn refuses(&mut self, odd: &Odd, reason: Reason) {
        let before = self.net.segments(reason);
        assert_eq!(self.segment(0, b"VRFY a\r\n", odd), DROP);
        assert_eq!(self.net.segments(reason), before + 1, "{:?}", self.refused());
        self.net.events();
        assert_eq!(self.say(0, b"NOOP\r\n"), PASS, "{:?}", self.refused());
        assert_eq!(self.net.verbs(), ["NOOP"]);
        assert_eq!(self.say(1, b"250 OK\r\n"), PASS);
    }
}

fn plain() -> [Vec<u8>; 2] {
    [Vec::new(), Vec::new()]
}

fn stamped(client: u32, server: u32) -> [Vec<u8>; 2] {
    [stamp(client, server), stamp(server, client)]
}

#[test]
fn an_acknowledgement_of_what_the_server_has_not_sent() {
    let mut wire = Wire::greeted(plain(), 64);
    for beyond in [1, 2, 1000, 0x7fff_ffff] {
        let odd = Odd { acknowledgement: beyond, ..Odd::default() };
        wire.refuses(&odd, Reason::OutsideAcknowledgement);
        // Without payload too; and the server's.
        for from in [0, 1] {
            assert_eq!(wire.segment(from, b"", &odd), DROP, "{from} {beyond}");
        }
    }
    // Half of all numbers away it is neither before nor after. Whatever the distance, it is in the window or not.
    for beyond in [0x8000_0000, 0x8000_0001, 0xc000_0000, 0xffff_0000] {
        let odd = Odd { acknowledgement: beyond, ..Odd::default() };
        wire.refuses(&odd, Reason::OutsideAcknowledgement);
        assert_eq!(wire.segment(0, b"", &odd), DROP, "{beyond}");
        assert_eq!(wire.segment(1, b"250 OK\r\n", &odd), DROP, "{beyond}");
    }
    // A FIN takes a number of its own, once it has passed.
    assert_eq!(wire.segment(1, b"", &Odd { fin: true, ..Odd::default() }), PASS);
    assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd { acknowledgement: 2, ..Odd::default() }), DROP);
    assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd { acknowledgement: 1, ..Odd::default() }), PASS);
}

#[test]
fn a_fin_before_a_gap_is_acknowledged_too() {
    let mut wire = Wire::greeted(plain(), 64);
    // The server's FIN passes; the bytes before it were lost in front of the filter, and come again.
    wire.next[1] += 8;
    assert_eq!(wire.segment(1, b"", &Odd { fin: true, ..Odd::default() }), PASS);
    wire.next[1] -= 8;
    assert_eq!(wire.say(1, b"421 bye\r"), PASS);
    assert_eq!(wire.segment(0, b"QUIT\r\n", &Odd { acknowledgement: 1, ..Odd::default() }), PASS);
}

#[test]
fn an_acknowledgement_older_than_the_window() {
    let old = |by: u32| Odd { acknowledgement: 0_u32.wrapping_sub(by), ..Odd::default() };
    let mut wire = Wire::greeted(plain(), 64);
    // Before the first byte of the server: never sent.
    let all = wire.next[1];
    wire.refuses(&old(all + 1), Reason::OutsideAcknowledgement);
    assert_eq!(wire.refused(), [(Reason::OutsideAcknowledgement, 1)]);
    // Acknowledgements that cross on the way.
    assert_eq!(wire.segment(0, b"NOOP\r\n", &old(wire.next[1])), PASS);
    wire.next[0] += 6;
    assert_eq!(wire.say(1, b"250 OK\r\n"), PASS);
    for _ in 0..NARROW_WINDOW / 64 {
        let reply = [b"250 ".as_slice(), &[b'x'; 58], b"\r\n"].concat();
        assert_eq!(wire.say(0, b"NOOP\r\n"), PASS);
        assert_eq!(wire.say(1, &reply), PASS);
    }
    assert_eq!(wire.segment(0, b"", &Odd::default()), PASS);
    assert_eq!(wire.segment(0, b"NO", &old(NARROW_WINDOW)), PASS);
    wire.next[0] += 2;
    assert_eq!(wire.segment(0, b"OP\r\n", &old(NARROW_WINDOW + 1)), DROP);
    assert_eq!(wire.say(0, b"OP\r\n"), PASS);
    assert_eq!(wire.say(1, b"250 OK\r\n"), PASS);
    // Who has ever announced less gets no room, for the server may have seen nothing else of it.
    wire.window = 3;
    assert_eq!(wire.segment(0, b"", &Odd::default()), PASS);
    wire.window = 0xffff;
    assert_eq!(wire.segment(0, b"NOOP\r\n", &old(1)), DROP);
    wire.refuses(&old(2), Reason::OutsideAcknowledgement);
}

#[test]
fn a_timestamp_older_than_the_servers() {
    let mut wire = Wire::greeted(stamped(0xffff_fff0, 50), 64);
    let with = |value: u32| Odd { options: Some(stamp(value, 50)), ..Odd::default() };
    // What the server has sent back is what it holds the next ones against.
    wire.refuses(&with(0xffff_ffef), Reason::OldTimestamp);
    wire.options = stamped(5, 51);
    assert_eq!(wire.say(0, b"NOOP\r\n"), PASS, "the clock has wrapped");
    // The server has not said that it has that one: an honest segment that was overtaken still counts.
    assert_eq!(wire.segment(0, b"NOOP\r\n", &with(2)), PASS);
    wire.next[0] += 6;
    assert_eq!(wire.say(1, b"250 OK\r\n"), PASS);
    assert_eq!(wire.say(1, b"250 OK\r\n"), PASS);
    wire.refuses(&with(4), Reason::OldTimestamp);
    wire.refuses(&with(0x8000_0006), Reason::OldTimestamp);
    // None at all: stacks differ.
    wire.refuses(&Odd { options: Some(vec![]), ..Odd::default() }, Reason::OldTimestamp);
    let fin = Odd { options: Some(vec![]), fin: true, ..Odd::default() };
    assert_eq!(wire.segment(0, b"", &fin), DROP);
    // Keep-alives of some stacks, and RSTs.
    assert_eq!(wire.segment(0, b"", &Odd { options: Some(vec![]), ..Odd::default() }), PASS);
    assert_eq!(wire.segment(0, b"", &with(0)), PASS);
    assert_eq!(wire.segment(0, b"", &Odd { rst: true, ..with(0) }), PASS);
}

/// An original that comes after its retransmission: the server has it and answers that it came twice. So it has to get
/// there.
#[test]
fn an_old_timestamp_of_what_is_acknowledged_passes() {
    let mut wire = Wire::greeted(stamped(100, 50), 64);
    wire.options = stamped(105, 51);
    assert_eq!(wire.say(0, b"NOOP\r\n"), PASS);
    assert_eq!(wire.say(0, b"NOOP\r\n"), PASS);
    assert_eq!(wire.say(1, b"250 OK\r\n"), PASS);
    let old = Odd { options: Some(stamp(104, 50)), ..Odd::default() };
    wire.next[0] -= 12;
    assert_eq!(wire.segment(0, b"NOOP\r\n", &old), PASS, "{:?}", wire.refused());
    assert_eq!(wire.net.segments(Reason::Retransmission), 1);
    // Not where some of it is new, nor at the end of what is acknowledged, where the server would believe what it says.
    assert_eq!(wire.segment(0, b"NOOP\r\nNOOP\r\nNOOP\r\n", &old), DROP);
    wire.next[0] += 6;
    assert_eq!(wire.segment(0, b"NOOP\r\n", &old), DROP);
    assert_eq!(wire.net.segments(Reason::OldTimestamp), 2);
    // Nor without a timestamp: stacks differ.
    wire.next[0] -= 6;
    assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd { options: Some(vec![]), ..Odd::default() }), DROP);
}

#[test]
fn an_echo_of_what_the_client_has_not_sent_moves_nothing() {
    let mut wire = Wire::greeted(stamped(100, 50), 64);
    for echo in [101, 0x7000_0000, 0] {
        wire.options[1] = stamp(51, echo);
        assert_eq!(wire.segment(1, b"", &Odd::default()), PASS);
    }
    wire.options = stamped(100, 51);
    assert_eq!(wire.say(0, b"NOOP\r\n"), PASS, "{:?}", wire.refused());
}

#[test]
fn timestamps_that_were_not_agreed_on_say_nothing() {
    // The client offers them, the server does not take the offer.
    let mut wire = Wire::greeted([stamp(100, 0), vec![]], 64);
    for (value, verdict) in [(200, PASS), (100, PASS), (0, PASS)] {
        let odd = Odd { options: Some(stamp(value, 9)), ..Odd::default() };
        assert_eq!(wire.segment(0, b"NOOP\r\n", &odd), verdict);
        wire.next[0] += 6;
    }
    assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd { options: Some(vec![]), ..Odd::default() }), PASS);
}

#[test]
fn a_timestamp_of_nothing_is_none() {
    // Some stacks send 0 in the handshake and begin anywhere.
    let mut wire = Wire::new(stamped(0, 50), 64);
    assert_eq!(wire.handshake(), PASS);
    wire.options = stamped(0xf000_0000, 51);
    assert_eq!(wire.say(1, b"220 a\r\n"), PASS);
    assert_eq!(wire.say(0, b"NOOP\r\n"), PASS, "{:?}", wire.refused());
    assert_eq!(wire.say(1, b"250 a\r\n"), PASS);
    let odd = Odd { options: Some(stamp(0xefff_ffff, 51)), ..Odd::default() };
    wire.refuses(&odd, Reason::OldTimestamp);
}

#[test]
fn after_long_silence_any_timestamp_is_taken() {
    let mut wire = Wire::greeted(stamped(100, 50), 64);
    wire.net.now += 25 * DAY;
    wire.options = stamped(100_u32.wrapping_sub(1_000_000_000), 51);
    for _ in 0..2 {
        assert_eq!(wire.say(0, b"NOOP\r\n"), PASS, "{:?}", wire.refused());
        assert_eq!(wire.say(1, b"250 OK\r\n"), PASS);
    }
}

#[test]
fn a_signature_that_was_not_agreed_on() {
    for option in [MD5.as_slice(), &AO] {
        let mut wire = Wire::greeted(plain(), 64);
        let odd = Odd { options: Some(option.to_vec()), ..Odd::default() };
        wire.refuses(&odd, Reason::AuthenticationOption);
        assert_eq!(wire.segment(1, b"250 OK\r\n", &odd), DROP);
        // Where both have signed, all have to.
        let mut wire = Wire::greeted([option.to_vec(), option.to_vec()], 64);
        wire.refuses(&Odd { options: Some(vec![]), ..Odd::default() }, Reason::AuthenticationOption);
        assert_eq!(wire.refused().len(), 1);
    }
    // A server that does not sign has taken none.
    let mut wire = Wire::new([MD5.to_vec(), vec![]], 64);
    assert_eq!(wire.handshake(), DROP);
}

#[test]
fn so_few_hops_that_it_need_not_reach_the_server() {
    for (of_syn, hops, verdict) in
        [(64, 1, DROP), (64, 31, DROP), (64, 32, PASS), (255, 33, PASS), (3, 2, DROP), (3, 3, PASS), (1, 1, PASS)]
    {
        let mut wire = Wire::greeted(plain(), of_syn);
        wire.hops = hops;
        assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd::default()), verdict, "{of_syn} {hops}");
        // At egress the hop over the machine is behind it.
        wire.hops = hops.saturating_sub(1);
        assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd { egress: true, ..Odd::default() }), verdict, "{of_syn} {hops}");
        wire.hops = of_syn;
        assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd::default()), PASS);
        assert!(wire.refused().iter().all(|(reason, _)| *reason == Reason::HopLimit));
    }
}

#[test]
fn of_several_syns_the_one_that_goes_furthest_counts() {
    // The server has had one of them; which one only its path knows.
    for order in [[2, 20], [20, 2]] {
        let mut wire = Wire::new(plain(), order[0]);
        let mut tcp = wire.header(0, 0, &[]);
        tcp.sequence_number = ISNS[0];
        (tcp.syn, tcp.ack) = (true, false);
        for hops in order {
            wire.hops = hops;
            let frame = wire.frame(0, &tcp, b"", &Odd::default());
            assert_eq!(wire.met(0, &frame, &Odd::default()), PASS);
        }
        // Once more with the last one's.
        assert_eq!(wire.handshake(), PASS);
        wire.hops = 19;
        assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd::default()), DROP, "{order:?}");
    }
}

#[test]
fn a_wrong_checksum() {
    let right = Odd { checked: true, ..Odd::default() };
    for payload in [
        b"NOOP\r\n".as_slice(),
        b"NOOP x\r\n",
        b"NOOP odd\r\n",
        &[b"NOOP ".as_slice(), &[b'x'; 1400], b"\r\n"].concat(),
    ] {
        let mut wire = Wire::greeted(stamped(100, 50), 64);
        // A bit of the IP header (its time to live), of the TCP header (its window), of the payload.
        for at in [8, 34, 20 + 32, 20 + 32 + payload.len() - 1] {
            let odd = Odd { spoiled: Some(at), ..right.clone() };
            assert_eq!(wire.segment(0, payload, &odd), DROP, "{at}");
            assert_eq!(wire.segment(0, payload, &Odd { checked: false, ..odd.clone() }), PASS, "as in a capture");
            wire = Wire::greeted(stamped(100, 50), 64);
        }
        assert_eq!(wire.segment(0, payload, &right), PASS);
        wire.net.policy.guards[Reason::Checksum.number() as usize] = Action::Pass as u8;
        let odd = Odd { spoiled: Some(20 + 32 + payload.len() - 3), ..right.clone() };
        assert_eq!(wire.segment(0, payload, &odd), DROP, "changed, and not looked at");
        assert_eq!(wire.net.segments(Reason::ChangedRetransmission), 1);
    }
    // Merged of segments whose checksums were right.
    let mut wire = Wire::greeted(plain(), 64);
    wire.net.piece = 3;
    assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd { spoiled: Some(17 + 20), ..right }), PASS);
}

/// A loose source route, which Linux refuses unless it is configured otherwise.
const SOURCE_ROUTE: [u8; 8] = [131, 7, 4, 10, 0, 0, 1, 0];

#[test]
fn ip_options_that_a_receiver_may_refuse() {
    let mut wire = Wire::greeted(plain(), 64);
    wire.refuses(&Odd { of_ip: &SOURCE_ROUTE, ..Odd::default() }, Reason::IpOption);
    wire.refuses(&Odd { of_ip: &[148, 4, 0, 0], fin: true, ..Odd::default() }, Reason::IpOption);
    // Padding is everybody's.
    assert_eq!(wire.segment(0, b"NOOP\r\n", &Odd { of_ip: &[1, 1, 1, 0], ..Odd::default() }), PASS);
    // Nothing that such a segment says is believed, whoever sends it; a RST moves nothing anyway.
    let mut wire = Wire::greeted(plain(), 64);
    let odd = Odd { of_ip: &SOURCE_ROUTE, ..Odd::default() };
    assert_eq!(wire.segment(0, b"", &odd), DROP);
    assert_eq!(wire.segment(1, b"250 Ok\r\n", &odd), DROP);
    assert_eq!(wire.segment(0, b"", &Odd { rst: true, ..odd }), PASS);
    assert_eq!(wire.refused(), [(Reason::IpOption, 2)]);
    assert_eq!(wire.say(0, b"NOOP\r\n"), PASS);
}

#[test]
fn in_mode_monitor_what_the_server_discards_is_not_read() {
    let mut wire = Wire::greeted(stamped(100, 50), 64);
    wire.net.monitor();
    let cases = [
        (Odd { acknowledgement: 0x4000_0000, ..Odd::default() }, Reason::OutsideAcknowledgement),
        (Odd { acknowledgement: 0_u32.wrapping_sub(100), ..Odd::default() }, Reason::OutsideAcknowledgement),
        (Odd { options: Some(stamp(99, 50)), ..Odd::default() }, Reason::OldTimestamp),
        (
            Odd { options: Some([MD5.as_slice(), &stamp(100, 50)].concat()), ..Odd::default() },
            Reason::AuthenticationOption,
        ),
        (Odd { of_ip: &SOURCE_ROUTE, ..Odd::default() }, Reason::IpOption),
        (Odd { checked: true, spoiled: Some(36), ..Odd::default() }, Reason::Checksum),
    ];
    wire.net.events();
    for (odd, reason) in cases {
        assert_eq!(wire.segment(0, b"VRFY a\r\n", &odd), PASS);
        assert_eq!(wire.net.world.counter(reason.number(), Action::Drop, true).segments, 0, "{reason:?}");
        assert!(wire.net.segments(reason) > 0, "{reason:?}");
    }
    wire.hops = 5;
    assert_eq!(wire.segment(0, b"VRFY a\r\n", &Odd::default()), PASS);
    wire.hops = 64;
    assert_eq!(wire.net.segments(Reason::HopLimit), 1);
    let reported = wire.net.verbs();
    assert_eq!(reported, ["guards.checksum"]);
    assert_eq!(wire.say(0, b"NOOP\r\n"), PASS);
    assert_eq!(wire.net.verbs(), ["NOOP"]);
    // A reply that a capture has lost: the client's acknowledgement shows it, and what it says is read all the same.
    assert_eq!(wire.segment(0, b"RSET\r\n", &Odd { acknowledgement: 40, ..Odd::default() }), PASS);
    assert_eq!(wire.net.verbs(), ["RSET"]);
}

#[test]
fn in_tls_nothing_is_looked_at() {
    let mut wire = Wire::greeted(stamped(100, 50), 64);
    for (from, line) in
        [(0, b"EHLO a\r\n".as_slice()), (1, b"250 STARTTLS\r\n"), (0, b"STARTTLS\r\n"), (1, b"220 go\r\n")]
    {
        assert_eq!(wire.say(from, line), PASS);
    }
    wire.net.server.next = 0;
    // Numbers of TLS are not followed: acknowledgements run ahead of what is known.
    let odd = Odd { acknowledgement: 70_000, ..Odd::default() };
    for from in [0, 1, 0] {
        assert_eq!(wire.segment(from, b"\x17\x03\x03", &odd), PASS);
    }
    assert_eq!(wire.refused(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Nothing of what honest stacks do is refused: numbers that wrap, clocks that wrap, segments that come twice and
    /// late, keep-alives, windows that shrink.
    #[test]
    fn honest_segments_are_not_refused(
        clock in any::<u32>(),
        steps in prop::collection::vec((0..6_u8, 0..40_u32, 0..1500_u16), 1..60),
    ) {
        let clock = clock | 1;
        let mut wire = Wire::greeted(stamped(clock, 50), 64);
        let mut time = clock;
        // What the server has of the client's clock: that of the last segment in order.
        let mut recent = clock;
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for (what, ticks, window) in steps {
            time = time.wrapping_add(ticks);
            wire.options = [stamp(time, 50), stamp(50, recent)];
            match what {
                0..=2 => {
                    let frame = wire.frame(0, &wire.header(0, 0, &wire.options[0]), b"NOOP\r\n", &Odd::default());
                    sent.push(frame);
                    prop_assert_eq!(wire.say(0, b"NOOP\r\n"), PASS, "{:?}", wire.refused());
                    recent = time;
                    wire.options[1] = stamp(50, recent);
                    prop_assert_eq!(wire.say(1, b"250 OK\r\n"), PASS, "{:?}", wire.refused());
                }
                // A copy of an earlier one, by the network.
                3 if !sent.is_empty() => {
                    let frame = sent[ticks as usize % sent.len()].clone();
                    wire.met(0, &frame, &Odd::default());
                    let next = wire.segment(0, b"", &Odd::default());
                    prop_assert_eq!(next, PASS);
                }
                // A keep-alive: a byte that was acknowledged long ago.
                4 => {
                    wire.next[0] = wire.next[0].wrapping_sub(1);
                    let verdict = wire.segment(0, b"\0", &Odd::default());
                    wire.next[0] = wire.next[0].wrapping_add(1);
                    prop_assert_eq!(verdict, PASS, "{:?}", wire.refused());
                }
                // A window that shrinks and opens.
                _ => {
                    wire.window = window >> 7;
                    prop_assert_eq!(wire.segment(0, b"", &Odd::default()), PASS);
                    wire.window = 0xffff;
                    prop_assert_eq!(wire.segment(0, b"", &Odd::default()), PASS);
                }
            }
        }
        let of_copies = wire.refused().iter().all(|(reason, _)|
            matches!(reason, Reason::OldTimestamp | Reason::OutsideAcknowledgement));
        prop_assert!(of_copies);
        prop_assert_eq!(wire.say(0, b"NOOP\r\n"), PASS);
    }
}

/// Over IPv6 the hop limit stands elsewhere, and there is no checksum of the header.
#[test]
fn ipv6() {
    let mut net = Net::new(policy());
    net.v6 = true;
    net.handshake();
    assert_eq!(net.reply("220 a\r\n"), PASS);
    let build = |net: &Net, hops: u8, flags| {
        let (sequence, acknowledgement) = (net.client.isn + 1, net.server.isn + 1 + net.server.next);
        let mut frame = net.build(true, sequence, acknowledgement, flags, b"NOOP\r\n");
        frame[14 + 7] = hops;
        frame
    };
    let side = net.outside;
    for (hops, verdict) in [(1, DROP), (31, DROP), (32, PASS)] {
        let frame = build(&net, hops, ACK);
        assert_eq!(net.frame(&frame, side), verdict);
    }
    let frame = build(&net, 3, FIN);
    assert_eq!(net.frame(&frame, side), DROP);
    let frame = build(&net, 3, RST);
    assert_eq!(net.frame(&frame, side), PASS);
    assert_eq!(net.segments(Reason::HopLimit), 3);
    let mut frame = build(&net, 64, ACK);
    let met = net.met(side);
    let mut judge = |frame: &[u8]| net.world.frame(&net.policy, SliceFrame::ethernet(frame).with_checksums(), met);
    assert_eq!(judge(&frame), PASS);
    let last = frame.len() - 1;
    frame[last] ^= 1;
    assert_eq!(judge(&frame), DROP);
}
