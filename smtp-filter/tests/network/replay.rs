//! What the filter said while mail passed, and what replay says of a capture of the wire at its interface: the same.
//!
//! Invariants: I7.

use std::{collections::BTreeMap, fs, io::ErrorKind, net::TcpStream, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use smtp_filter::replay::{
    Source,
    capture::{self, Packet, Sink},
};
use smtp_filter_testkit::{
    Client, MailServer, Namespace, Network, Running, SERVER_V4, SERVER_V6,
    lab::{LATER, SOON, TemporaryFile, begin_data, events, filter, hello, mail, say, stuffed, succeed, wait_until},
};

const LARGE: usize = 4_000_000;
const SETTINGS: [&str; 5] =
    ["mode=enforce", "commands.ehlo=drop", "commands.vrfy=reset", "commands.expn=mark", "capture_envelope=true"];
/// Clients at the same time.
const CLIENTS: usize = 6;

/// The filter and the capture read their clocks at two places of a segment's way: their milliseconds may differ, and by
/// more where the machine is slow, but not by what tells one session from another.
const APART: u64 = 1_000;

/// Events without what a capture cannot know or numbers otherwise, by client, and how many milliseconds the connection
/// took that ends.
fn comparable<'a>(lines: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, Vec<(String, u64)>>> {
    let mut events: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for line in lines.filter(|line| line.starts_with('{')) {
        let mut event: Value = serde_json::from_str(line).context("an event")?;
        let event = event.as_object_mut().context("an object")?;
        for key in ["ts", "connection", "iface"] {
            event.remove(key).with_context(|| format!("{key}: {line}"))?;
        }
        let client = event["client"].as_str().context("a client")?.to_owned();
        let summary = event.get_mut("summary").and_then(Value::as_object_mut);
        let duration = summary.and_then(|summary| summary.remove("duration_ms")).and_then(|duration| duration.as_u64());
        ensure!(duration.is_some() == (event["kind"] == "close"), "a close, and nothing else, says how long: {line}");
        events.entry(client).or_default().push((serde_json::to_string(event)?, duration.unwrap_or_default()));
    }
    Ok(events)
}

/// A session to its end: commands, several of them in one segment, a large mail, a command that is marked.
fn whole_session(from: &Namespace, number: usize) -> Result<()> {
    let mut client = hello(from, [SERVER_V4, SERVER_V6][number & 1], "HELO")?;
    client.write(&b"NOOP\r\n".repeat(400))?;
    for _ in 0..400 {
        ensure!(client.reply()?.code == 250);
    }
    client.command("EXPN list")?;
    begin_data(&mut client)?;
    client.write(&stuffed(&mail(LARGE, number as u64)))?;
    ensure!(client.reply()?.code == 250);
    say(&mut client, "QUIT", 221)
}

/// How long the frames of a capture are.
#[derive(Default)]
struct Lengths(Vec<usize>);

impl Sink for Lengths {
    fn frame(&mut self, packet: &Packet<'_>) -> Result<()> {
        ensure!(packet.is_whole(), "a frame was captured cut short");
        self.0.push(packet.bytes.len());
        Ok(())
    }

    fn waits(&mut self, _read: u64) -> Result<()> {
        Ok(())
    }
}

fn tcpdump(gateway: &Namespace, file: &Path) -> Result<Running> {
    // Before all others, or its buffer runs over where the machine is busy.
    let mut tcpdump = gateway.command("nice");
    tcpdump.args([
        "-n",
        "-20",
        "tcpdump",
        "-i",
        "inside",
        "--immediate-mode",
        "-U",
        "-s",
        "65600",
        "-B",
        "131072",
        "-Z",
        "root",
        "-w",
    ]);
    let tcpdump = Running::spawn(tcpdump.arg(file).args(["tcp", "port", "25"]))?;
    tcpdump.wait_for(SOON, |line| line.contains("listening on").then_some(()))?;
    Ok(tcpdump)
}

/// Waits until tcpdump has written everything down: what it has not when it is stopped is lost. A connection that
/// nobody takes comes last, and the server's kernel refuses it.
fn is_written(client: &Namespace, file: &Path) -> Result<()> {
    let refused = client.enter(|| TcpStream::connect_timeout(&SERVER_V6, SOON))?;
    ensure!(refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused), "somebody listens still");
    wait_until("the last frame is written", || {
        let bytes = fs::read(file)?;
        let packet = SlicedPacket::from_ethernet(&bytes[bytes.len().saturating_sub(ETHERNET_IPV6_TCP)..]);
        let Ok(SlicedPacket { net: Some(NetSlice::Ipv6(_)), transport: Some(TransportSlice::Tcp(tcp)), .. }) = packet
        else {
            return Ok(false);
        };
        Ok(tcp.rst() && tcp.source_port() == SERVER_V6.port())
    })
}

/// Bytes of a frame that has headers alone.
const ETHERNET_IPV6_TCP: usize = 14 + 40 + 20;

/// Keeps this thread, and what it starts, on one CPU, and with them every segment: where two CPUs judge segments of one
/// connection at the same time, the order in which a capture has them need not be that of the filter.
fn on_one_cpu() -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).context("a CPU")?;
    let mut one = CpuSet::new();
    one.set(first);
    Ok(sched_setaffinity(None, &one)?)
}

/// No TCP connection of a namespace is under way any more.
fn is_quiet(namespace: &Namespace) -> Result<bool> {
    let sockets = succeed(namespace.command("ss").args(["-Htan", "exclude", "listening", "exclude", "time-wait"]))?;
    Ok(sockets.trim().is_empty())
}

#[test(root)]
fn replay_of_a_capture_of_the_wire_says_what_the_filter_said() -> Result<()> {
    let network = Network::new()?;
    let Network { client, gateway, server } = &network;
    let filter = filter(gateway)?;
    filter.up(&["--iface", "inside"])?;
    filter.set(&SETTINGS)?;
    let live = events(&filter)?;
    let file = TemporaryFile::new("wire.pcap", b"")?;
    let mut capture = tcpdump(gateway, &file.0)?;
    on_one_cpu()?;
    let receiver = MailServer::start(server)?;

    thread::scope(|scope| -> Result<()> {
        let sessions: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || whole_session(client, number))).collect();
        for session in sessions {
            session.join().map_err(|_| anyhow::anyhow!("a session panicked"))??;
        }
        Ok(())
    })?;
    receiver.wait_for_mails(CLIENTS, LATER)?;
    // EHLO is dropped, and comes again and again until the client gives up.
    for to in [SERVER_V4, SERVER_V6] {
        let mut impatient = Client::connect(client, to)?;
        impatient.patience(SOON)?;
        ensure!(impatient.greeting()?.code == 220);
        impatient.patience(Duration::from_secs(1))?;
        let silence = impatient.command("EHLO client.example").err().context("EHLO was answered")?;
        ensure!(Client::timed_out(&silence), "{silence:#}");
        impatient.abort()?;
    }
    // VRFY is reset.
    let mut curious = hello(client, SERVER_V4, "HELO")?;
    let reset = curious.command("VRFY root").err().context("VRFY was answered")?;
    ensure!(Client::was_reset(&reset), "{reset:#}");
    drop(curious);
    // Only now the server closes what the clients have closed.
    drop(receiver);
    wait_until("every connection has ended", || Ok(is_quiet(server)? && is_quiet(client)?))?;
    is_written(client, &file.0)?;
    ensure!(capture.stop()?, "{:?}", capture.lines());
    let said = capture.lines();
    ensure!(said.iter().any(|line| line.starts_with("0 packets dropped by kernel")), "{said:?}");

    let mut lengths = Lengths::default();
    capture::read(Source::open(&file.0)?, &mut lengths)?;
    let long = lengths.0.iter().filter(|length| **length > 60_000).count();
    println!("{} frames, {long} above 60,000 bytes", lengths.0.len());
    ensure!(long > 20, "{long} long frames");

    let policy = TemporaryFile::new("wire.toml", filter.succeed(&["policy", "show", "--toml"])?.as_bytes())?;
    let words = ["replay", text(&file.0)?, "--policy", text(&policy.0)?, "--json"];
    let replayed = filter.succeed(&words)?;
    let replayed = comparable(replayed.lines().filter(|line| !line.contains("\"kind\":\"stats\"")))?;
    let count: usize = replayed.values().map(Vec::len).sum();
    ensure!(count > CLIENTS * 400, "{count} events");
    // The reader may be behind.
    wait_until("the filter has said as much", || {
        Ok(live.lines().iter().filter(|line| line.starts_with('{')).count() >= count)
    })?;
    let live = live.lines();
    let live = comparable(live.iter().map(String::as_str))?;
    for (client, replayed) in &replayed {
        let live = live.get(client).with_context(|| format!("{client} is not told of"))?;
        for (number, (live, replayed)) in live.iter().zip(replayed).enumerate() {
            let same = live.0 == replayed.0 && live.1.abs_diff(replayed.1) <= APART;
            ensure!(same, "event {number} of {client}: {live:?} by the filter, {replayed:?} by replay");
        }
        ensure!(live.len() == replayed.len(), "{client}: {} by the filter, {} by replay", live.len(), replayed.len());
    }
    ensure!(live.len() == replayed.len(), "clients: {:?}, {:?}", live.keys(), replayed.keys());
    ensure!(filter.json(&["status"])?["lost_events"] == 0);
    let in_kernel = filter.succeed(&[words.as_slice(), &["--kernel"]].concat())?;
    ensure!(in_kernel == filter.succeed(&words)?, "the kernel says something else of the capture");
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}
