//! What a built-in profile promises, as docs/policy.md says it: from what the two ends of a session have sent, what
//! the other end receives. It knows whole lines of honest sessions and nothing of the datapath.

use anyhow::{Context as _, Result, bail, ensure};

/// What becomes of EHLO.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ehlo {
    Stays,
    BecomesHelo,
    IsMasked,
}

/// What is shown of the banner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Banner {
    All,
    Host,
    Pix,
}

/// A profile's promise.
#[derive(Clone, Copy)]
pub struct Promise {
    banner: Banner,
    ehlo: Ehlo,
    /// Verbs that pass; those of `stopped` do not. One of the two says it for every verb.
    passes: Option<&'static [&'static str]>,
    stopped: &'static [&'static str],
    /// Keywords that are shown, where not all are.
    shown: Option<&'static [&'static str]>,
}

const ESMTP: &[&str] = &["LHLO", "STARTTLS", "AUTH", "BDAT", "ETRN", "ATRN", "XCLIENT", "XFORWARD"];
const SEVEN: &[&str] = &["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"];
const FIFTEEN: &[&str] = &[
    "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "AUTH", "EHLO", "ETRN", "HELP", "SAML", "SEND", "SOML",
    "VRFY",
];
const CAREFUL: &[&str] = &["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "EHLO", "STARTTLS"];
const EIGHT_KEYWORDS: &[&str] = &["8BITMIME", "AUTH", "CHECKPOINT", "DSN", "ETRN", "PIPELINING", "SIZE", "VRFY"];
const ELEVEN_KEYWORDS: &[&str] = &[
    "8BITMIME",
    "DELIVERBY",
    "DSN",
    "LIMITS",
    "MT-PRIORITY",
    "PIPELINING",
    "REQUIRETLS",
    "RRVS",
    "SIZE",
    "SMTPUTF8",
    "STARTTLS",
];

impl Promise {
    /// That of the profile with this name.
    pub fn of(profile: &str) -> Result<Self> {
        let untouched = Self { banner: Banner::All, ehlo: Ehlo::Stays, passes: None, stopped: &[], shown: None };
        Ok(match profile {
            // Of drop-esmtp: of what passes, no byte is another one.
            "monitor" | "mark-esmtp" | "drop-esmtp" => untouched,
            "helo-only" => Self { ehlo: Ehlo::BecomesHelo, stopped: ESMTP, shown: Some(&[]), ..untouched },
            "pix-mailguard" => {
                Self { banner: Banner::Pix, ehlo: Ehlo::IsMasked, passes: Some(SEVEN), shown: Some(&[]), ..untouched }
            }
            "asa-esmtp" => {
                Self { banner: Banner::Pix, passes: Some(FIFTEEN), shown: Some(EIGHT_KEYWORDS), ..untouched }
            }
            "hardened" => {
                Self { banner: Banner::Host, passes: Some(CAREFUL), shown: Some(ELEVEN_KEYWORDS), ..untouched }
            }
            other => bail!("no promise is known of {other}"),
        })
    }

    fn is_masked(&self, verb: &str) -> bool {
        match verb {
            "EHLO" => self.ehlo == Ehlo::IsMasked,
            _ => self.passes.map_or_else(|| self.stopped.contains(&verb), |passes| !passes.contains(&verb)),
        }
    }

    /// A command line as the server is to get it.
    fn command(&self, line: &[u8]) -> Vec<u8> {
        let verb = verb(line);
        if self.is_masked(&verb) {
            return line.iter().map(|byte| if b"\r\n".contains(byte) { *byte } else { b'X' }).collect();
        }
        if verb == "EHLO" && self.ehlo == Ehlo::BecomesHelo {
            return [b"HELO", &line[4..]].concat();
        }
        line.to_vec()
    }

    /// The banner as the client is to see it.
    fn banner(&self, reply: &[&[u8]]) -> Vec<u8> {
        let line = |line: &&[u8]| -> Vec<u8> {
            let (code, rest) = line.split_at(4);
            let (text, end) = rest.split_at(rest.len() - 2);
            let text = match self.banner {
                Banner::All => text.to_vec(),
                Banner::Pix => text.iter().map(|byte| if b"20".contains(byte) { *byte } else { b'*' }).collect(),
                Banner::Host => {
                    let words = text.split(|byte| *byte == b' ').enumerate();
                    let words =
                        words.map(
                            |(at, word)| {
                                if at == 0 || word == b"ESMTP" { word.to_vec() } else { vec![b'X'; word.len()] }
                            },
                        );
                    words.collect::<Vec<_>>().join(&b' ')
                }
            };
            [code, &text, end].concat()
        };
        reply.iter().flat_map(line).collect()
    }

    /// The reply to EHLO as the client is to see it.
    fn keywords(&self, reply: &[&[u8]]) -> Vec<u8> {
        let line = |(at, line): (usize, &&[u8])| -> Vec<u8> {
            let (code, rest) = line.split_at(4);
            let (text, end) = rest.split_at(rest.len() - 2);
            let keyword = String::from_utf8_lossy(text).to_ascii_uppercase();
            let keyword = keyword.split([' ', '=']).next().unwrap_or_default();
            if at == 0 || self.shown.is_none_or(|shown| shown.contains(&keyword)) {
                return line.to_vec();
            }
            [code, &vec![b'X'; text.len()], end].concat()
        };
        reply.iter().enumerate().flat_map(line).collect()
    }

    /// What the server is to get of what the client has sent, and the client of what the server has; and whether they
    /// have gone over to TLS.
    pub fn of_session(&self, mut client: &[u8], mut server: &[u8]) -> Result<Expected> {
        let mut expected = Expected::default();
        expected.at_client.extend(self.banner(&reply(&mut server)?));
        while let Some(line) = line(&mut client) {
            expected.at_server.extend(self.command(line));
            let answer = reply(&mut server).with_context(|| String::from_utf8_lossy(line).into_owned())?;
            let verb = verb(line);
            let greeted = verb == "EHLO" && self.ehlo == Ehlo::Stays && code(&answer) == b"250";
            expected.at_client.extend(if greeted { self.keywords(&answer) } else { answer.concat() });
            match (verb.as_str(), code(&answer)) {
                ("DATA", b"354") => {
                    let end = client.windows(5).position(|bytes| bytes == b"\r\n.\r\n").context("the end of data")?;
                    let (text, rest) = client.split_at(end + 5);
                    client = rest;
                    expected.at_server.extend(text);
                    expected.at_client.extend(reply(&mut server)?.concat());
                }
                ("STARTTLS", b"220") => {
                    // A record of a handshake, of any version of TLS.
                    ensure!(client.starts_with(&[22, 3]) && server.starts_with(&[22, 3]), "no TLS follows the 220");
                    expected.at_server.extend(client);
                    expected.at_client.extend(server);
                    expected.tls = true;
                    return Ok(expected);
                }
                ("BDAT" | "AUTH", _) => bail!("{verb} is not read here"),
                _ => {}
            }
        }
        ensure!(client.is_empty(), "bytes behind the last line: {client:?}");
        // Unasked: 421 to a client that has hung up.
        while !server.is_empty() {
            expected.at_client.extend(reply(&mut server)?.concat());
        }
        Ok(expected)
    }
}

/// What each end is to have received.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// What the server is to receive.
    pub at_server: Vec<u8>,
    /// What the client is to receive.
    pub at_client: Vec<u8>,
    /// It went over to TLS.
    pub tls: bool,
}

fn verb(line: &[u8]) -> String {
    let word = line.split(|byte| *byte <= b' ').next().unwrap_or_default();
    String::from_utf8_lossy(word).to_ascii_uppercase()
}

fn code<'a>(reply: &[&'a [u8]]) -> &'a [u8] {
    reply.first().and_then(|line| line.get(..3)).unwrap_or_default()
}

/// Takes a line with its end.
fn line<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.windows(2).position(|end| end == b"\r\n")?;
    let (line, rest) = bytes.split_at(end + 2);
    *bytes = rest;
    Some(line)
}

/// Takes a reply: all its lines.
fn reply<'a>(bytes: &mut &'a [u8]) -> Result<Vec<&'a [u8]>> {
    let mut lines = Vec::new();
    loop {
        let line = line(bytes).context("no reply")?;
        ensure!(line.len() >= 6 && line[..3].iter().all(u8::is_ascii_digit), "{:?}", String::from_utf8_lossy(line));
        lines.push(line);
        if line[3] != b'-' {
            return Ok(lines);
        }
    }
}
