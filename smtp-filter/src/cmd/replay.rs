//! `smtp-filter replay`

use std::{
    io::{self, BufWriter, Stdout, Write as _},
    path::Path,
};

use anstream::AutoStream;
use anyhow::{Context as _, Result, bail};

use super::{
    asked,
    stats::{merge, table},
};
use crate::{
    cli::{self, Global, Usage},
    clock::WallClock,
    events::{console::Line, json, view::EventView},
    policy::Mode,
    replay::{
        Replay, Seen, Source,
        capture::{self, Packet, Sink},
        progress::{Progress, rate},
    },
};

/// Prints the events of a capture, and what was counted.
pub fn run(global: &Global, args: &cli::Replay) -> Result<()> {
    let cli::Replay { file, policy, profile, port } = args;
    let stdin = Path::new("-");
    if file == stdin && policy.as_deref() == Some(stdin) {
        bail!(Usage("replay: capture and policy cannot both come from the standard input".to_owned()));
    }
    let document = asked("replay", policy.as_deref(), profile.as_deref(), port)?;
    let what = || format!("replay {}", file.display());
    let source = Source::open(file).with_context(what)?;
    let mut show = Show {
        replay: Replay::new(&document).with_context(what)?,
        out: BufWriter::new(AutoStream::auto(io::stdout())),
        progress: Progress::new(source.length()),
        json: global.json,
    };
    let read = capture::read(source, &mut show);
    show.progress.clear();
    // The terminal gets events and summary in this order.
    let flushed = show.out.flush().context("write to the standard output");
    // What was read before the file broke off is good.
    if !global.json && (read.is_ok() || show.replay.seen().frames > 0) {
        anstream::eprint!("{}", show.summary(document.mode));
    }
    let seen = show.replay.seen();
    for remark in remarks(&seen) {
        anstream::eprintln!("smtp-filter: {remark}");
    }
    flushed?;
    read.with_context(what)?;
    if seen.foreign > 0 && seen.foreign == seen.frames {
        bail!("replay {}: all of its frames are of link types that are not read", file.display());
    }
    Ok(())
}

/// Shows what the filter says of frames.
struct Show {
    replay: Replay,
    out: BufWriter<AutoStream<Stdout>>,
    progress: Progress,
    json: bool,
}

impl Show {
    fn print(&mut self, events: &[EventView]) -> io::Result<()> {
        for event in events {
            if self.json {
                writeln!(self.out, "{}", json::line(event))?;
            } else {
                writeln!(self.out, "{}", Line(event))?;
            }
        }
        Ok(())
    }

    fn summary(&self, mode: Mode) -> String {
        let seen = self.replay.seen();
        let elapsed = self.progress.elapsed();
        let clock = WallClock::booted(0);
        let span = seen
            .span
            .map_or(String::new(), |(first, last)| format!(", {} to {}", clock.rfc3339(first), clock.rfc3339(last)));
        let done = match mode {
            Mode::Monitor => "mode monitor, nothing is touched".to_owned(),
            Mode::Enforce => {
                format!(
                    "mode enforce, {} would have been stopped, {} reset",
                    frames(seen.stopped),
                    connections(self.replay.resets() as u64)
                )
            }
        };
        let counters = self.replay.counters();
        format!(
            "smtp-filter: {} ({} bytes){span}, in {:.2} s ({} frames/s)\nsmtp-filter: {}, {done}\n{}",
            frames(seen.frames),
            seen.bytes,
            elapsed.as_secs_f64(),
            rate(seen.frames, elapsed),
            connections(self.replay.world().opened),
            table(&merge(&counters, self.replay.names())),
        )
    }
}

impl Sink for Show {
    fn frame(&mut self, packet: &Packet<'_>) -> Result<()> {
        self.replay.frame(packet);
        let events = self.replay.events();
        if !events.is_empty() {
            self.progress.clear();
            self.print(&events).context("write to the standard output")?;
        }
        Ok(())
    }

    fn waits(&mut self, read: u64) -> Result<()> {
        self.out.flush().context("write to the standard output")?;
        if self.progress.is_due() {
            self.progress.show(read, &self.replay.seen());
        }
        Ok(())
    }
}

/// What a reader has to know, or takes the rest for more than it is.
fn remarks(seen: &Seen) -> Vec<String> {
    let Seen { cut_short, foreign, .. } = *seen;
    let mut remarks = Vec::new();
    if cut_short > 0 {
        remarks.push(format!(
            "{} captured cut short, and not judged: what follows them stands behind a gap",
            frames(cut_short)
        ));
    }
    if foreign > 0 {
        remarks.push(format!("{} of link types that are not read", frames(foreign)));
    }
    remarks
}

fn frames(count: u64) -> String {
    format!("{count} {}", if count == 1 { "frame" } else { "frames" })
}

fn connections(count: u64) -> String {
    format!("{count} {}", if count == 1 { "connection" } else { "connections" })
}
