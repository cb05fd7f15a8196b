//! The server's bytes: the banner, the reply to EHLO, and everything else, which stays as it is.

use std::collections::VecDeque;

use smtp_filter_common::action::Action;

use super::{
    commands::{Asked, Commands, Mode},
    line::{body, is_blank, overwrite},
    rules::Rules,
};

/// Bytes of a line that are code and separator.
const CODE: usize = 4;

/// The server's side.
#[derive(Clone, Debug)]
pub struct Replies {
    /// The line that has not ended yet, as it was sent.
    line: Vec<u8>,
    /// Its keyword is hidden.
    hidden: bool,
    /// Lines of this reply that are behind us.
    lines: usize,
    greeted: bool,
    tls: bool,
}

impl Default for Replies {
    fn default() -> Self {
        Self::new()
    }
}

impl Replies {
    /// Before the first reply.
    pub fn new() -> Self {
        Self { line: Vec::new(), hidden: false, lines: 0, greeted: false, tls: false }
    }

    /// Whether a segment may go on though bytes in front of it are missing.
    pub fn opaque(&self) -> bool {
        self.tls
    }

    /// What the client gets of a segment.
    pub fn segment(
        &mut self,
        rules: &Rules,
        asked: &mut VecDeque<Asked>,
        client: &mut Commands,
        bytes: &[u8],
    ) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let mut at = 0;
        while at < bytes.len() {
            if self.tls {
                break;
            }
            let rest = &bytes[at..];
            let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
            let gone = self.line.len();
            self.line.extend(&rest[..length]);
            let out = &mut out[at..at + length];
            if !self.greeted {
                banner(rules, &self.line, self.lines, gone, out);
            } else if asked.front() == Some(&Asked::Ehlo) && self.lines > 0 && self.line.starts_with(b"2") {
                self.keyword(rules, gone, out);
            }
            at += length;
            if self.line.ends_with(b"\n") {
                self.end_line(asked, client);
            }
        }
        out
    }

    fn keyword(&mut self, rules: &Rules, gone: usize, out: &mut [u8]) {
        let body = body(&self.line);
        let Some(text) = self.line.get(CODE..) else { return };
        let end = text.iter().position(|byte| is_blank(*byte) || *byte == b'=');
        let keyword = &text[..end.unwrap_or(text.len())];
        if end.is_none() && !self.hidden && rules.begun_keyword(keyword) {
            // The byte that would complete it.
            if let Some(last) = out.last_mut() {
                *last = b'X';
            }
            self.hidden = true;
            return;
        }
        self.hidden |= end.is_some() && !keyword.is_empty() && rules.keyword(keyword) == Action::Mask;
        if self.hidden {
            overwrite(out, gone, CODE, body, |_, _| b'X');
        }
    }

    fn end_line(&mut self, asked: &mut VecDeque<Asked>, client: &mut Commands) {
        let more = self.line.get(CODE - 1) == Some(&b'-');
        self.lines += 1;
        self.hidden = false;
        let line = std::mem::take(&mut self.line);
        if more {
            return;
        }
        self.lines = 0;
        if !std::mem::replace(&mut self.greeted, true) {
            return;
        }
        match (asked.pop_front(), line.get(..3)) {
            (Some(Asked::Data), Some(b"354")) => client.mode = Mode::Text(b"\r\n".to_vec()),
            (Some(Asked::Auth), Some(b"334")) => client.mode = Mode::Secret,
            (Some(Asked::Starttls), Some(b"220")) => {
                client.mode = Mode::Tls;
                self.tls = true;
            }
            (Some(Asked::Data | Asked::Auth | Asked::Starttls), _) => client.mode = Mode::Commands,
            _ => {}
        }
    }
}

/// Overwrites what is here of a line of the banner.
fn banner(rules: &Rules, line: &[u8], lines: usize, gone: usize, out: &mut [u8]) {
    if !rules.enforce {
        return;
    }
    let body = body(line);
    match rules.show {
        "pix" => overwrite(out, gone, CODE, body, |_, was| if b"20".contains(&was) { was } else { b'*' }),
        "host" | "host-smtp" => {
            let keeps = |at: usize| {
                let (word, first, ends) = word_around(line, at);
                let esmtp = if ends { word.eq_ignore_ascii_case(b"ESMTP") } else { begins(b"ESMTP", word) };
                is_blank(line[at]) || first && lines == 0 || rules.show == "host" && esmtp
            };
            overwrite(out, gone, CODE, body, |at, was| if keeps(at) { was } else { b'X' });
        }
        all => assert_eq!(all, "all"),
    }
}

/// The word that a byte of a line belongs to, whether it is the first one, and whether it is known to end.
fn word_around(line: &[u8], at: usize) -> (&[u8], bool, bool) {
    let start = line[CODE..at].iter().rposition(|byte| is_blank(*byte)).map_or(CODE, |blank| CODE + blank + 1);
    let end = line[at..].iter().position(|byte| is_blank(*byte)).map(|length| at + length);
    let first = line[CODE..start].iter().all(|byte| is_blank(*byte));
    (&line[start..end.unwrap_or(line.len())], first, end.is_some())
}

/// Whether a word may become this one.
fn begins(whole: &[u8], begun: &[u8]) -> bool {
    whole.get(..begun.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(begun))
}
