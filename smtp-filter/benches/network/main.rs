//! Throughput through a gateway with and without the filter, in turns, over veth pairs on this machine.
//!
//! Nothing fails by its figures: they are for comparison with one another, in one run on one machine.

mod sink;
#[path = "../support/mod.rs"]
mod support;

use std::{
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    programs::{ProgramInfo, loaded_programs},
    sys::{Stats, enable_stats},
};
use smtp_filter_testkit::{Filter, Network, Running, postfix_tool};

use sink::{Sink, Way};
use support::{Arguments, Bar, Row, Table, cpus, json, median, require_root, show};

/// Bytes of a usual large mail.
const MAIL: usize = 5_000_000;
const COLUMNS: &[(&str, usize)] = &[("without", 0), ("with", 0), ("ratio", 2)];

fn main() -> ExitCode {
    let arguments = Arguments::read();
    match run(&arguments) {
        Ok(tables) => {
            if arguments.json {
                println!("{}", json(&tables));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Vec<Table>> {
    require_root()?;
    let gateway = Gateway::new()?;
    let (rounds, mails, huge) = if arguments.quick { (2, 4, 50_000_000) } else { (9, 60, 1_000_000_000) };
    if !arguments.json {
        println!("Medians of {rounds} rounds with and without the filter in turns; other work on the machine shows.\n");
    }
    let mut rows = Vec::new();
    {
        let _sink = gateway.start_sink()?;
        let sent = gateway.alternate(rounds, || gateway.send_by_source(mails))?;
        rows.push(sent.row("smtp-source to smtp-sink, mails of 5 MB", 0.95));
    }
    let sink = Sink::listen(&gateway.network.server)?;
    let (one, others) = cpus()?;
    let client = &gateway.network.client;
    let fastest = Way { bytes: huge, at_once: 1 << 18, places: Some((one, &others)) };
    for (what, way) in [
        ("one huge mail to a sink that does nothing, 256 KiB written at once", fastest),
        ("the same, its ends on whatever CPU the kernel likes", Way { places: None, ..fastest }),
        ("one huge mail, 4 KiB written at once, as mail software does", Way { at_once: 1 << 12, ..fastest }),
    ] {
        rows.push(gateway.alternate(rounds, || sink.send(client, way))?.row(what, 0.6));
    }
    let throughput = Table { title: "Throughput in MB/s".to_owned(), columns: COLUMNS, rows };
    show(arguments, &throughput);

    let programs = gateway.program_time(|| sink.send(client, fastest))?;
    show(arguments, &programs);
    Ok(vec![throughput, programs])
}

/// The network, and a filter for its gateway.
struct Gateway {
    filter: Filter,
    network: Network,
}

/// Throughput in bytes a second.
struct Sent {
    without: f64,
    with: f64,
    /// Round by round.
    ratio: f64,
}

impl Sent {
    fn row(&self, what: &str, least: f64) -> Row {
        let Self { without, with, ratio } = self;
        Row::new(what, [without / 1e6, with / 1e6, *ratio], Some(Bar::Least(least)))
    }
}

impl Gateway {
    fn new() -> Result<Self> {
        let network = Network::new()?;
        let filter = Filter::new(env!("CARGO_BIN_EXE_smtp-filter"), &network.gateway)?;
        Ok(Self { filter, network })
    }

    /// Puts the filter on: every command is logged, and everything is judged as where things are enforced.
    fn up(&self) -> Result<()> {
        self.filter.up(&["--iface", "inside", "--profile", "monitor"])?;
        self.filter.set(&["mode=enforce"]).map(drop)
    }

    /// Takes it off, after a look at whether the mail went by it.
    fn down(&self, sent: usize) -> Result<()> {
        let stats = self.filter.json(&["stats"])?;
        let rows = stats["reasons"].as_array().context("stats without reasons")?;
        let read: u64 = rows.iter().filter_map(|row| row["bytes"].as_u64()).sum();
        ensure!(read >= sent as u64, "{sent} bytes of mail data were sent, and the filter saw {read} bytes");
        self.filter.down().map(drop)
    }

    /// Does the same without and with the filter, in turns; `work` returns the bytes and the time they took.
    fn alternate(&self, rounds: u32, work: impl Fn() -> Result<(usize, Duration)>) -> Result<Sent> {
        let mut pairs = Vec::new();
        let rate = |(bytes, time): (usize, Duration)| bytes as f64 / time.as_secs_f64();
        for round in 0..rounds + 1 {
            let without = work()?;
            self.up()?;
            let with = work()?;
            self.down(with.0)?;
            // The first round warms caches.
            if round > 0 {
                pairs.push((rate(without), rate(with)));
            }
        }
        let of = |figure: fn(&(f64, f64)) -> f64| median(&mut pairs.iter().map(figure).collect::<Vec<_>>());
        Ok(Sent { without: of(|pair| pair.0), with: of(|pair| pair.1), ratio: of(|pair| pair.1 / pair.0) })
    }

    /// Starts smtp-sink.
    fn start_sink(&self) -> Result<Running> {
        let mut sink = postfix_tool(&self.network.server, "smtp-sink")?;
        let sink = Running::spawn(sink.args(["-u", "nobody", "198.51.100.25:25", "100"]))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = self.send_by_source(1) {
            ensure!(Instant::now() < deadline, "smtp-sink does not answer: {error:#}");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(sink)
    }

    /// Sends mails of 5 MB by smtp-source, two at a time.
    fn send_by_source(&self, mails: usize) -> Result<(usize, Duration)> {
        let mut source: Command = postfix_tool(&self.network.client, "smtp-source")?;
        source.args(["-s", "2", "-f", "alice@client.example", "-t", "bob@server.example"]);
        source.args(["-m", &mails.to_string(), "-l", &MAIL.to_string(), "inet:198.51.100.25:25"]);
        let start = Instant::now();
        let output = source.output().context("run smtp-source")?;
        let time = start.elapsed();
        ensure!(output.status.success(), "smtp-source: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok((mails * MAIL, time))
    }

    /// Program time of the filter while something is sent, as the kernel counts it.
    fn program_time(&self, work: impl Fn() -> Result<(usize, Duration)>) -> Result<Table> {
        self.up()?;
        let status = self.filter.json(&["status"])?;
        let interface = &status["interfaces"][0];
        let _counting = enable_stats(Stats::RunTime).context("have the kernel count program time")?;
        let (sent, _) = work()?;
        let mut rows = Vec::new();
        for (what, key) in [("ingress: mail data", "ingress_program"), ("egress: acknowledgements", "egress_program")] {
            let id = interface[key].as_u64().with_context(|| format!("status without {key}"))?;
            let info: Option<ProgramInfo> = loaded_programs().flatten().find(|info| u64::from(info.id()) == id);
            let info = info.context("the program is gone")?;
            let (time, segments) = (info.run_time().as_nanos() as f64, info.run_count() as f64);
            let mut figures = vec![segments, time / segments];
            if key == "ingress_program" {
                figures.extend([sent as f64 / segments, time / sent as f64]);
            }
            rows.push(Row::new(what, figures, None));
        }
        self.down(sent)?;
        let columns = &[("segments", 0), ("ns each", 0), ("bytes each", 0), ("ns a byte", 3)];
        Ok(Table { title: format!("Program time for one mail of {} MB", sent / 1_000_000), columns, rows })
    }
}
