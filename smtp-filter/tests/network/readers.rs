//! Readers of events: several at once, a killed one, one that is too slow, and what each selects.
//!
//! Invariants: I7.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use smtp_filter_testkit::{
    Client, Filter, Namespace, Network, Running, SERVER_V4, SERVER_V6,
    lab::{SOON, filter, schema, wait_until},
};

/// Commands in one segment: more are not kept unacknowledged.
const AT_ONCE: u64 = 100;
/// Commands between two looks at a reader that is to see all of them: a quarter of what its ring buffer holds.
const BETWEEN_LOOKS: u64 = 5_000;
/// More events than a ring buffer holds.
const FLOOD: u64 = 30_000;

/// A server that says 250 to everything.
struct Yes {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Yes {
    fn start(namespace: &Namespace) -> Result<Self> {
        let listener = namespace.enter(|| TcpListener::bind("[::]:25"))?.context("listen on port 25")?;
        let accepts = listener.try_clone()?;
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = accepts.accept() {
                thread::spawn(move || answer(&stream));
            }
        });
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Yes {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    let mut output = stream;
    output.write_all(b"220 server.example ESMTP\r\n")?;
    for line in BufReader::new(stream).split(b'\n') {
        let quits = line?.starts_with(b"QUIT");
        output.write_all(if quits { b"221 Bye\r\n" } else { b"250 Ok\r\n" })?;
        if quits {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

/// A client that says numbered NOOPs.
struct Counting {
    client: Client,
    said: u64,
}

impl Counting {
    fn connect(network: &Network) -> Result<Self> {
        let mut client = Client::connect(&network.client, SERVER_V4)?;
        client.patience(SOON)?;
        client.greeting()?;
        Ok(Self { client, said: 0 })
    }

    /// Says so many, and waits for their replies.
    fn say(&mut self, count: u64) -> Result<()> {
        let end = self.said + count;
        while self.said < end {
            let next = end.min(self.said + AT_ONCE);
            let lines: String = (self.said..next).map(|number| format!("NOOP {number}\r\n")).collect();
            self.client.write(lines.as_bytes())?;
            for _ in self.said..next {
                ensure!(self.client.reply()?.code == 250);
            }
            self.said = next;
        }
        Ok(())
    }
}

/// Numbers of the NOOPs that a reader has shown, in its order.
fn shown(lines: &[String]) -> Result<Vec<u64>> {
    let events = lines.iter().filter(|line| line.contains("\"NOOP\""));
    events
        .map(|line| {
            let event: Value = serde_json::from_str(line)?;
            event["arg"].as_str().and_then(|number| number.parse().ok()).context("a number")
        })
        .collect()
}

/// Waits until a reader has shown the NOOP of this number, from line `from` on; returns the next line's number.
fn wait_for(reader: &Running, from: usize, number: u64) -> Result<usize> {
    let wanted = format!("\"arg\":\"{number}\"");
    Ok(reader.wait_from(from, SOON, |line| line.contains(&wanted).then_some(()))?.1)
}

fn begun(reader: Running) -> Result<Running> {
    reader.wait_for(SOON, |line| line.contains("reading the events of").then_some(()))?;
    Ok(reader)
}

struct Rig {
    filter: Filter,
    _server: Yes,
    network: Network,
}

impl Rig {
    fn new() -> Result<Self> {
        let network = Network::new()?;
        let server = Yes::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        filter.up(&["--iface", "inside"])?;
        Ok(Self { filter, _server: server, network })
    }

    fn reader(&self, words: &[&str]) -> Result<Running> {
        begun(Running::spawn(&mut self.filter.command(&[&["events", "--json"], words].concat()))?)
    }

    /// Every place of a reader is free but for so many.
    fn places_taken(&self, taken: usize) -> Result<()> {
        let rest: Vec<Running> = (taken..8).map(|_| self.reader(&[])).collect::<Result<_>>()?;
        let output = self.filter.run(&["events"])?;
        ensure!(String::from_utf8_lossy(&output.stderr).contains("all 8 places"), "{output:?}");
        drop(rest);
        Ok(())
    }
}

#[test(root)]
fn every_reader_sees_every_event_and_a_killed_one_costs_nobody_any() -> Result<()> {
    let rig = Rig::new()?;
    let (one, mut killed, other) = (rig.reader(&[])?, rig.reader(&[])?, rig.reader(&[])?);
    let mut client = Counting::connect(&rig.network)?;
    client.say(1000)?;
    wait_for(&killed, 0, 10)?;
    killed.kill()?;
    client.say(1000)?;
    for reader in [&one, &other] {
        wait_for(reader, 0, 1999)?;
        ensure!(shown(&reader.lines())?.into_iter().eq(0..2000));
    }
    // Whoever comes next makes its place free; then there are six.
    rig.places_taken(2)?;
    client.say(1)?;
    for reader in [&one, &other] {
        wait_for(reader, 0, 2000)?;
        schema::check_events(&reader.lines())?;
    }
    ensure!(rig.filter.json(&["status"])?["lost_events"] == 0);
    Ok(())
}

#[test(root)]
fn a_slow_reader_loses_events_hears_how_many_and_harms_nobody() -> Result<()> {
    let rig = Rig::new()?;
    let (slow, quick) = (rig.reader(&[])?, rig.reader(&[])?);
    slow.signal(Signal::STOP)?;
    let mut client = Counting::connect(&rig.network)?;
    let mut line = 0;
    while client.said < FLOOD {
        client.say(BETWEEN_LOOKS)?;
        line = wait_for(&quick, line, client.said - 1)?;
    }
    client.client.command("QUIT")?;
    drop(client);
    quick.wait_for(SOON, |line| line.contains("\"kind\":\"close\"").then_some(()))?;
    ensure!(shown(&quick.lines())?.into_iter().eq(0..FLOOD), "the quick one saw all of them");
    ensure!(!quick.lines().iter().any(|line| line.contains("\"lost\"")), "and lost none");

    let lost = rig.filter.json(&["status"])?["lost_events"].as_u64().context("lost_events")?;
    ensure!(lost > 0, "the ring buffer of the slow one is full");
    slow.signal(Signal::CONT)?;
    let said = |line: &str| {
        let value: Value = serde_json::from_str(line).ok()?;
        (value["kind"] == "lost").then(|| value["lost"].as_u64()).flatten()
    };
    ensure!(slow.wait_for(SOON, said)? == lost);
    // What it shows before and after is in order, and with what it lost it is all there was.
    let all = quick.lines().iter().filter(|line| line.starts_with('{')).count() as u64;
    let events =
        |lines: &[String]| lines.iter().filter(|line| line.starts_with('{') && said(line).is_none()).count() as u64;
    wait_until("the slow reader shows what it did not lose", || Ok(events(&slow.lines()) + lost == all))?;
    let numbers = shown(&slow.lines())?;
    ensure!(numbers.is_sorted() && numbers.first() == Some(&0));
    // From now on it loses nothing.
    let mut client = Counting::connect(&rig.network)?;
    client.say(10)?;
    slow.wait_from(slow.lines().len().saturating_sub(1), SOON, |line| line.contains("\"arg\":\"9\"").then_some(()))?;
    ensure!(slow.lines().iter().filter(|line| said(line).is_some()).count() == 1);
    schema::check_events(&slow.lines()[slow.lines().len() - 100..])?;
    Ok(())
}

#[test(root)]
fn a_reader_shows_what_it_was_asked_for() -> Result<()> {
    let rig = Rig::new()?;
    let all = rig.reader(&[])?;
    let words: [&[&str]; 5] = [
        &["--count", "3"],
        &["--reason", "commands.rset", "--count", "2"],
        &["--kind", "connect", "--kind", "close", "--count", "4"],
        &["--client", "2001:db8:1::/64", "--reason", "commands", "--count", "3"],
        &["--client", "203.0.113.0/24"],
    ];
    let readers: Vec<Running> = words.iter().map(|words| rig.reader(words)).collect::<Result<_>>()?;
    for address in [SERVER_V4, SERVER_V6] {
        let mut client = Client::connect(&rig.network.client, address)?;
        client.greeting()?;
        for command in ["HELO a", "RSET", "QUIT"] {
            client.command(command)?;
        }
    }
    let objects =
        |reader: &Running| -> Vec<String> { reader.lines().into_iter().filter(|line| line.starts_with('{')).collect() };
    wait_until("all events are told", || Ok(objects(&all).len() == 10))?;
    let all = objects(&all);
    let of = |parts: &[&str]| -> Vec<String> {
        all.iter().filter(|line| parts.iter().any(|part| line.contains(part))).cloned().collect()
    };
    let mut of_v6 = of(&["[2001:db8:1::10]"]);
    of_v6.retain(|line| line.contains("\"reason\":\"commands."));
    let expected = [all[..3].to_vec(), of(&["commands.rset"]), of(&["\"connect\"", "\"close\""]), of_v6, Vec::new()];
    ensure!(expected.each_ref().map(Vec::len) == [3, 2, 4, 3, 0], "{all:#?}");
    for ((words, mut reader), expected) in words.iter().zip(readers).zip(expected) {
        ensure!(!words.contains(&"--count") || reader.wait(SOON)?, "{words:?} ends well");
        ensure!(objects(&reader) == expected, "{words:?}: {:#?}", reader.lines());
    }
    Ok(())
}
