//! `smtp-filter replay`

use std::{
    io::{self, BufWriter, IsTerminal as _, Stdout, Write as _},
    path::Path,
};

use anstream::AutoStream;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::{
    asked,
    stats::{Row, merge, table},
};
use crate::{
    cli::{self, Global, Usage},
    clock::WallClock,
    events::{console::Line, json, view::EventView},
    output::print_json,
    policy::Mode,
    replay::{
        Judge, Replay, Seen, Source,
        capture::{self, Packet, Sink},
        kernel::Kernel,
        progress::{Progress, rate},
        write::Output,
    },
    system,
};

/// Prints the events of a capture, and what was counted.
pub fn run(global: &Global, args: &cli::Replay) -> Result<()> {
    let cli::Replay { file, policy, profile, port, kernel, write } = args;
    let stdin = Path::new("-");
    if file == stdin && policy.as_deref() == Some(stdin) {
        bail!(Usage("replay: capture and policy cannot both come from the standard input".to_owned()));
    }
    let to_stdout = write.as_deref() == Some(stdin);
    if to_stdout && global.json {
        bail!(Usage("replay: events and what is written cannot both go to the standard output".to_owned()));
    }
    if to_stdout && io::stdout().is_terminal() {
        bail!(Usage(
            "replay: a capture is not for a terminal: send the standard output to a file or a pipe".to_owned()
        ));
    }
    if *kernel {
        system::require_privileges("replay --kernel")?;
        system::require_kernel()?;
    }
    let document = asked("replay", policy.as_deref(), profile.as_deref(), port)?;
    let what = || format!("replay {}", file.display());
    let source = Source::open(file).with_context(what)?;
    let output = write.as_deref().map(|path| Output::new(path, file)).transpose().with_context(what)?;
    let how = How { mode: document.values.mode(), json: global.json, quiet: to_stdout };
    if *kernel {
        let judge = Kernel::new().with_context(what)?;
        show(Replay::before(judge, &document).with_context(what)?, source, output, how)
    } else {
        show(Replay::new(&document).with_context(what)?, source, output, how)
    }
    .with_context(what)
}

/// What was counted: the last line of `replay --json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Report {
    /// Version of this structure.
    v: u32,
    /// `stats`, which no event is.
    #[cfg_attr(test, schemars(extend("enum" = ["stats"])))]
    kind: &'static str,
    /// Time of the last frame, in UTC; none where there is no frame.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    ts: Option<String>,
    /// Time of the first frame.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    since: Option<String>,
    mode: Mode,
    /// Frames read.
    frames: u64,
    /// Bytes of them.
    bytes: u64,
    /// Connections that were opened.
    connections: u64,
    /// Frames that would have been stopped; 0 in mode monitor.
    stopped: u64,
    /// Connections that would have been reset; 0 in mode monitor.
    reset: u64,
    /// Counters that are not zero.
    reasons: Vec<Row>,
}

/// How it is shown.
#[derive(Clone, Copy)]
struct How {
    mode: Mode,
    json: bool,
    /// The standard output is the capture's.
    quiet: bool,
}

fn show<J: Judge>(replay: Replay<J>, source: Source, output: Option<Output>, how: How) -> Result<()> {
    let out = BufWriter::new(AutoStream::auto(io::stdout()));
    let progress = Progress::new(source.length());
    Show { replay, output, out, progress, how }.all(source)
}

/// Shows what the filter says of frames.
struct Show<J> {
    replay: Replay<J>,
    output: Option<Output>,
    out: BufWriter<AutoStream<Stdout>>,
    progress: Progress,
    how: How,
}

impl<J: Judge> Show<J> {
    fn all(mut self, source: Source) -> Result<()> {
        let read = capture::read(source, &mut self);
        self.progress.clear();
        // The terminal gets events and summary in this order.
        let flushed = self.out.flush().context("write to the standard output");
        let seen = self.replay.seen();
        // What was read before the file broke off is good.
        if read.is_ok() || seen.frames > 0 {
            if !self.how.json {
                anstream::eprint!("{}", self.summary()?);
            } else if flushed.is_ok() {
                print_json(&self.report()?)?;
            }
        }
        for remark in remarks(&seen) {
            anstream::eprintln!("smtp-filter: {remark}");
        }
        flushed?;
        read?;
        if seen.foreign > 0 && seen.foreign == seen.frames {
            bail!("all of its frames are of link types that are not read");
        }
        self.output.map_or(Ok(()), Output::finish)
    }

    fn print(&mut self, events: &[EventView]) -> io::Result<()> {
        for event in events {
            if self.how.json {
                writeln!(self.out, "{}", json::line(event))?;
            } else {
                writeln!(self.out, "{}", Line(event))?;
            }
        }
        Ok(())
    }

    fn report(&self) -> Result<Report> {
        let Seen { frames, bytes, stopped, span, .. } = self.replay.seen();
        let clock = WallClock::booted(0);
        Ok(Report {
            v: 1,
            kind: "stats",
            ts: span.map(|(_, last)| clock.rfc3339(last)),
            since: span.map(|(first, _)| clock.rfc3339(first)),
            mode: self.how.mode,
            frames,
            bytes,
            connections: self.replay.opened()?,
            stopped,
            reset: self.replay.resets() as u64,
            reasons: merge(&self.replay.counters()?, self.replay.names()),
        })
    }

    fn summary(&self) -> Result<String> {
        let seen = self.replay.seen();
        let elapsed = self.progress.elapsed();
        let clock = WallClock::booted(0);
        let span = seen
            .span
            .map_or(String::new(), |(first, last)| format!(", {} to {}", clock.rfc3339(first), clock.rfc3339(last)));
        let done = match self.how.mode {
            Mode::Monitor => "mode monitor, nothing is touched".to_owned(),
            Mode::Enforce => {
                format!(
                    "mode enforce, {} would have been stopped, {} reset",
                    frames(seen.stopped),
                    connections(self.replay.resets() as u64)
                )
            }
        };
        let counters = self.replay.counters()?;
        Ok(format!(
            "smtp-filter: {} ({} bytes){span}, in {:.2} s ({} frames/s)\nsmtp-filter: {}, {done}\n{}",
            frames(seen.frames),
            seen.bytes,
            elapsed.as_secs_f64(),
            rate(seen.frames, elapsed),
            connections(self.replay.opened()?),
            table(&merge(&counters, self.replay.names())),
        ))
    }
}

impl<J: Judge> Sink for Show<J> {
    fn frame(&mut self, packet: &Packet<'_>) -> Result<()> {
        let verdict = self.replay.frame(packet)?;
        if let Some(output) = &mut self.output {
            let link = packet.interface.link;
            self.replay.out(packet, verdict, |bytes, length| output.frame(link, packet.time, bytes, length))?;
        }
        let events = self.replay.events()?;
        if !events.is_empty() && !self.how.quiet {
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
            "{} captured cut short, and not judged: what follows them comes after a gap",
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
