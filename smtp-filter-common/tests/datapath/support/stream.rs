//! One direction of a random dialogue: torn, repeated with the same and with other bytes.

use std::fmt::Write as _;

use smtp_filter_common::verdict::Verdict;

use smtp_filter_testkit::Random;

use super::{Net, rewriting::forwarded};

pub const VERBS: [&str; 12] =
    ["HELO", "EHLO", "HELP", "HELPME", "VRFY", "RSET", "BDAT", "DATA", "AUTH", "STARTTLS", "NOOP", "TRY"];
pub const BLANKS: [&str; 8] = [" ", " ", " ", "\t", "  ", "\0", "\r", "\x7f"];
pub const ENDS: [&str; 6] = ["\r\n", "\r\n", "\r\n", "\n", "\r\r\n", " \r\n"];
pub const ARGUMENTS: [&str; 8] = ["", "5", "root", "1", "5 LAST", "a\rEHLO b", "PLAIN AGEAYg==", "x y z"];
pub fn lines(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    stream.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"))
}

pub fn any<'a>(dice: &mut Random, list: &[&'a str]) -> &'a str {
    list[dice.below(list.len() as u32) as usize]
}

pub fn any_case(dice: &mut Random, word: &str) -> String {
    if dice.one_in(3) { word.to_ascii_lowercase() } else { word.to_owned() }
}

pub fn command(dice: &mut Random) -> String {
    let before = if dice.one_in(5) { any(dice, &BLANKS) } else { "" };
    let verb = any(dice, &VERBS);
    let length = if dice.one_in(6) { 1 + dice.below(verb.len() as u32) as usize } else { verb.len() };
    let verb = any_case(dice, &verb[..length]);
    let mut line = before.to_owned() + &verb;
    if !dice.one_in(3) {
        line += any(dice, &BLANKS);
        line += any(dice, &ARGUMENTS);
    }
    line + any(dice, &ENDS)
}

/// One direction of what goes through the filter.
pub struct Stream {
    pub from_client: bool,
    /// What its sender says, as far as it has passed.
    pub sent: Vec<u8>,
    /// What its receiver got of it, as forwarded first.
    pub got: Vec<u8>,
    /// What comes next.
    pub queue: Vec<u8>,
    pub acknowledged: usize,
    pub trace: String,
}

impl Stream {
    pub fn new(from_client: bool) -> Self {
        let (sent, got, queue) = Default::default();
        Self { from_client, sent, got, queue, acknowledged: 0, trace: String::new() }
    }

    /// One segment: new bytes, a repeat, or both.
    pub fn step(&mut self, net: &mut Net, dice: &mut Random, base: u32) -> Verdict {
        let mut at = self.sent.len();
        let back = at - self.acknowledged.saturating_sub(8).min(at);
        let mut bytes = Vec::new();
        let mut honest = false;
        if dice.one_in(3) && back > 0 {
            let back = 1 + dice.below(back as u32) as usize;
            at -= back;
            let length = if dice.one_in(2) { back } else { 1 + dice.below(back as u32) as usize };
            let from = if dice.one_in(3) { &self.got } else { &self.sent };
            bytes.extend(&from[at..at + length]);
            honest = !dice.one_in(3);
            if !honest {
                let evil = command(dice).into_bytes();
                let place = dice.below(length as u32) as usize;
                for (to, from) in bytes[place..].iter_mut().zip(evil) {
                    *to = from;
                }
            }
        }
        let new = if at + bytes.len() == self.sent.len() {
            let most = if dice.one_in(2) { 3 } else { 60 };
            let new = 1 + dice.below(most) as usize;
            &self.queue[..new.min(self.queue.len())]
        } else {
            &[]
        };
        bytes.extend(new);
        if bytes.is_empty() {
            return Verdict::Drop;
        }
        let new = new.len();
        let verdict = if self.from_client {
            net.client_at(base + at as u32, &bytes)
        } else {
            net.server_at(base + at as u32, &bytes)
        };
        let _ = writeln!(self.trace, "{at}+{} {verdict:?} {:?}", bytes.len(), String::from_utf8_lossy(&bytes));
        assert!(new > 0 || !honest || verdict == Verdict::Pass, "an honest repeat passes\n{}", self.trace);
        if verdict != Verdict::Pass {
            return verdict;
        }
        let out = forwarded(net, &bytes);
        let _ = writeln!(self.trace, "    {:?}", String::from_utf8_lossy(&out));
        for (i, byte) in out.iter().enumerate().filter(|(i, _)| at + i >= self.acknowledged) {
            match self.got.get(at + i) {
                Some(first) => assert_eq!(first, byte, "another byte at {}\n{}", at + i, self.trace),
                None => self.got.push(*byte),
            }
        }
        let added = &bytes[bytes.len() - new..];
        self.sent.extend(added);
        self.queue.drain(..new);
        verdict
    }
}

/// Rounds of a test with chance in it: more where the environment says so.
pub fn rounds() -> u64 {
    std::env::var("ATTACKS").ok().and_then(|number| number.parse().ok()).unwrap_or(3000)
}
