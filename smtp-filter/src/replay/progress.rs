//! How far a replay has come, on a terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use super::Seen;

/// How long nothing is said: most captures are done by then.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often something is said.
const AGAIN: Duration = Duration::from_millis(500);
/// To the start of the line, and clears it.
const CLEAR: &str = "\r\x1b[K";

/// A line that is written over and over, where the standard error is a terminal.
pub struct Progress {
    begun: Instant,
    next: Option<Instant>,
    length: Option<u64>,
    shown: bool,
}

impl Progress {
    /// Of a file of this length.
    pub fn new(length: Option<u64>) -> Self {
        let begun = Instant::now();
        let next = io::stderr().is_terminal().then(|| begun + PATIENCE);
        Self { begun, next, length, shown: false }
    }

    /// Since when.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether it is time to say something.
    pub fn is_due(&self) -> bool {
        self.next.is_some_and(|next| Instant::now() >= next)
    }

    /// Says how far it has come.
    pub fn show(&mut self, read: u64, seen: &Seen) {
        let line = line(read, self.length, seen.frames, self.elapsed());
        // Nobody is harmed if it cannot be written.
        let _ = write!(io::stderr(), "{CLEAR}{line}");
        self.shown = true;
        self.next = Some(Instant::now() + AGAIN);
    }

    /// Takes the line away, so that others can be written.
    pub fn clear(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "{CLEAR}");
            self.shown = false;
        }
    }
}

fn line(read: u64, length: Option<u64>, frames: u64, elapsed: Duration) -> String {
    let part = match length {
        Some(length) if length > 0 => format!("{} %, ", read.min(length) * 100 / length),
        _ => String::new(),
    };
    format!("smtp-filter: {part}{} MB, {frames} frames, {} frames/s", read / 1_000_000, rate(frames, elapsed))
}

/// So many a second.
pub fn rate(count: u64, elapsed: Duration) -> u64 {
    let nanoseconds = elapsed.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_well() {
        let second = Duration::from_secs(2);
        assert_eq!(
            line(5_000_000, Some(20_000_000), 1000, second),
            "smtp-filter: 25 %, 5 MB, 1000 frames, 500 frames/s"
        );
        assert_eq!(line(5_000_000, None, 7, second), "smtp-filter: 5 MB, 7 frames, 3 frames/s");
        assert_eq!(line(9, Some(3), 7, second), "smtp-filter: 100 %, 0 MB, 7 frames, 3 frames/s");
        assert_eq!(rate(5, Duration::ZERO), 5_000_000_000);
    }
}
