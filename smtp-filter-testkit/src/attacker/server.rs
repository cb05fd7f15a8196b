//! An honest SMTP server that reads what its TCP delivers, byte by byte (RFC 5321, 3030, 3207, 4954), with the habits
//! that servers are known to have.

use crate::mix;

/// `Setup::quirks`: knows VERB (Sendmail): then says what it does in lines with code 050.
pub const VERBOSE: u8 = 1;
/// `Setup::quirks`: speaks LMTP after LHLO: one reply for each recipient after the end of data.
pub const LMTP: u8 = 2;
/// `Setup::quirks`: knows PRDR (Exim): 353 and one reply for each recipient after the end of data, then the last one.
pub const PRDR: u8 = 4;
/// `Setup::quirks`: offers CHUNKING.
pub const CHUNKING: u8 = 8;
/// `Setup::quirks`: says nothing to an empty line.
pub const SILENT: u8 = 16;
/// `Setup::quirks`: reads a size in BDAT that is written oddly, too.
pub const LENIENT: u8 = 32;
/// `Setup::quirks`: refuses nothing.
pub const POLITE: u8 = 64;

/// What the next byte of the client is to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It reads a command.
    Command,
    /// An answer in an AUTH exchange.
    Auth,
    /// It reads mail data.
    Data,
    /// It reads a chunk.
    Chunk,
    /// It reads TLS records.
    Tls,
}

/// What a byte came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It reads nothing any more.
    Nothing,
    /// It ended a command, which lies in [`Server::line`].
    Command,
    /// It ended the mail data.
    EndOfData,
    /// It ended a chunk.
    EndOfChunk,
}

/// A server: what it reads out of the bytes that its TCP delivers, and what it answers.
pub struct Server {
    quirks: u8,
    answers: u32,
    /// What it reads next.
    pub mode: Mode,
    /// The line under way, or the last one.
    pub line: Vec<u8>,
    fresh: bool,
    /// Characters of CRLF.CRLF that have come.
    matched: u8,
    /// Octets of the chunk that have not come.
    pub chunk: u64,
    /// It is the last one of its mail.
    last: bool,
    /// Commands so far.
    commands: u32,
    verbose: bool,
    lmtp: bool,
    prdr: bool,
    recipients: u32,
    /// All it has to say.
    pub out: Vec<u8>,
    /// Lines of replies to EHLO that hold a keyword: where they begin and end.
    pub keywords: Vec<(usize, usize)>,
}

const END: &[u8; 5] = b"\r\n.\r\n";

/// Whether a byte stands between words.
pub const fn blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// The first word of a line, in upper case, in a place of its own; longer ones are cut to it.
pub fn word<'a>(line: &[u8], ends: impl Fn(u8) -> bool, place: &'a mut [u8; 32]) -> &'a [u8] {
    let mut length = 0;
    for byte in line.iter().skip_while(|byte| ends(**byte)).take_while(|byte| !ends(**byte)) {
        if length < place.len() {
            place[length] = byte.to_ascii_uppercase();
            length += 1;
        }
    }
    &place[..length]
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// One that has no connection.
    pub const fn new() -> Self {
        Self {
            quirks: 0,
            answers: 0,
            mode: Mode::Command,
            line: Vec::new(),
            fresh: true,
            matched: 0,
            chunk: 0,
            last: false,
            commands: 0,
            verbose: false,
            lmtp: false,
            prdr: false,
            recipients: 0,
            out: Vec::new(),
            keywords: Vec::new(),
        }
    }

    /// A new connection to a server with these quirks.
    pub fn begin(&mut self, quirks: u8, answers: u32) {
        let (mut line, mut out, mut keywords) =
            (std::mem::take(&mut self.line), std::mem::take(&mut self.out), std::mem::take(&mut self.keywords));
        line.clear();
        out.clear();
        keywords.clear();
        out.extend(b"220 mx ESMTP\r\n");
        *self = Self { quirks, answers, line, out, keywords, ..Self::new() };
    }

    const fn is(&self, quirk: u8) -> bool {
        self.quirks & quirk != 0
    }

    /// From now on it refuses now and then.
    pub const fn becomes_rude(&mut self) {
        self.quirks &= !POLITE;
    }

    fn roll(&self, of: u32) -> bool {
        !self.is(POLITE) && (mix(u64::from(self.answers) << 32 | u64::from(self.commands)) as u32).is_multiple_of(of)
    }

    fn say(&mut self, reply: &[u8]) {
        if self.verbose {
            self.out.extend(b"050 x\r\n");
        }
        self.out.extend(reply);
    }

    /// Reads the next byte.
    pub fn read(&mut self, byte: u8) -> Came {
        match self.mode {
            Mode::Tls => Came::Nothing,
            Mode::Chunk => {
                self.chunk -= 1;
                if self.chunk > 0 {
                    return Came::Nothing;
                }
                self.mode = Mode::Command;
                self.end_of_chunk();
                Came::EndOfChunk
            }
            Mode::Data => {
                // What has been matched ends in CR alone where it fails at a CR.
                self.matched = match byte {
                    _ if byte == END[usize::from(self.matched)] => self.matched + 1,
                    b'\r' => 1,
                    _ => 0,
                };
                if usize::from(self.matched) < END.len() {
                    return Came::Nothing;
                }
                self.mode = Mode::Command;
                self.end_of_data();
                Came::EndOfData
            }
            Mode::Command | Mode::Auth => {
                if std::mem::take(&mut self.fresh) {
                    self.line.clear();
                }
                self.line.push(byte);
                if byte != b'\n' {
                    return Came::Nothing;
                }
                self.fresh = true;
                self.commands += 1;
                if self.mode == Mode::Auth {
                    self.authenticate();
                    return Came::Nothing;
                }
                self.command();
                Came::Command
            }
        }
    }

    /// RFC 3030 section 2: the last one ends the mail.
    fn end_of_chunk(&mut self) {
        match self.last {
            false => self.say(b"250 chunk\r\n"),
            // RFC 2033 section 4.2.
            true if self.lmtp && self.recipients == 0 => self.say(b"503 whom\r\n"),
            true => self.end_of_data(),
        }
    }

    fn end_of_data(&mut self) {
        let count = self.recipients;
        if self.prdr && count > 1 {
            self.say(b"353 each\r\n");
        }
        if self.prdr && count > 1 || self.lmtp {
            for _ in 0..count {
                self.say(b"250 one\r\n");
            }
        }
        if !self.lmtp {
            self.say(b"250 queued\r\n");
        }
        (self.recipients, self.prdr) = (0, false);
    }

    /// The other side's answer to 334.
    fn authenticate(&mut self) {
        self.mode = Mode::Command;
        match mix(u64::from(self.answers) << 32 | u64::from(self.commands)) % 3 {
            0 => {
                self.say(b"334 VXNlcg==\r\n");
                self.mode = Mode::Auth;
            }
            1 => self.say(b"235 in\r\n"),
            _ => self.say(b"535 no\r\n"),
        }
    }

    fn command(&mut self) {
        let mut place = [0; 32];
        let line = std::mem::take(&mut self.line);
        let verb = word(&line, blank, &mut place);
        let refuses = self.roll(7);
        let offers = self.is(CHUNKING);
        match verb {
            b"" if self.is(SILENT) => {}
            b"BDAT" if offers => match size(&line, self.is(LENIENT)) {
                Some((size, last)) => {
                    (self.chunk, self.last) = (size, last);
                    if size == 0 {
                        self.end_of_chunk();
                    } else {
                        self.mode = Mode::Chunk;
                    }
                }
                None => self.say(b"501 size\r\n"),
            },
            _ if refuses => self.say(if self.roll(14) { b"450 later\r\n" } else { b"550 no\r\n" }),
            b"EHLO" => {
                if self.verbose {
                    self.out.extend(b"050 x\r\n");
                }
                self.out.extend(b"250-mx SIZE\r\n");
                let lines: [&[u8]; 6] = [
                    b"250-CHUNKING\r\n",
                    b"250-STARTTLS\r\n",
                    b"250-SIZE 10\r\n",
                    b"250-AUTH=LOGIN\r\n",
                    b"250-prdr\r\n",
                    b"250 DSN\r\n",
                ];
                for line in &lines[usize::from(!offers)..] {
                    let start = self.out.len();
                    self.out.extend(*line);
                    self.keywords.push((start, self.out.len()));
                }
            }
            b"LHLO" if self.is(LMTP) => {
                self.lmtp = true;
                self.say(b"250 mx\r\n");
            }
            b"VERB" if self.is(VERBOSE) => {
                self.verbose = true;
                self.say(b"250 verbose\r\n");
            }
            b"MAIL" => {
                // RFC 5321 section 4.1.1.2: it clears what there is of recipients.
                self.recipients = 0;
                self.prdr = self.is(PRDR) && line.to_ascii_uppercase().windows(5).any(|five| five == b" PRDR");
                self.say(b"250 from\r\n");
            }
            b"RCPT" => {
                self.recipients += 1;
                self.say(b"250 to\r\n");
            }
            b"RSET" => {
                self.recipients = 0;
                self.say(b"250 reset\r\n");
            }
            // RFC 2033 section 4.2.
            b"DATA" if self.lmtp && self.recipients == 0 => self.say(b"503 whom\r\n"),
            b"DATA" => {
                self.say(b"354 go\r\n");
                self.mode = Mode::Data;
                self.matched = 2;
            }
            b"STARTTLS" => {
                self.say(b"220 tls\r\n");
                self.mode = Mode::Tls;
            }
            b"AUTH" => {
                self.say(b"334 VXNlcg==\r\n");
                self.mode = Mode::Auth;
            }
            b"BDAT" => self.say(b"500 what\r\n"),
            b"VRFY" => self.say(b"252-who\r\n252 knows\r\n"),
            _ if verb.contains(&b'X') => self.say(b"500 what\r\n"),
            _ => self.say(b"250 ok\r\n"),
        }
        self.line = line;
    }
}

/// The size in a line of BDAT, and whether it says LAST.
fn size(line: &[u8], lenient: bool) -> Option<(u64, bool)> {
    let line = line.strip_suffix(b"\n")?;
    let plain = line.strip_suffix(b"\r").unwrap_or(line);
    let digits = |text: &[u8]| {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let size = text[..count].iter().fold(0_u64, |size, digit| size * 10 + u64::from(digit & 15));
        (count > 0 && count < 10).then_some((size, count))
    };
    if lenient {
        let at = line.iter().position(u8::is_ascii_digit)?;
        let last = line.to_ascii_uppercase().windows(4).any(|four| four == b"LAST");
        return digits(&line[at..]).map(|(size, _)| (size, last));
    }
    let argument = plain.get(5..)?;
    if plain.len() == line.len() || !plain[..5].eq_ignore_ascii_case(b"BDAT ") {
        return None;
    }
    let (size, count) = digits(argument)?;
    let rest = &argument[count..];
    let last = rest.eq_ignore_ascii_case(b" LAST");
    let known = rest.is_empty() || last;
    (known && (count == 1 || argument[0] != b'0')).then_some((size, last))
}
