//! Rate of replay in user space, on one core: of a capture in memory, read, judged and put into words.
//!
//! Nothing fails by its figures: they are for comparison with one another, in one run on one machine.

#[path = "../support/mod.rs"]
mod support;

use std::{
    hint::black_box,
    io::Cursor,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use smtp_filter::{
    policy::Profile,
    replay::{
        Replay, Source,
        capture::{self, Packet, Sink},
    },
};
use smtp_filter_testkit::captures::{Endian, Frame, LinkType, Pcap, Recording};
use support::{Arguments, Bar, Row, Table, cpus, json, median, show, stay_on};

/// Payload of a segment on a usual Ethernet.
const SEGMENT: usize = 1448;
/// Frames a second that are wanted at least.
const BAR: f64 = 1_000_000.0;
const COLUMNS: &[(&str, usize)] = &[("frames", 0), ("MB/s", 0), ("frames/s", 0)];

fn main() -> ExitCode {
    let arguments = Arguments::read();
    match run(&arguments) {
        Ok(table) => {
            show(&arguments, &table);
            if arguments.json {
                println!("{}", json(&[table]));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Table> {
    let (measured, _) = cpus()?;
    stay_on(&[measured])?;
    let (rounds, sessions) = if arguments.quick { (3, 20) } else { (21, 400) };
    let rows = [
        ("mails of 150 KB", captured(sessions, 100, 25), Some(Bar::Least(BAR))),
        ("mails of 3 KB", captured(sessions * 8, 2, 25), None),
        ("another port", captured(sessions, 100, 26), None),
    ];
    let rows = rows.into_iter().map(|(what, capture, bar)| row(what, &capture, rounds, bar)).collect::<Result<_>>()?;
    Ok(Table {
        title: format!("Replay in user space, one core, medians of {rounds} rounds; every command is an event"),
        columns: COLUMNS,
        rows,
    })
}

/// Measures a capture.
fn row(what: &str, capture: &[u8], rounds: u32, bar: Option<Bar>) -> Result<Row> {
    let mut times = Vec::new();
    let mut frames = 0;
    for _ in 0..rounds {
        let (took, seen) = replay(capture)?;
        times.push(took.as_secs_f64());
        frames = seen;
    }
    let seconds = median(&mut times);
    let figures = [frames as f64, capture.len() as f64 / seconds / 1e6, frames as f64 / seconds];
    Ok(Row::new(what, figures, bar))
}

/// Replays a capture to its end; how long that took, and how many frames there were.
fn replay(capture: &[u8]) -> Result<(Duration, u64)> {
    let source = Source::new(Cursor::new(capture.to_vec()), Some(capture.len() as u64));
    let mut told = Told(Replay::new(&Profile::Monitor.document())?);
    let begun = Instant::now();
    capture::read(source, &mut told)?;
    let took = begun.elapsed();
    let seen = told.0.seen();
    ensure!(seen.stopped == 0 && seen.frames > 0, "{seen:?}");
    Ok((took, seen.frames))
}

struct Told(Replay);

impl Sink for Told {
    fn frame(&mut self, packet: &Packet<'_>) -> Result<()> {
        self.0.frame(packet)?;
        black_box(self.0.events()?);
        Ok(())
    }

    fn waits(&mut self, _read: u64) -> Result<()> {
        Ok(())
    }
}

/// A capture of sessions, each with a mail of so many full segments, every second one acknowledged.
fn captured(sessions: u32, segments: u32, server_port: u16) -> Vec<u8> {
    let mut file = Pcap::new(LinkType::Ethernet, Endian::Little, true);
    let line = b"It was a bright cold day, and the clocks. struck. 13; we all had letters..\r\n";
    let text: Vec<u8> = line.iter().copied().cycle().take(SEGMENT).collect();
    for session in 0..sessions {
        let mut talk = Recording::new(1024 + session as u16);
        talk.to_port(server_port);
        let mut frames: Vec<Frame> = talk.handshake();
        for (from_client, said) in [
            (false, b"220 mail.example ESMTP\r\n".as_slice()),
            (true, b"EHLO client.example\r\n"),
            (false, b"250-mail.example\r\n250 PIPELINING\r\n"),
            (true, b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"),
            (false, b"250 OK\r\n250 OK\r\n"),
            (true, b"DATA\r\n"),
            (false, b"354 Go\r\n"),
        ] {
            frames.push(talk.says(from_client, said));
        }
        for segment in 0..segments {
            frames.push(talk.says(true, &text));
            if segment % 2 == 1 {
                frames.push(talk.acknowledges(false));
            }
        }
        for (from_client, said) in
            [(true, b"\r\n.\r\n".as_slice()), (false, b"250 OK\r\n"), (true, b"QUIT\r\n"), (false, b"221 Bye\r\n")]
        {
            frames.push(talk.says(from_client, said));
        }
        frames.extend([talk.fin(true), talk.fin(false)]);
        frames.iter().for_each(|frame| file.frame(frame, usize::MAX));
    }
    file.bytes
}
