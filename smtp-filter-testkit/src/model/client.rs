//! An honest client: it does what it likes, and waits where SMTP has it wait.

use std::{collections::VecDeque, ops::Range};

use super::{line::first_word, words};
use crate::Random;

/// What a reply is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Banner,
    Ehlo,
    Plain,
    Data,
    Auth,
    Starttls,
    Quit,
}

/// What a client is like.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// It uses BDAT though it was not offered: only where the filter stops that.
    pub uses_bdat_unasked: bool,
    /// Largest mail data, in lines.
    pub lines: usize,
}

/// The client's program, above its TCP.
#[derive(Debug)]
pub struct Client {
    random: Random,
    nature: Nature,
    /// What of a reply has come.
    reply: Vec<u8>,
    /// Keywords of the last reply to EHLO.
    offered: Vec<String>,
    waits: VecDeque<Wait>,
    /// Commands that have not been said yet.
    later: VecDeque<(Vec<u8>, Wait)>,
    hello: bool,
    asked_ehlo: bool,
    /// What it will still do.
    left: usize,
    /// It has said QUIT and been answered, or has gone over to TLS and been answered.
    pub done: bool,
    tls: bool,
    /// Where in its stream the mail texts lie that it has just sent, ends of data included.
    pub texts: Vec<Range<usize>>,
}

impl Client {
    /// With these habits.
    pub fn new(mut random: Random, nature: Nature) -> Self {
        let left = random.below(7);
        Self {
            random,
            nature,
            reply: Vec::new(),
            offered: Vec::new(),
            waits: VecDeque::from([Wait::Banner]),
            later: VecDeque::new(),
            hello: false,
            asked_ehlo: false,
            left,
            done: false,
            tls: false,
            texts: Vec::new(),
        }
    }

    /// Begins: now and then with a command before the banner.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if self.random.one_in(20) {
            self.greet(out);
        }
    }

    /// Reads what has come, and says what follows from it.
    pub fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.tls {
            self.done = true;
            return;
        }
        self.reply.extend(bytes);
        while let Some(reply) = self.take_reply() {
            self.take(&reply, out);
        }
        if self.waits.is_empty() && !self.tls && !self.done {
            self.go_on(out);
        }
    }

    /// The next whole reply: lines up to one whose code is not followed by a hyphen.
    fn take_reply(&mut self) -> Option<Vec<u8>> {
        let mut end = 0;
        loop {
            let length = self.reply[end..].iter().position(|byte| *byte == b'\n')? + 1;
            let line = &self.reply[end..end + length];
            end += length;
            if line.get(3) != Some(&b'-') {
                return Some(self.reply.drain(..end).collect());
            }
        }
    }

    fn take(&mut self, reply: &[u8], out: &mut Vec<u8>) {
        let Some(wait) = self.waits.pop_front() else { panic!("a reply to nothing: {}", reply.escape_ascii()) };
        let code = &reply[..3.min(reply.len())];
        match wait {
            Wait::Ehlo if code == b"250" => {
                self.hello = true;
                let lines = reply.split(|byte| *byte == b'\n').skip(1);
                let words = lines.filter_map(|line| String::from_utf8(line.get(4..)?.to_vec()).ok());
                self.offered = words.map(|word| word.trim().to_ascii_uppercase()).collect();
            }
            Wait::Data if code == b"354" => self.send_text(out),
            Wait::Auth if code == b"334" => {
                let line = if self.random.one_in(5) { b"*\r\n".as_slice() } else { b"RUhMTyBldmlsDQo=\r\n" };
                out.extend(line);
                self.waits.push_back(Wait::Auth);
            }
            Wait::Starttls if code == b"220" => {
                self.tls = true;
                out.extend(b"\x16\x03\x01\x00\x20\r\nEHLO in.tls.example\r\nSTARTTLS\r\n");
            }
            Wait::Quit => self.done = true,
            _ => {}
        }
    }

    /// Nothing is waited for: the next thing to do.
    fn go_on(&mut self, out: &mut Vec<u8>) {
        if let Some((line, wait)) = self.later.pop_front() {
            return self.say(&line, wait, out);
        }
        if !self.hello {
            return self.greet(out);
        }
        if self.left == 0 {
            return self.command("QUIT", Wait::Quit, out);
        }
        self.left -= 1;
        match self.random.below(12) {
            0..=3 => self.group(out),
            4..=6 => self.mail(out),
            7 | 8 => self.chunks(out),
            9 => {
                let words = self.random.of(&["AUTH LOGIN", "AUTH PLAIN AGFsaWNlAHM=", "auth=login", "AUTH"]);
                // The last one is for a server that asks for nothing: it gets an answer like any other.
                self.command(words, if words == "auth=login" { Wait::Plain } else { Wait::Auth }, out);
            }
            10 if self.random.one_in(2) => self.command("STARTTLS", Wait::Starttls, out),
            _ => {
                self.hello = false;
                self.asked_ehlo = false;
                self.greet(out);
            }
        }
    }

    fn greet(&mut self, out: &mut Vec<u8>) {
        if self.asked_ehlo || self.random.one_in(8) {
            // Whatever is said to HELO, it goes on.
            self.hello = true;
            self.command("HELO client.example", Wait::Plain, out);
        } else {
            self.asked_ehlo = true;
            self.command("EHLO client.example", Wait::Ehlo, out);
        }
    }

    /// Commands in one write.
    fn group(&mut self, out: &mut Vec<u8>) {
        for _ in 0..1 + self.random.below(6) {
            let line = words::command(&mut self.random);
            self.say(&line, Wait::Plain, out);
        }
    }

    /// A mail with DATA, its envelope in one write or in several.
    fn mail(&mut self, out: &mut Vec<u8>) {
        self.envelope();
        self.later.push_back((words::line(&mut self.random, "DATA"), Wait::Data));
        self.say_later(out);
    }

    /// A mail in chunks, if that was offered, or is of no use.
    fn chunks(&mut self, out: &mut Vec<u8>) {
        let offered = self.offered.iter().any(|word| word == "CHUNKING");
        if !offered && !self.nature.uses_bdat_unasked {
            return self.group(out);
        }
        self.envelope();
        for _ in 0..self.random.below(3) {
            let size = match self.random.below(3) {
                0 => self.random.below(4),
                1 => self.random.below(60),
                _ => self.random.below(600),
            };
            self.chunk(size, "");
        }
        let size = self.random.below(40);
        self.chunk(size, " LAST");
        self.say_later(out);
    }

    fn chunk(&mut self, size: usize, last: &str) {
        let verb = self.random.cased("BDAT");
        let mut chunk = format!("{verb} {size}{last}\r\n").into_bytes();
        let bait = b"QUIT\r\n.\r\nEHLO in.chunk.example\r\nVRFY bob\r\n\r\n.\r\n";
        let from = self.random.below(bait.len());
        chunk.extend(bait.iter().cycle().skip(from).take(size));
        self.later.push_back((chunk, Wait::Plain));
    }

    fn envelope(&mut self) {
        let mut commands = vec!["MAIL FROM:<alice@client.example>", "RCPT TO:<bob@server.example>"];
        if self.random.one_in(4) {
            commands.push("RCPT TO:<carol@server.example>");
        }
        for command in commands {
            self.later.push_back((words::line(&mut self.random, command), Wait::Plain));
        }
    }

    /// Says what is to be said, at once or one by one.
    fn say_later(&mut self, out: &mut Vec<u8>) {
        let pipelines = self.random.one_in(2);
        while let Some((line, wait)) = self.later.pop_front() {
            self.say(&line, wait, out);
            if !pipelines {
                break;
            }
        }
    }

    fn send_text(&mut self, out: &mut Vec<u8>) {
        let begin = out.len();
        let lines = self.random.below(self.nature.lines);
        words::text(&mut self.random, lines, out);
        out.extend(b".\r\n");
        self.texts.push(begin..out.len());
        self.waits.push_back(Wait::Plain);
        if self.random.one_in(4) {
            self.group(out);
        }
    }

    fn command(&mut self, words: &str, wait: Wait, out: &mut Vec<u8>) {
        let line = words::line(&mut self.random, words);
        self.say(&line, wait, out);
    }

    fn say(&mut self, line: &[u8], wait: Wait, out: &mut Vec<u8>) {
        let (start, end, _) = first_word(line);
        if ["EHLO", "HELO"].iter().any(|verb| line[start..end].eq_ignore_ascii_case(verb.as_bytes())) {
            // Another greeting: what was offered before does not hold any more.
            self.offered.clear();
        }
        out.extend(line);
        self.waits.push_back(wait);
    }
}
