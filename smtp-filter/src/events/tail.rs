//! Tailing: from a reader to the standard output, until something ends it.

use std::{
    io::{self, Write as _},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    console::{Line, LostLine},
    json,
    lookup::LiveLookup,
    reader::EventReader,
    select::Selection,
    view::{EventView, Lookup as _, LostView},
};
use crate::{
    readable,
    signals::{Signal, Signals},
};

/// How often lost events and the filter itself are looked for.
const LOOK: Duration = Duration::from_millis(500);
/// Lines that wait for a slow terminal; beyond them events wait in the ring buffer, and then are lost and counted.
const WAITING: usize = 1024;
/// How long a stuck terminal may hold up the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is shown, and how.
#[derive(Clone, Debug, Default)]
pub struct TailOptions {
    /// JSON lines instead of lines for people.
    pub json: bool,
    /// Which events.
    pub selection: Selection,
    /// End after so many.
    pub count: Option<u64>,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A signal came.
    Signal(Signal),
    /// As many events as asked for.
    Count,
    /// Nobody reads the output any more.
    Closed,
    /// The filter was taken off.
    FilterGone,
    /// The filter was not confirmed in time, and is off.
    Unconfirmed,
}

/// Shows events until something ends it.
pub async fn tail(reader: EventReader, lookup: LiveLookup, options: TailOptions, signals: &mut Signals) -> Result<End> {
    let (lines, printed) = printer();
    let reader = readable::watch(reader)?;
    let mut tail = Tail { reader, lookup, options, shown: 0, lines };
    let end = tokio::select! {
        biased;
        signal = signals.next() => End::Signal(signal),
        end = tail.run() => end?,
    };
    if matches!(end, End::Signal(_) | End::FilterGone) {
        tail.rest()?;
    }
    // The printer ends when its last line is out.
    drop(tail);
    let printed = match end {
        End::Count => tokio::select! {
            _ = signals.next() => Ok(()),
            printed = printed => printed.unwrap_or(Ok(())),
        },
        _ => timeout(FAREWELL, printed).await.map_or(Ok(()), |printed| printed.unwrap_or(Ok(()))),
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("write to the standard output"),
        _ => Ok(end),
    }
}

struct Tail {
    reader: AsyncFd<EventReader>,
    lookup: LiveLookup,
    options: TailOptions,
    shown: u64,
    lines: mpsc::Sender<String>,
}

impl Tail {
    async fn run(&mut self) -> Result<End> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ready = self.reader.readable_mut() => {
                    ready.context("watch the ring buffer")?.clear_ready();
                    self.lookup.refresh_clock();
                    while let Some(line) = self.next_line() {
                        if self.lines.send(line).await.is_err() {
                            return Ok(End::Closed);
                        }
                        if self.options.count.is_some_and(|count| self.shown >= count) {
                            return Ok(End::Count);
                        }
                    }
                }
                _ = look.tick() => {
                    if let Some(line) = self.lost_line()?
                        && self.lines.send(line).await.is_err()
                    {
                        return Ok(End::Closed);
                    }
                    if !self.reader.get_ref().is_connected() {
                        return Ok(End::FilterGone);
                    }
                    if nobody_reads() {
                        return Ok(End::Closed);
                    }
                }
                () = self.lines.closed() => return Ok(End::Closed),
            }
        }
    }

    /// What is there already, without waiting for anybody.
    fn rest(&mut self) -> Result<()> {
        while let Some(line) = self.next_line() {
            if self.lines.try_send(line).is_err() {
                return Ok(());
            }
        }
        if let Some(line) = self.lost_line()? {
            // A printer that is stuck gets no more.
            let _ = self.lines.try_send(line);
        }
        Ok(())
    }

    fn next_line(&mut self) -> Option<String> {
        loop {
            let event = self.reader.get_mut().next()?;
            let view = EventView::new(&event, &mut self.lookup);
            if self.options.selection.shows(&view) {
                self.shown += 1;
                return Some(if self.options.json { json::line(&view) } else { Line(&view).to_string() });
            }
        }
    }

    fn lost_line(&mut self) -> Result<Option<String>> {
        let lost = self.reader.get_mut().lost()?;
        if lost == 0 {
            return Ok(None);
        }
        self.lookup.refresh_clock();
        let view = LostView::new(lost, self.lookup.clock());
        Ok(Some(if self.options.json { json::line(&view) } else { LostLine(&view).to_string() }))
    }
}

/// Whether the standard output is a pipe whose other end is closed.
fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut output = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec::default();
    poll(&mut output, Some(&at_once)).is_ok_and(|ready| ready > 0)
        && output.iter().any(|output| output.revents().contains(PollFlags::ERR))
}

/// A thread that prints lines, so that a stuck terminal keeps nobody from ending the filter.
fn printer() -> (mpsc::Sender<String>, oneshot::Receiver<io::Result<()>>) {
    let (lines, mut waiting) = mpsc::channel::<String>(WAITING);
    let (done, printed) = oneshot::channel();
    thread::spawn(move || {
        let mut print = || -> io::Result<()> {
            let mut out = io::BufWriter::new(anstream::AutoStream::auto(io::stdout()));
            while let Some(line) = waiting.blocking_recv() {
                writeln!(out, "{line}")?;
                while let Ok(line) = waiting.try_recv() {
                    writeln!(out, "{line}")?;
                }
                out.flush()?;
            }
            Ok(())
        };
        // Nobody may be left to hear it.
        let _ = done.send(print());
    });
    (lines, printed)
}
