//! What the two ends of a test of rewriting send, and what the other is to get.

use anyhow::{Result, ensure};

/// What one end sends, and what the other is to get.
#[derive(Clone, Default)]
pub struct Text {
    /// What goes into the socket.
    pub sent: Vec<u8>,
    expected: Vec<u8>,
    /// Where words begin that are masked, and their lengths.
    masked: Vec<(usize, usize)>,
    /// What is sent before, unchanged, and what the server answers when it has read it: all of it is acknowledged then.
    pub opening: (String, &'static str),
}

impl Text {
    /// Adds a line, and what the receiver is to get instead of it.
    pub fn add(&mut self, line: &str, becomes: &str) {
        if let Some(at) = line.bytes().zip(becomes.bytes()).position(|(sent, becomes)| sent != becomes) {
            let word = line[at..].split(' ').next().map_or(0, str::len);
            self.masked.push((self.sent.len() + at, word));
        }
        self.sent.extend(line.as_bytes());
        self.sent.extend(b"\r\n");
        self.expected.extend(becomes.as_bytes());
        self.expected.extend(b"\r\n");
    }

    /// What was seen is what was expected, but for words that are masked and were cut by the end of a segment: their
    /// letters may be there, but for the last (docs/limitations.md). Returns how many were cut.
    pub fn is(&self, seen: &[u8]) -> Result<usize> {
        let mut expected = self.expected.clone();
        let mut cut = 0;
        for (at, length) in &self.masked {
            let word = *at..at + length - 1;
            let Some(there) = seen.get(word.clone()) else { break };
            let letters = there.iter().zip(&self.sent[word]).take_while(|(seen, sent)| seen == sent).count();
            expected[*at..at + letters].copy_from_slice(&self.sent[*at..at + letters]);
            cut += usize::from(letters > 0);
        }
        is_same(&expected, seen)?;
        Ok(cut)
    }

    /// Adds all of another text.
    pub fn append(&mut self, other: Self) {
        let before = self.sent.len();
        self.sent.extend(other.sent);
        self.expected.extend(other.expected);
        self.masked.extend(other.masked.into_iter().map(|(at, length)| (before + at, length)));
    }

    /// Commands of about `size` bytes, a third of them masked, at every kind of offset.
    pub fn commands(size: usize) -> Self {
        let mut text = Self::default();
        for i in 0.. {
            let argument = "y".repeat(i % 37);
            match i % 3 {
                0 => text.add(&format!("VRFY {argument}"), &"X".repeat(argument.len() + 5)),
                1 => text.add(&format!("NOOP {argument}"), &format!("NOOP {argument}")),
                _ => text.add(&format!("expn{argument}"), &format!("expn{argument}")),
            }
            if text.sent.len() >= size {
                return text;
            }
        }
        text
    }

    /// A reply to EHLO with many keywords, a third of them masked.
    pub fn keywords() -> Self {
        let mut text = Self::default();
        text.add("250-mx.example", "250-mx.example");
        for i in 0..60 {
            let argument = "Z".repeat(i % 23);
            match i % 3 {
                0 => text.add(&format!("250-STARTTLS {argument}"), &format!("250-{}", "X".repeat(argument.len() + 9))),
                _ => text.add(&format!("250-SIZE {argument}"), &format!("250-SIZE {argument}")),
            }
        }
        text.add("250 CHUNKING", "250 CHUNKING");
        text
    }

    /// Chunks of these sizes, a masked command in front of each and behind the last.
    pub fn chunks(sizes: &[usize]) -> Self {
        let mut text = Self::default();
        for size in sizes {
            text.add("VRFY before", "XXXXXXXXXXX");
            let begin = format!("BDAT {size}");
            text.add(&begin, &begin);
            text.fill(*size);
        }
        text.add("VRFY behind", "XXXXXXXXXXX");
        text
    }

    /// The text of a mail, its end, and behind it commands, a third of them masked.
    pub fn mail(size: usize) -> Self {
        let mut text = Self { opening: ("DATA\r\n".to_owned(), "354 go on\r\n"), ..Self::default() };
        text.fill(size);
        text.add("", "");
        text.add(".", ".");
        text.append(Self::commands(5_000));
        text
    }

    /// A chunk, and behind it commands, a third of them masked.
    pub fn chunk(size: usize) -> Self {
        let mut text = Self { opening: (format!("NOOP\r\nBDAT {size}\r\n"), "250 OK\r\n"), ..Self::default() };
        text.fill(size);
        text.append(Self::commands(5_000));
        text
    }

    /// Lines that look like commands.
    fn fill(&mut self, size: usize) {
        let bait: Vec<u8> = b"VRFY inside\r\n".iter().copied().cycle().take(size).collect();
        self.sent.extend(&bait);
        self.expected.extend(&bait);
    }
}

fn is_same(expected: &[u8], seen: &[u8]) -> Result<()> {
    let at = expected.iter().zip(seen).take_while(|(expected, seen)| expected == seen).count();
    let around =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(50)..bytes.len().min(at + 50)]).into_owned();
    let differ = expected.iter().zip(seen).filter(|(expected, seen)| expected != seen).count();
    ensure!(
        expected == seen,
        "byte {at} of {}, {differ} bytes in all: {:?} expected, {:?} seen",
        expected.len(),
        around(expected),
        around(seen)
    );
    Ok(())
}
