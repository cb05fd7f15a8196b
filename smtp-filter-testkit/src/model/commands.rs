//! The client's bytes: commands, mail data, chunks, and what else a server reads.

use std::collections::VecDeque;

use smtp_filter_common::action::Action;

use super::{
    line::{body, first_word, overwrite},
    rules::Rules,
};

/// Longest line that a masked BDAT may become with its chunk.
const LONGEST_MASKED: usize = 512;
/// Verbs whose success the client must not believe in.
const NEVER_NOOP: &[&[u8]] = &[
    b"STARTTLS",
    b"X-ANONYMOUSTLS",
    b"AUTH",
    b"XAUTH",
    b"X-EXPS",
    b"DATA",
    b"BDAT",
    b"BURL",
    b"XEXCH50",
    b"XCLIENT",
    b"XFORWARD",
    b"ATRN",
    b"TURN",
];

/// What a reply will be to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// EHLO or HELO.
    Ehlo,
    /// DATA.
    Data,
    /// AUTH.
    Auth,
    /// STARTTLS.
    Starttls,
    /// Any other.
    Other,
}

/// What the client's next byte is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Commands, line by line.
    Commands,
    /// The reply decides what comes.
    Waits,
    /// Mail data; its last bytes, the line's end in front of it among them.
    Text(Vec<u8>),
    /// A line of AUTH.
    Secret,
    /// So many bytes of a chunk, and whether they are masked.
    Chunk(usize, bool),
    /// TLS records.
    Tls,
}

/// What becomes of the rest of a line of which a part is forwarded.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Xs,
    /// NOOP from this byte of the line on: blanks in front of the verb may have been forwarded.
    Noop(usize),
    Downgraded,
}

/// Why a segment does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is dropped.
    Drop,
    /// The connection is reset.
    Reset,
}

/// The client's side.
#[derive(Clone, Debug)]
pub struct Commands {
    /// What the next byte is read as.
    pub mode: Mode,
    /// The line that has not ended yet, as it was sent.
    line: Vec<u8>,
    fate: Option<Fate>,
}

impl Default for Commands {
    fn default() -> Self {
        Self::new()
    }
}

impl Commands {
    /// Before the first command.
    pub fn new() -> Self {
        Self { mode: Mode::Commands, line: Vec::new(), fate: None }
    }

    /// Whether a segment may go on though bytes in front of it are missing: nothing in it is a command.
    pub fn opaque(&self, length: usize) -> bool {
        match self.mode {
            Mode::Text(_) | Mode::Tls => true,
            Mode::Chunk(left, masked) => !masked && length <= left,
            _ => false,
        }
    }

    /// Whether the next bytes, this many, lie within a chunk that is not masked.
    pub fn in_chunk(&self, length: usize) -> bool {
        matches!(self.mode, Mode::Chunk(left, false) if length <= left)
    }

    /// What the server gets of a segment.
    pub fn segment(&mut self, rules: &Rules, asked: &mut VecDeque<Asked>, bytes: &[u8]) -> Result<Vec<u8>, Cut> {
        let mut out = bytes.to_vec();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match &mut self.mode {
                Mode::Commands => self.command(rules, asked, rest, &mut out[at..])?,
                Mode::Text(tail) => {
                    let (length, ended) = text(tail, rest);
                    if ended {
                        asked.push_back(Asked::Other);
                        self.mode = Mode::Commands;
                    }
                    length
                }
                Mode::Secret => {
                    let (length, ended) = line(rest);
                    if ended {
                        asked.push_back(Asked::Auth);
                        self.mode = Mode::Waits;
                    }
                    length
                }
                Mode::Chunk(left, masked) => {
                    let (length, masked) = (rest.len().min(*left), *masked);
                    if masked {
                        mask_chunk(&mut out[at..at + length], *left);
                    }
                    *left -= length;
                    if *left == 0 {
                        asked.push_back(Asked::Other);
                        self.mode = Mode::Commands;
                    }
                    length
                }
                Mode::Tls => rest.len(),
                Mode::Waits => panic!("an honest client waits for the reply: {:?}", rest.escape_ascii().to_string()),
            };
        }
        Ok(out)
    }

    /// Takes a line or what there is of it, and overwrites it in `out`, which begins with it.
    fn command(
        &mut self,
        rules: &Rules,
        asked: &mut VecDeque<Asked>,
        rest: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Cut> {
        let (length, ended) = line(rest);
        let gone = self.line.len();
        self.line.extend(&rest[..length]);
        let line = self.line.as_slice();
        let (start, end, whole) = first_word(line);
        let verb = &line[start..end];
        if !whole && self.fate.is_none() && rules.begun_verb(verb) {
            let downgraded = rules.verb(verb) == Action::Downgrade && gone <= start;
            let fate = if downgraded { Fate::Downgraded } else { Fate::Xs };
            // The byte that would complete it, or the letters that make another of it.
            let masked = if downgraded { 0 } else { line.len() - 1 };
            apply(fate, line, start, gone.max(masked), 0, &mut out[masked.saturating_sub(gone)..length]);
            self.fate = Some(fate);
            return Ok(length);
        }
        let action = if verb.is_empty() || !whole { Action::Pass } else { rules.verb(verb) };
        let mut chunk = 0;
        match action {
            Action::Drop if ended => return Err(Cut::Drop),
            Action::Reset if ended => return Err(Cut::Reset),
            // The whole verb has been forwarded and cannot be made another any more: with the byte that ends it, or
            // with only the line's end to come.
            Action::Mask | Action::Downgrade if self.fate.is_none() && (end < gone || body(line) <= gone) => {
                if ended {
                    return Err(Cut::Reset);
                }
            }
            Action::Mask | Action::Downgrade => {
                let fate = self.fate.unwrap_or_else(|| fate(rules, action, line, start, gone));
                chunk = announced(line, verb);
                if ended && chunk > 0 && line.len() + chunk > LONGEST_MASKED {
                    return Err(Cut::Reset);
                }
                apply(fate, line, start, gone, chunk, &mut out[..length]);
                self.fate = Some(fate);
            }
            // A line that has been changed is no longer the client's, whatever it goes on with.
            _ => {
                if self.fate.is_some() {
                    apply(Fate::Xs, line, start, gone, announced(line, verb), &mut out[..length]);
                }
            }
        }
        if ended {
            self.mode = next(asked, verb, self.fate, chunk, line);
            self.line.clear();
            self.fate = None;
        }
        Ok(length)
    }
}

/// What comes behind a line that has ended.
fn next(asked: &mut VecDeque<Asked>, verb: &[u8], fate: Option<Fate>, chunk: usize, line: &[u8]) -> Mode {
    if fate.is_some() {
        if chunk > 0 {
            return Mode::Chunk(chunk, true);
        }
        // The client reads what comes back as a reply to what it said.
        asked.push_back(if verb.eq_ignore_ascii_case(b"EHLO") { Asked::Ehlo } else { Asked::Other });
        return Mode::Commands;
    }
    let (question, mode) = match verb.to_ascii_uppercase().as_slice() {
        b"EHLO" => (Asked::Ehlo, Mode::Commands),
        b"DATA" => (Asked::Data, Mode::Waits),
        b"AUTH" => (Asked::Auth, Mode::Waits),
        b"STARTTLS" => (Asked::Starttls, Mode::Waits),
        b"BDAT" => match chunk_size(line) {
            Some(size) if size > 0 => return Mode::Chunk(size, false),
            _ => (Asked::Other, Mode::Commands),
        },
        _ => (Asked::Other, Mode::Commands),
    };
    asked.push_back(question);
    mode
}

fn fate(rules: &Rules, action: Action, line: &[u8], start: usize, gone: usize) -> Fate {
    let (_, end, _) = first_word(line);
    let never = NEVER_NOOP.iter().any(|verb| verb.eq_ignore_ascii_case(&line[start..end]));
    if action == Action::Downgrade && gone <= start {
        Fate::Downgraded
    } else if rules.fill == "noop" && !never && gone <= start && body(line) >= gone + 4 {
        Fate::Noop(gone)
    } else {
        Fate::Xs
    }
}

/// Overwrites what is here of a line. `out` is its end from byte `gone` on.
fn apply(fate: Fate, line: &[u8], start: usize, gone: usize, chunk: usize, out: &mut [u8]) {
    match fate {
        // The CRLF stands behind the chunk, and on the last byte of the line where the chunk has but one.
        Fate::Xs if chunk > 0 => {
            let short = chunk == 1 && line.ends_with(b"\n");
            let last = if short { b'\r' } else { b'X' };
            overwrite(out, gone, 0, line.len(), |at, _| if at + 1 == line.len() { last } else { b'X' });
        }
        Fate::Xs => overwrite(out, gone, 0, body(line), |_, _| b'X'),
        Fate::Noop(from) => overwrite(out, gone, 0, body(line), |at, _| *b"NOOP".get(at - from).unwrap_or(&b' ')),
        Fate::Downgraded => overwrite(out, gone, start, start + 2, |at, was| {
            let letter = b"HE"[at - start];
            if was.is_ascii_lowercase() { letter.to_ascii_lowercase() } else { letter }
        }),
    }
}

/// `left` bytes of the chunk from the first one of `out` on.
fn mask_chunk(out: &mut [u8], left: usize) {
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = match left - at {
            1 => b'\n',
            2 => b'\r',
            _ => b'X',
        };
    }
}

/// Bytes up to a line's end, and whether it is there.
fn line(bytes: &[u8]) -> (usize, bool) {
    bytes.iter().position(|byte| *byte == b'\n').map_or((bytes.len(), false), |at| (at + 1, true))
}

/// Bytes up to the end of data, and whether it is there.
fn text(tail: &mut Vec<u8>, bytes: &[u8]) -> (usize, bool) {
    for (at, byte) in bytes.iter().enumerate() {
        tail.push(*byte);
        if tail.ends_with(b"\r\n.\r\n") {
            return (at + 1, true);
        }
        let excess = tail.len().saturating_sub(4);
        tail.drain(..excess);
    }
    (bytes.len(), false)
}

/// Bytes of the chunk that a line announces, if it is a BDAT whose number is whole: with its CR it says that the masked
/// line's end comes later.
fn announced(line: &[u8], verb: &[u8]) -> usize {
    let whole = verb.eq_ignore_ascii_case(b"BDAT") && (line.ends_with(b"\r") || line.ends_with(b"\n"));
    if whole { chunk_size(line).unwrap_or(0) } else { 0 }
}

/// Bytes of the chunk that a BDAT line announces.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}
