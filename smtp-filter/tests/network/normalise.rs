//! What a receiver discards, shown on Linux itself: a hand-made client against a real server socket. Of two segments
//! for the same place the server reads the second one, because it discards the first; the filter, put on, discards the
//! same ones.
//!
//! Invariants: I1, I4.

#[allow(dead_code, reason = "a part of it is used")]
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
};

use anyhow::{Context as _, Result, ensure};
use etherparse::{IpNumber, Ipv4Header, Ipv4Options, PacketHeaders, TcpHeader, TcpOptionElement, TransportHeader};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{SendFlags, send},
};
use smtp_filter_testkit::{
    Namespace,
    lab::{self, LATER, counted, filter},
    packets,
};

const ENDS: [[u8; 4]; 2] = [[10, 99, 0, 2], [10, 99, 0, 1]];
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const SOON: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
const ISN: u32 = 77_000;
/// An option of TCP MD5, and one of TCP-AO.
const SIGNATURES: [&[u8]; 2] = [
    &[1, 1, 19, 18, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
    &[29, 16, 1, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
];

/// What differs from an ordinary segment.
#[derive(Clone, Default)]
struct Odd {
    acknowledgement: u32,
    stamp: u32,
    options: &'static [u8],
    /// Added to a byte at this offset of the IP packet.
    spoiled: Option<usize>,
    /// The checksum field holds what one that a device is to complete would hold.
    partial: bool,
    /// Options of the IP header.
    of_ip: &'static [u8],
    tags: usize,
    hops: u8,
}

/// Two namespaces and a wire between them.
struct Net {
    server: Namespace,
    _client: Namespace,
    socket: OwnedFd,
    listener: TcpListener,
    port: u16,
}

/// A connection of a client that makes its own segments.
struct Client<'a> {
    net: &'a Net,
    stream: TcpStream,
    port: u16,
    next: u32,
    server_next: u32,
    stamp: u32,
    echo: u32,
}

impl Net {
    fn new() -> Result<Self> {
        let (client, server) = (Namespace::new("client")?, Namespace::new("server")?);
        for namespace in [&client, &server] {
            namespace.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        }
        server.ip(&[
            &format!(
                "link add eth0 address 02:00:00:00:00:02 type veth peer name eth0 address 02:00:00:00:00:01 netns {}",
                client.name()
            ),
            "link set eth0 up",
            "address add 10.99.0.1/24 dev eth0",
            "neighbour add 10.99.0.2 lladdr 02:00:00:00:00:01 dev eth0",
        ])?;
        client.ip(&["link set eth0 up"])?;
        let socket = client.enter(|| packets::packets(0x0800))??;
        let listener = server.enter(|| TcpListener::bind(("10.99.0.1", 25)))??;
        Ok(Self { server, _client: client, socket, listener, port: 40_000 })
    }

    /// A connection whose banner has been said and acknowledged.
    fn connect(&mut self) -> Result<Client<'_>> {
        self.port += 1;
        let port = self.port;
        let frame = {
            let mut tcp = TcpHeader::new(port, 25, ISN, 0xffff);
            tcp.syn = true;
            let options = [
                TcpOptionElement::MaximumSegmentSize(1460),
                TcpOptionElement::Timestamp(5_000, 0),
                TcpOptionElement::Noop,
                TcpOptionElement::WindowScale(7),
            ];
            tcp.set_options(&options).map_err(|error| anyhow::anyhow!("{error:?}"))?;
            frame(&tcp, b"", &Odd::default())
        };
        send(&self.socket, &frame, SendFlags::empty())?;
        let syn_ack = self.received(port)?;
        ensure!(syn_ack.syn && syn_ack.ack && syn_ack.acknowledgment_number == ISN + 1, "{syn_ack:?}");
        let (server_next, echo) = (syn_ack.sequence_number.wrapping_add(1), stamp_of(&syn_ack)?);
        let (next, stamp) = (ISN + 1, 5_000);
        let stub = |stream| Client { net: self, stream, port, next, server_next, stamp, echo };
        // Without the acknowledgement there is nothing to accept.
        let mut tcp = TcpHeader::new(port, 25, next, 0xffff);
        (tcp.ack, tcp.acknowledgment_number) = (true, server_next);
        let options = [TcpOptionElement::Noop, TcpOptionElement::Noop, TcpOptionElement::Timestamp(stamp, echo)];
        tcp.set_options(&options).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        send(&self.socket, &self::frame(&tcp, b"", &Odd::default()), SendFlags::empty())?;
        let (stream, _) = self.listener.accept()?;
        stream.set_read_timeout(Some(LATER))?;
        stream.set_nodelay(true)?;
        let mut client = stub(stream);
        client.hears(b"220 server.example ESMTP\r\n")?;
        Ok(client)
    }

    /// The next segment of the server for a port that is no bare acknowledgement.
    fn received(&self, port: u16) -> Result<TcpHeader> {
        loop {
            while let Some(frame) = packets::take(&self.socket)? {
                let packet = PacketHeaders::from_ethernet_slice(&frame)?;
                let Some(TransportHeader::Tcp(tcp)) = packet.transport else { continue };
                if tcp.destination_port == port && (tcp.syn || !packet.payload.slice().is_empty()) {
                    return Ok(tcp);
                }
            }
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
            ensure!(poll(&mut ready, Some(&SOON))? > 0, "the server says nothing");
        }
    }
}

/// The timestamp of a segment.
fn stamp_of(tcp: &TcpHeader) -> Result<u32> {
    let stamp = tcp.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::Timestamp(value, _)) => Some(value),
        _ => None,
    });
    stamp.context("the server uses no timestamps")
}

/// A frame around a segment of the client.
fn frame(tcp: &TcpHeader, payload: &[u8], odd: &Odd) -> Vec<u8> {
    let mut tcp = tcp.clone();
    tcp.checksum = tcp.calc_checksum_ipv4_raw(ENDS[0], ENDS[1], payload).unwrap_or_default();
    if odd.partial {
        let length = (tcp.header_len() + payload.len()) as u16;
        let words = ENDS.iter().flatten().copied().collect::<Vec<u8>>();
        let mut sum: u32 = words.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        sum += 6 + u32::from(length);
        tcp.checksum = ((sum >> 16) + (sum & 0xffff)) as u16;
    }
    let hops = if odd.hops == 0 { 64 } else { odd.hops };
    let length = (tcp.header_len() + payload.len()) as u16;
    let mut ip = Ipv4Header::new(length, hops, IpNumber::TCP, ENDS[0], ENDS[1]).expect("it fits");
    ip.options = Ipv4Options::try_from(odd.of_ip).expect("whole words");
    ip.set_payload_len(usize::from(length)).expect("it fits");
    ip.header_checksum = ip.calc_header_checksum();
    let mut packet = [ip.to_bytes().as_slice(), &tcp.to_bytes(), payload].concat();
    if let Some(at) = odd.spoiled {
        packet[at] = packet[at].wrapping_add(1);
    }
    let macs = [&MACS[6..], &MACS[..6]].concat();
    [macs.as_slice(), &[0x81, 0, 0, 0].repeat(odd.tags), &[8, 0], &packet].concat()
}

impl Client<'_> {
    fn send(&self, payload: &[u8], odd: &Odd) -> Result<()> {
        let mut tcp = TcpHeader::new(self.port, 25, self.next, 0xffff);
        (tcp.ack, tcp.psh) = (true, true);
        tcp.acknowledgment_number = self.server_next.wrapping_add(odd.acknowledgement);
        let stamp = self.stamp.wrapping_add(odd.stamp);
        let stamps = [&[1, 1, 8, 10], stamp.to_be_bytes().as_slice(), &self.echo.to_be_bytes()].concat();
        tcp.set_options_raw(&[stamps.as_slice(), odd.options].concat())
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        send(&self.net.socket, &frame(&tcp, payload, odd), SendFlags::empty())?;
        Ok(())
    }

    /// The server says something, which is acknowledged.
    fn hears(&mut self, line: &[u8]) -> Result<()> {
        self.stream.write_all(line)?;
        let tcp = self.net.received(self.port)?;
        ensure!(tcp.sequence_number == self.server_next, "{tcp:?}");
        self.server_next = self.server_next.wrapping_add(line.len() as u32);
        self.echo = stamp_of(&tcp)?;
        self.stamp += 10;
        self.send(b"", &Odd::default())
    }

    /// What the server reads next.
    fn read(&mut self, length: usize) -> Result<String> {
        let mut got = vec![0; length];
        self.stream.read_exact(&mut got).context("the server reads nothing")?;
        Ok(String::from_utf8_lossy(&got).trim_end().to_owned())
    }

    /// An odd segment, and an ordinary one with other bytes for the same place: what the server reads.
    fn both(&mut self, odd: &Odd) -> Result<String> {
        let (first, second) = (b"VRFY root\r\n", b"NOOP xxxx\r\n");
        self.send(first, odd)?;
        self.send(second, &Odd::default())?;
        let got = self.read(first.len())?;
        self.next += first.len() as u32;
        self.hears(b"250 Ok\r\n")?;
        Ok(got)
    }
}

/// Odd segments, what is odd, the reason that counts them, and whether Linux discards them.
fn cases() -> Vec<(&'static str, Odd, &'static str, bool)> {
    let of = |what, odd, reason| (what, odd, reason, true);
    let plain = Odd::default;
    let ack = |by: i32| Odd { acknowledgement: by as u32, ..plain() };
    vec![
        of("an acknowledgement of one byte more", ack(1), "stream.acknowledgement"),
        of("an acknowledgement of far more", ack(1 << 30), "stream.acknowledgement"),
        of("an acknowledgement older than the server's first byte", ack(-35), "stream.acknowledgement"),
        of(
            "a timestamp older than the last",
            Odd { stamp: 0_u32.wrapping_sub(1_000), ..plain() },
            "stream.old_timestamp",
        ),
        of("TCP MD5", Odd { options: SIGNATURES[0], ..plain() }, "stream.authentication_option"),
        // A kernel that knows nothing of it, or has no keys at all, takes it.
        ("TCP-AO", Odd { options: SIGNATURES[1], ..plain() }, "stream.authentication_option", false),
        of("a wrong checksum", Odd { spoiled: Some(55), ..plain() }, "guards.checksum"),
        of("a checksum as if a device were to complete it", Odd { partial: true, ..plain() }, "guards.checksum"),
        of("a wrong checksum of the IP header", Odd { spoiled: Some(10), ..plain() }, "guards.checksum"),
        // Whether Linux goes this far depends on its version and configuration.
        ("an option that leaves the header", Odd { options: &[9, 9, 1, 1], ..plain() }, "guards.unreadable", false),
        of("a loose source route", Odd { of_ip: &[131, 7, 4, 10, 0, 0, 1, 0], ..plain() }, "stream.ip_option"),
        of("an IP option that leaves the header", Odd { of_ip: &[7, 40, 4, 0], ..plain() }, "stream.ip_option"),
        // A router may drop what asks for its attention.
        ("a router alert", Odd { of_ip: &[148, 4, 0, 0], ..plain() }, "stream.ip_option", false),
        // A server behind a router would not get it.
        ("no hop left", Odd { hops: 1, ..plain() }, "stream.hop_limit", false),
    ]
}

#[test(root)]
fn linux_discards_what_the_filter_discards() -> Result<()> {
    let mut net = Net::new()?;
    for (what, odd, _, discards) in cases() {
        let got = net.connect()?.both(&odd).context(what)?;
        ensure!(!discards || got == "NOOP xxxx", "{what}: the server has read {got}");
    }
    // The same the other way round: what is taken.
    for (what, odd) in [
        ("nothing odd", Odd::default()),
        ("an acknowledgement that was overtaken", Odd { acknowledgement: 0_u32.wrapping_sub(20), ..Odd::default() }),
        ("padding as IP options", Odd { of_ip: &[1, 1, 1, 0], ..Odd::default() }),
        ("nine priority tags", Odd { tags: 9, ..Odd::default() }),
    ] {
        let got = net.connect()?.both(&odd).context(what)?;
        ensure!(got == "VRFY root", "{what}: the server has read {got}");
    }
    let filter = filter(&net.server)?;
    filter.up(&["--iface", "eth0", "--profile", "hardened"])?;
    for (what, odd, reason, _) in cases() {
        let (before, _) = counted(&filter, reason)?;
        let got = net.connect()?.both(&odd).context(what)?;
        ensure!(got == "NOOP xxxx", "{what}: the server has read {got}");
        ensure!(counted(&filter, reason)?.0 == before + 1, "{what}: {}", lab::all_counters(&filter));
    }
    // What the filter cannot read is not for the server to read either.
    let got = net.connect()?.both(&Odd { tags: 9, ..Odd::default() })?;
    ensure!(got == "NOOP xxxx", "nine priority tags: the server has read {got}");
    ensure!(counted(&filter, "guards.unreadable")?.0 == 2, "{}", lab::all_counters(&filter));
    // An honest one whose acknowledgement was overtaken, and a keep-alive, with a byte and without.
    let mut client = net.connect()?;
    let old = Odd { acknowledgement: 0_u32.wrapping_sub(20), ..Odd::default() };
    client.send(b"NOOP a\r\n", &old)?;
    ensure!(client.read(8)? == "NOOP a");
    client.next += 7;
    client.send(b"\0", &Odd::default())?;
    client.send(b"", &Odd::default())?;
    client.next += 1;
    client.hears(b"250 Ok\r\n")?;
    client.both(&Odd::default())?;
    for (reason, seen) in [("stream.acknowledgement", 3), ("stream.old_timestamp", 1), ("guards.checksum", 3)] {
        ensure!(counted(&filter, reason)?.0 == seen, "{reason}: {}", lab::all_counters(&filter));
    }
    // In mode `monitor` it passes, and is not taken for what the server reads.
    filter.set(&["mode=monitor"])?;
    let before = counted(&filter, "commands.vrfy")?.0;
    for (what, odd, _, discards) in cases() {
        // What may be missing in what is seen is the exception: there the segment is read.
        if discards && odd.acknowledgement != 1 {
            let got = net.connect()?.both(&odd).context(what)?;
            ensure!(got == "NOOP xxxx", "{what}: the server has read {got}");
        }
    }
    let after = counted(&filter, "commands.vrfy")?.0;
    ensure!(after == before, "{}", lab::all_counters(&filter));
    Ok(())
}
