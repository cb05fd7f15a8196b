//! Goodput of chunks in flight and of large mails over bad lines, with and without the filter in turns.
//!
//! Nothing fails by its figures: they are for comparison with one another, in one run on one machine.

mod mail;
mod path;
#[path = "../support/mod.rs"]
mod support;

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};

use mail::{Way, send};
use path::{Fault, Path, Side};
use support::{Arguments, Bar, Row, Table, json, median, require_root, show};

/// Goodput in MB/s, and the spread of the ratio: its quartiles.
const COLUMNS: &[(&str, usize)] = &[("without", 1), ("with", 1), ("low", 2), ("high", 2), ("ratio", 2)];
/// In the environment: which row is wanted alone.
const ROW: &str = "SMTP_FILTER_FLOW_ROW";
/// Bytes a second that the line carries where its rate is limited: well below what two processors can.
const RATE: u64 = 20_000_000;
const CHUNKS: [usize; 5] = [65_536, 8192, 1024, 300, 30];

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
    let rounds = if arguments.quick { 1 } else { 7 };
    let mut tables = Vec::new();
    for (side, milliseconds) in
        [(Side::None, 0), (Side::Before, 5), (Side::Before, 20), (Side::After, 5), (Side::After, 20)]
    {
        let bench = Bench { path: Path::new(side, Duration::from_millis(milliseconds))?, rounds };
        // At the limited rate the ratio shows what the filter does to the flow, else what its time costs on this
        // machine, too.
        for rate in if side == Side::None { vec![0] } else { vec![RATE, 0] } {
            bench.path.limit(rate);
            let rate = if rate == 0 { String::new() } else { format!(", at most {} MB/s", rate / 1_000_000) };
            let place = place(side, milliseconds) + &rate;
            if !says("SMTP_FILTER_FLOW_PLACE", &place) {
                continue;
            }
            if wanted("chunks") {
                tables.push(bench.chunks(format!("Chunks in flight, {place}: MB/s"))?);
                show(arguments, &tables[tables.len() - 1]);
            }
            if wanted("loss") && milliseconds == 5 {
                tables.push(bench.loss(format!("Large mails over a bad line, {place}: MB/s"), arguments.quick)?);
                show(arguments, &tables[tables.len() - 1]);
            }
        }
    }
    Ok(tables)
}

/// Whether the environment asks for no other row, or place.
fn says(variable: &str, what: &str) -> bool {
    env::var(variable).map_or(true, |wanted| what.contains(&wanted))
}

/// `SMTP_FILTER_FLOW` says which half is wanted alone. `SMTP_FILTER_FLOW_PLACE` and `SMTP_FILTER_FLOW_ROW` are part of
/// what a table and its rows are called, where others are not wanted. With `SMTP_FILTER_FLOW_STATS` the counters of
/// each round are printed, too.
fn wanted(half: &str) -> bool {
    env::var("SMTP_FILTER_FLOW").map_or(true, |wanted| wanted == half)
}

fn place(side: Side, milliseconds: u64) -> String {
    match side {
        Side::None => "no delay, segments as large as the kernel makes them".to_owned(),
        Side::Before => format!("{milliseconds} ms round trip before the filter"),
        Side::After => format!("{milliseconds} ms round trip after the filter"),
    }
}

struct Bench {
    path: Path,
    rounds: u32,
}

impl Bench {
    fn chunks(&self, title: String) -> Result<Table> {
        let mut rows = Vec::new();
        for octets in CHUNKS {
            let bytes = match octets {
                0..100 => 300_000,
                100..1000 => 5_000_000,
                _ => 30_000_000,
            };
            let way = Way { chunk: Some(octets), bytes, control: "cubic" };
            let bar = (octets >= 1024).then_some(Bar::Least(0.9));
            let what = format!("chunks of {octets} octets");
            if says(ROW, &what) {
                rows.push(self.alternate(what, way, Fault::default(), bar)?);
            }
        }
        Ok(Table { title, columns: COLUMNS, rows })
    }

    fn loss(&self, title: String, quick: bool) -> Result<Table> {
        let faults: [(&str, Fault); 5] = [
            ("nothing lost", Fault::default()),
            ("0.1 % lost", Fault { lost: 1, late: 0 }),
            ("1 % lost", Fault { lost: 10, late: 0 }),
            ("3 % lost", Fault { lost: 30, late: 0 }),
            ("2 % overtaken", Fault { lost: 0, late: 20 }),
        ];
        let mut rows = Vec::new();
        for control in ["cubic", "bbr"] {
            for (what, fault) in faults {
                let bytes = match (control, fault.lost) {
                    ("cubic", 30..) => 3_000_000,
                    ("cubic", 10..) => 5_000_000,
                    _ if quick => 5_000_000,
                    _ => 20_000_000,
                };
                let way = Way { chunk: None, bytes, control };
                let what = format!("{control}, {what}");
                if says(ROW, &what) {
                    rows.push(self.alternate(what, way, fault, Some(Bar::Least(0.95)))?);
                }
            }
        }
        Ok(Table { title, columns: COLUMNS, rows })
    }

    /// Sends the mail without and with the filter, in turns; in a round the line does the same to both, as far as they
    /// send the same segments.
    fn alternate(&self, what: String, way: Way, fault: Fault, bar: Option<Bar>) -> Result<Row> {
        let filter = &self.path.filter;
        let rate = |(bytes, time): (usize, Duration)| bytes as f64 / time.as_secs_f64() / 1e6;
        let mut pairs = Vec::new();
        for round in 0..self.rounds {
            self.path.fault(fault, u64::from(round));
            let without = rate(send(&self.path, way).with_context(|| format!("{what}, without"))?);
            filter.up(&["--iface", "inside", "--profile", "hardened"])?;
            filter.set(&["extensions.chunking=pass", "guards.unknown_connection.grace=0s"])?;
            self.path.fault(fault, u64::from(round));
            let with = send(&self.path, way);
            if env::var_os("SMTP_FILTER_FLOW_STATS").is_some() || with.is_err() {
                eprintln!("{what}, round {round}\n{}", filter.succeed(&["stats"])?);
            }
            let with = rate(with.with_context(|| format!("{what}, with"))?);
            filter.down()?;
            pairs.push((without, with));
        }
        let of = |figure: fn(&(f64, f64)) -> f64| {
            let mut figures = pairs.iter().map(figure).collect::<Vec<_>>();
            let middle = median(&mut figures);
            (figures[figures.len() / 4], middle, figures[figures.len() * 3 / 4])
        };
        let (low, ratio, high) = of(|pair| pair.1 / pair.0);
        Ok(Row::new(what, [of(|pair| pair.0).1, of(|pair| pair.1).1, low, high, ratio], bar))
    }
}
