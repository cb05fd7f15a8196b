//! Program time by BPF_PROG_TEST_RUN: of the filter and, beside it in the same run, of an empty program.
//!
//! Nothing fails by its figures: they are for comparison with one another, in one run on one machine.

mod meter;
mod session;
#[path = "../support/mod.rs"]
mod support;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::UnshareFlags;
use smtp_filter::events::reader::EventReader;

use meter::{Figures, Meter, Rounds};
use session::{Segment, Session};
use smtp_filter_testkit::dialogue::Side;
use support::{Arguments, Bar, Row, Table, cpus, json, require_root, show, stay_on};

const CLIENT: [u8; 4] = [192, 0, 2, 10];
/// Payloads of a segment: of a usual Ethernet, and the largest that BPF_PROG_TEST_RUN takes.
const SIZES: [usize; 2] = [1448, 3500];
/// Lines of prose that fill the longest payload of all.
const LINES: usize = 48;
/// Usual mail data: dots, but none at a line's start.
const PROSE: &[u8] = b"It was a bright cold day, and the clocks. struck. 13; we all had letters..\r\n";
/// Live connections in the full table.
const MANY: u32 = 200_000;
const COLUMNS: &[(&str, usize)] = &[("bytes", 0), ("filter", 0), ("empty", 0), ("above", 0)];

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
    // SAFETY: only the network namespace is left, and there is no other thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.context("make a network namespace")?;
    let (measured, beside) = cpus()?;
    // State by CPU stays where it is.
    stay_on(&[measured])?;
    let rounds = if arguments.quick {
        Rounds { rounds: 5, repeat: 2_000, packets: 20 }
    } else {
        Rounds { rounds: 201, repeat: 20_000, packets: 50 }
    };
    if !arguments.json {
        println!(
            "Nanoseconds of program time a segment, medians of {} rounds in which the filter and an empty program take \
             turns;\n`above`: what the filter takes above the empty program. Other work on the machine shows in them.\n",
            rounds.rounds
        );
    }
    let mut tables = Vec::new();
    let mut add = |table: Table| {
        show(arguments, &table);
        tables.push(table);
    };
    let mut meter = Meter::load(1_024, rounds)?;
    add(sizes(&meter)?);
    add(others(&mut meter)?);
    add(retransmissions(&mut meter)?);
    let texts = texts(&mut meter)?;
    let per_byte = per_byte(&texts);
    add(texts);
    add(per_byte);
    add(commands(&mut meter, &beside)?);
    drop(meter);
    add(summed(rounds)?);
    let (many, ratios) = many(rounds)?;
    add(many);
    add(ratios);
    Ok(tables)
}

fn row(what: impl Into<String>, bytes: usize, figures: Figures, bar: Option<f64>) -> Row {
    let Figures { filter, nothing, above } = figures;
    Row::new(what, [bytes as f64, filter, nothing, above], bar.map(Bar::Most))
}

fn sizes(meter: &Meter) -> Result<Table> {
    let mut sizes = meter.sizes()?;
    let sum = |of: fn(&(&str, u32, u32)) -> u32| sizes.iter().map(of).sum();
    let all = ("all together", sum(|size| size.1), sum(|size| size.2));
    sizes.push(all);
    let row = |(name, walked, code)| Row::new(name, [f64::from(walked), f64::from(code)], None);
    let rows = sizes.into_iter().map(row).collect();
    let columns = &[("instructions verified", 0), ("bytes of machine code", 0)];
    Ok(Table { title: "The programs".to_owned(), columns, rows })
}

/// Segments that change nothing.
fn others(meter: &mut Meter) -> Result<Table> {
    let payload = vec![b'a'; SIZES[0]];
    let mut rows = Vec::new();
    for (what, frame) in [
        ("TCP, port 80, IPv4", session::other_port(false, &payload)),
        ("TCP, port 80, IPv6", session::other_port(true, &payload)),
        ("UDP, IPv4", session::datagram(&payload)),
    ] {
        rows.push(row(what, payload.len(), meter.repeated(Side::Client, &frame)?, Some(25.0)));
    }
    let mut session = Session::in_text(CLIENT);
    meter.play(&session.take())?;
    for side in [Side::Client, Side::Server] {
        session.acknowledge(side);
        for Segment { from, frame } in session.take() {
            let what = format!("acknowledgement, {}'s", if from == Side::Client { "client" } else { "server" });
            rows.push(row(what, 0, meter.repeated(from, &frame)?, None));
        }
    }
    Ok(Table {
        title: "Other ports, and what carries no bytes (one packet again and again)".to_owned(),
        columns: COLUMNS,
        rows,
    })
}

/// Retransmissions of mail data where as much is remembered of it as there may be: what a client may send again and
/// again.
fn retransmissions(meter: &mut Meter) -> Result<Table> {
    /// Out-of-order ranges in the entry and in a slot of the pool; as many segments leave a boundary each.
    const POOL_RANGES: u32 = 516;
    const LINE: &[u8] = b"aaaaaaaaaaaaaaaaaa\r\n";
    const APART: u32 = 30;
    let mut rows = Vec::new();
    let mut session = Session::in_text([10, 3, 0, 0]);
    meter.play(&session.take())?;
    let again = meter.repeated(Side::Client, &in_order(&mut session, &LINE[..4]))?;
    rows.push(row("mail data, 4 bytes of it, nothing remembered", 4, again, None));
    let mut session = Session::in_text([10, 3, 0, 1]);
    (0..POOL_RANGES).for_each(|number| session.client_after(100 + number * APART, LINE));
    meter.play(&session.take())?;
    for (what, bytes) in [
        ("mail data, 4 bytes inside one of 516 out-of-order ranges", &LINE[..4]),
        ("mail data, one of 516 out-of-order ranges", LINE),
    ] {
        session.client_after(100 + 500 * APART, bytes);
        let [Segment { frame, .. }] = &session.take()[..] else { anyhow::bail!("one segment") };
        rows.push(row(what, bytes.len(), meter.repeated(Side::Client, frame)?, Some(5_000.0)));
    }
    let mut session = Session::in_text([10, 3, 0, 2]);
    (0..POOL_RANGES).for_each(|_| session.client(LINE));
    let sent = session.take();
    meter.play(&sent)?;
    let Some(Segment { frame, .. }) = sent.get(500 + sent.len() - POOL_RANGES as usize) else {
        anyhow::bail!("many segments")
    };
    let again = meter.repeated(Side::Client, frame)?;
    rows.push(row("mail data, a retransmission among 512 boundaries", LINE.len(), again, Some(5_000.0)));
    Ok(Table {
        title: "Retransmissions of mail data, all that may be remembered of it (one packet again and again)".to_owned(),
        columns: COLUMNS,
        rows,
    })
}

/// A segment of the client's next bytes.
fn in_order(session: &mut Session, payload: &[u8]) -> Vec<u8> {
    session.client(payload);
    session.take().pop().map(|segment| segment.frame).unwrap_or_default()
}

/// Mail data, chunks and TLS.
fn texts(meter: &mut Meter) -> Result<Table> {
    /// A kind: its name, the session before it, its bytes, and its bar's nanoseconds a byte.
    type Kind = (&'static str, fn([u8; 4]) -> Session, &'static [u8], Option<f64>);
    const KINDS: [Kind; 5] = [
        ("text", Session::in_text, PROSE, Some(0.3)),
        (
            "text in base64",
            Session::in_text,
            b"SXQgd2FzIGEgYnJpZ2h0IGNvbGQgZGF5IGluIEFwcmlsLCBhbmQgdGhlIGNsb2NrcyB3ZXJlIHN0\r\n",
            Some(0.2),
        ),
        (
            "text, a dot begins each line",
            Session::in_text,
            b"..is how a line with a dot in front looks like, and this is 80 bytes long......\r\n",
            Some(0.3),
        ),
        ("chunk (BDAT)", Session::in_chunk, PROSE, None),
        ("TLS", Session::in_tls, b"\x17\x03\x03\x05\xa3 nobody reads this", None),
    ];
    let mut rows = Vec::new();
    for (number, (what, begin, line, per_byte)) in (0..).zip(KINDS) {
        for (size, place) in SIZES.into_iter().zip(0..) {
            let bytes: Vec<u8> = line.iter().copied().cycle().take(size).collect();
            let mut session = begin([10, 1, number, place]);
            // Behind every segment lies what is left of a longer one, as it does in a mixture of mails.
            session.client(&PROSE.repeat(LINES));
            meter.play(&session.take())?;
            let figures = meter.streamed(Side::Client, || Ok(acknowledged(&mut session, &bytes)))?;
            rows.push(row(what, size, figures, per_byte.map(|rate| 150.0 + rate * size as f64)));
        }
    }
    let title = "What is sent as mail (each segment another; bar: 150 ns and so much a byte)";
    Ok(Table { title: title.to_owned(), columns: COLUMNS, rows })
}

/// Two segments and the server's acknowledgement.
fn acknowledged(session: &mut Session, bytes: &[u8]) -> Vec<Segment> {
    session.client(bytes);
    session.client(bytes);
    session.acknowledge(Side::Server);
    session.take()
}

/// Mail data whose checksums nobody has looked at.
fn summed(rounds: Rounds) -> Result<Table> {
    let mut rows = Vec::new();
    for (what, setting) in [("summed up", "guards.checksum=drop"), ("not looked at", "guards.checksum=pass")] {
        let mut meter = Meter::load_with(1_024, rounds, setting)?;
        for size in SIZES {
            let bytes: Vec<u8> = PROSE.iter().copied().cycle().take(size).collect();
            let mut session = Session::in_text([10, 2, 0, rows.len() as u8]);
            meter.play(&session.take())?;
            let figures = meter.streamed(Side::Client, || Ok(acknowledged(&mut session, &bytes)))?;
            rows.push(row(what, size, figures, None));
        }
    }
    let title = "Text whose checksums neither card nor stack has looked at (guards.checksum)";
    Ok(Table { title: title.to_owned(), columns: COLUMNS, rows })
}

/// What a byte costs, and what is left for a segment without any.
fn per_byte(texts: &Table) -> Table {
    let row = |rows: &[Row]| {
        let [short, long] = rows else { return None };
        let ([bytes, .., above], [more_bytes, .., more]) = (&*short.figures, &*long.figures) else { return None };
        let rate = (more - above) / (more_bytes - bytes);
        // The bars of the two sizes lie on a line too.
        let (first, second) = (short.bar.map(Bar::number), long.bar.map(Bar::number));
        let bar = first.zip(second).map(|(first, second)| (second - first) / (more_bytes - bytes));
        Some(Row::new(short.what.clone(), [above - rate * bytes, rate], bar.map(Bar::Most)))
    };
    let rows = texts.rows.chunks(SIZES.len()).filter_map(row).collect();
    let columns = &[("a segment", 0), ("a byte", 3)];
    Table {
        title: "The same, above the empty program: for the segment, and for each of its bytes".to_owned(),
        columns,
        rows,
    }
}

/// Commands and replies.
fn commands(meter: &mut Meter, beside: &[usize]) -> Result<Table> {
    let command = |length: usize| {
        let mut line = b"VRFY ".to_vec();
        line.extend(b"alice.in.wonderland@client.example ".iter().cycle().take(length - 7));
        line.extend(b"\r\n");
        line
    };
    let reply = b"252 2.0.0 cannot verify, but will try.\r\n";
    let measure = |meter: &mut Meter, what: &str, place: u8, side: Side, length: usize, bar: Option<f64>| {
        let line = command(length);
        let mut session = Session::extended([10, 2, 0, place]);
        meter.play(&session.take())?;
        let figures = meter.streamed(side, || {
            session.exchange(&line, reply);
            Ok(session.take())
        })?;
        let bytes = if side == Side::Client { line.len() } else { reply.len() };
        anyhow::Ok(row(what, bytes, figures, bar))
    };
    let mut rows = vec![
        measure(meter, "command, nobody reads events", 0, Side::Client, 40, None)?,
        measure(meter, "long command, nobody reads events", 1, Side::Client, 440, None)?,
        measure(meter, "reply", 2, Side::Server, 40, None)?,
    ];
    // One that has more to read than it can is not woken by each event, one that waits for the next is.
    let reader = meter.reader()?;
    rows.push(measure(meter, "command, its event to a busy reader", 3, Side::Client, 40, Some(1_000.0))?);
    drop(reader);
    let reading = Reading::begin(meter.reader()?, beside.to_vec());
    rows.push(measure(meter, "command, its event to a waiting reader", 4, Side::Client, 40, Some(1_000.0))?);
    ensure!(reading.end()? > 0, "the reader got no event");
    Ok(Table {
        title: "Commands and replies (each another; every command is logged)".to_owned(),
        columns: COLUMNS,
        rows,
    })
}

/// A reader at work on a thread of its own, on the other CPUs.
struct Reading {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Reading {
    fn begin(mut reader: EventReader, cpus: Vec<usize>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            stay_on(&cpus)?;
            let mut read = 0;
            while !ended.load(Ordering::Relaxed) {
                read += u64::from(reader.next_within(Duration::from_millis(50))?.is_some());
            }
            Ok(read + reader.count() as u64)
        });
        Self { ends, thread }
    }

    /// How many events it has read.
    fn end(self) -> Result<u64> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Mail data with one live connection, and with a table full of them.
fn many(rounds: Rounds) -> Result<(Table, Table)> {
    let bytes = PROSE.repeat(20);
    let bytes = &bytes[..SIZES[0]];
    let mut meter = Meter::load(1 << 18, rounds)?;
    let mut one = Session::in_text(CLIENT);
    meter.play(&one.take())?;
    let alone = meter.streamed(Side::Client, || Ok(acknowledged(&mut one, bytes)))?;
    // The copies begin where this one stands.
    let here = one.clone();
    let other = |number: u32| here.like((0x0a10_0000 + number).to_be_bytes());
    meter.copy(&here, (1..MANY).map(other))?;
    let mut sessions = (1..MANY).map(|number| other(number * 7_919 % MANY)).cycle();
    let each = meter.streamed(Side::Client, || {
        let mut session = sessions.next().context("there are many")?;
        session.client(bytes);
        Ok(session.take())
    })?;
    let same = meter.streamed(Side::Client, || Ok(acknowledged(&mut one, bytes)))?;
    let rows = vec![
        row("1 live connection", bytes.len(), alone, None),
        row("200,000 live, always the same one", bytes.len(), same, None),
        row("200,000 live, each segment another one's", bytes.len(), each, None),
    ];
    let table = Table { title: "Mail data with many live connections".to_owned(), columns: COLUMNS, rows };
    let ratio = |what: &str, figures: Figures| Row::new(what, [figures.filter / alone.filter], Some(Bar::Most(1.5)));
    let rows = vec![ratio("the same one", same), ratio("each segment another one's", each)];
    let title = "The same, as a ratio to 1 live connection".to_owned();
    Ok((table, Table { title, columns: &[("ratio", 2)], rows }))
}
