//! A server: it answers each line that it gets, as RFC 5321 has it.

use super::words;
use crate::Random;

#[derive(Debug, PartialEq, Eq)]
enum Mode {
    Commands,
    Text,
    Chunk(usize),
    Secret,
    Tls,
}

/// The server's program, above its TCP.
#[derive(Debug)]
pub struct Server {
    random: Random,
    mode: Mode,
    /// The line that has not ended, or the end of the text so far.
    line: Vec<u8>,
    sender: bool,
    recipients: bool,
}

impl Server {
    /// A server whose answers these numbers choose.
    pub fn new(random: Random) -> Self {
        Self { random, mode: Mode::Commands, line: Vec::new(), sender: false, recipients: false }
    }

    /// Says its banner.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        const BANNERS: &[&str] = &[
            "220 mx.example ESMTP Sendmail 8.20\r\n",
            "220 mx.example esmtp\r\n",
            "220 mx.example SMTP and ESMTPX, 2020\tESMTP\r\n",
            "220 mx\r\n",
            "220\r\n",
            "220 \r\n",
            "220-mx20.example ESMTP Exim 4.98 Tue, 24 Nov 2026 02:00:00 +0000\r\n220-We do not authorize\r\n220 ESMTP\r\n",
            "220-mx.example\r\n220 mx.example Microsoft ESMTP MAIL Service ready\r\n",
            "220 mx.example ESMTP with a line feed alone\n",
            "220  mx.example  ESMTP  ready \r\n",
            "220 ESMTP ESMTP ESM ESMTP.\r\n",
            "554 mx.example ESMTP not in service\r\n",
        ];
        out.extend(self.random.of(BANNERS).as_bytes());
    }

    /// Reads what has come, and answers.
    pub fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.mode == Mode::Tls && !bytes.is_empty() {
            out.extend(b"\x16\x03\x03\x00\x30\r\n250-STARTTLS\r\n250 AUTH\r\n");
            return;
        }
        for byte in bytes {
            self.line.push(*byte);
            match &mut self.mode {
                Mode::Chunk(left) => {
                    *left -= 1;
                    if *left == 0 {
                        self.mode = Mode::Commands;
                        self.line.clear();
                        out.extend(b"250 2.0.0 chunk\r\n");
                    }
                }
                Mode::Text if self.line.ends_with(b"\r\n.\r\n") => {
                    self.mode = Mode::Commands;
                    self.line.clear();
                    out.extend(b"250 2.0.0 queued\r\n");
                }
                Mode::Text => {}
                Mode::Tls => return,
                Mode::Commands | Mode::Secret if *byte == b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.answer(&line, out);
                }
                Mode::Commands | Mode::Secret => {}
            }
        }
    }

    fn answer(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if self.mode == Mode::Secret {
            let more = self.random.one_in(3);
            self.mode = if more { Mode::Secret } else { Mode::Commands };
            out.extend(if more { "334 UGFzc3dvcmQ6\r\n" } else { "535 no\r\n" }.as_bytes());
            return;
        }
        let line = String::from_utf8_lossy(line).to_ascii_uppercase();
        let mut words = line.split(|letter: char| letter <= ' ' || letter == '\x7f').filter(|word| !word.is_empty());
        let verb = words.next().unwrap_or_default();
        let first = words.next().unwrap_or_default();
        let random = &mut self.random;
        let reply: &[u8] = match verb {
            "EHLO" => return self.keywords(out),
            "HELO" => random.of(&[
                b"250 mx.example\r\n".as_slice(),
                b"250 mx.example\r\n",
                b"250-mx.example\r\n250-STARTTLS\r\n250 AUTH is no keyword here\r\n",
                b"501 no\r\n",
            ]),
            "MAIL" => {
                self.sender = true;
                b"250 2.1.0 Ok\r\n"
            }
            "RCPT" if self.sender => {
                let taken = !random.one_in(10);
                self.recipients |= taken;
                if taken { b"250 2.1.5 Ok\r\n" } else { b"550-no\r\n550 5.1.1 such user\r\n" }
            }
            "DATA" if self.recipients => {
                self.mode = Mode::Text;
                self.line = b"\r\n".to_vec();
                b"354 End data with <CR><LF>.<CR><LF>\r\n"
            }
            "BDAT" => {
                if let Some(size) = first.parse().ok().filter(|size| *size > 0) {
                    self.mode = Mode::Chunk(size);
                    return;
                }
                b"250 2.0.0 chunk\r\n"
            }
            "AUTH" => {
                let code = random.of(&[b"334 VXNlcm5hbWU6\r\n".as_slice(), b"334 \r\n", b"504 no\r\n", b"235 in\r\n"]);
                if code.starts_with(b"334") {
                    self.mode = Mode::Secret;
                }
                code
            }
            "STARTTLS" => {
                let refuses = random.one_in(3);
                if !refuses {
                    self.mode = Mode::Tls;
                }
                if refuses { b"454 4.7.0 TLS not available\r\n" } else { b"220 2.0.0 Ready\r\n" }
            }
            "RSET" => {
                (self.sender, self.recipients) = (false, false);
                b"250 2.0.0 Ok\r\n"
            }
            "NOOP" => b"250 2.0.0 Ok\r\n",
            "HELP" => b"214-2.0.0 Commands:\r\n214-STARTTLS EHLO\r\n214 2.0.0 End of HELP\r\n",
            "VRFY" => b"252 2.0.0 bob\r\n",
            "EXPN" => b"250-STARTTLS <a@server.example>\r\n250 AUTH <b@server.example>\r\n",
            "QUIT" => b"221 2.0.0 Bye\r\n",
            "RCPT" | "DATA" => b"503 5.5.1 bad sequence\r\n",
            _ => b"500 5.5.1 Command unknown\r\n",
        };
        out.extend(reply);
    }

    fn keywords(&mut self, out: &mut Vec<u8>) {
        let random = &mut self.random;
        (self.sender, self.recipients) = (false, false);
        if random.one_in(10) {
            out.extend(random.of(&[b"502 no\r\n".as_slice(), b"550-no\r\n550-STARTTLS\r\n550 AUTH\r\n"]));
            return;
        }
        let mut lines = vec!["mx.example AUTH STARTTLS".to_owned()];
        for _ in 0..random.below(9) {
            let words = random.of(words::KEYWORDS);
            let (keyword, rest) = words.split_at(words.find([' ', '=']).unwrap_or(words.len()));
            lines.push(random.cased(keyword) + rest);
        }
        let last = lines.len() - 1;
        for (number, line) in lines.iter().enumerate() {
            let separator = if number == last { ' ' } else { '-' };
            let end = if random.one_in(30) { "\n" } else { "\r\n" };
            out.extend(format!("250{separator}{line}{end}").as_bytes());
        }
    }
}
