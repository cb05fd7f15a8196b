//! A block of lines that is shown again and again: on a terminal in its place, elsewhere one after the other.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
};

use anstream::{AutoStream, ColorChoice};
use rustix::termios::tcgetwinsize;

/// Everything cleared.
const CLEAR: &str = "\x1b[2J";
/// To the first place.
const HOME: &str = "\x1b[H";
/// The rest of the line cleared.
const LINE_END: &str = "\x1b[K";
/// Clears everything after the cursor.
const END: &str = "\x1b[J";

/// Where blocks are shown.
#[derive(Debug, Default)]
pub struct Screen {
    /// Blocks shown so far.
    shown: u64,
}

impl Screen {
    /// The text that shows the next block on the standard output.
    pub fn next(&mut self, block: &str) -> String {
        let first = self.shown == 0;
        self.shown += 1;
        match size() {
            Some((rows, columns)) => redrawn(block, rows, columns, first),
            None if first => block.to_owned(),
            None => format!("\n{block}"),
        }
    }
}

/// Rows and columns of the terminal, if the standard output is one that takes more than text.
fn size() -> Option<(usize, usize)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() || AutoStream::choice(&stdout) == ColorChoice::Never {
        return None;
    }
    let size = tcgetwinsize(&stdout).ok()?;
    (size.ws_row > 1 && size.ws_col > 0).then(|| (usize::from(size.ws_row), usize::from(size.ws_col)))
}

/// The block in place of the one before, written over it line by line, so that nothing flickers. What does not fit is
/// left out and said, for a terminal that scrolls has no place.
fn redrawn(block: &str, rows: usize, columns: usize, first: bool) -> String {
    let lines: Vec<&str> = block.lines().collect();
    // The cursor is in the last row.
    let room = rows - 1;
    let shown = if lines.len() > room { room - 1 } else { lines.len() };
    let mut out = format!("{}{HOME}", if first { CLEAR } else { "" });
    let left_out = lines.len() - shown;
    let more = (left_out > 0).then(|| format!("{left_out} more"));
    for line in lines.iter().take(shown).copied().chain(more.as_deref()) {
        let cut: String = line.chars().take(columns).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{cut}{LINE_END}");
    }
    out.push_str(END);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_written_over_the_one_before() {
        assert_eq!(redrawn("a\nb\n", 24, 80, true), "\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(redrawn("a\nb\n", 24, 80, false), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        assert_eq!(redrawn("abc\nb\nc\n", 4, 2, false), "\x1b[Hab\x1b[K\nb\x1b[K\nc\x1b[K\n\x1b[J");
        assert_eq!(redrawn("a\nb\nc\nd\n", 4, 80, false), "\x1b[Ha\x1b[K\nb\x1b[K\n2 more\x1b[K\n\x1b[J");
        assert_eq!(redrawn("a\nb\n", 2, 80, false), "\x1b[H2 more\x1b[K\n\x1b[J");
    }
}
