//! Mail clients: a mail program that speaks ESMTP, and one whose every line is given.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use lettre::{Message, SmtpTransport, Transport as _, transport::smtp::extension::ClientId};
use rustix::net::sockopt::set_socket_linger;

use crate::namespace::Namespace;

/// What clients call themselves.
pub const NAME: &str = "client.example";

/// How long a connection or a reply may take, unless [`Client::patience`] says otherwise: long enough for a slow
/// machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a mail as a mail program does: EHLO first, by the crate lettre.
pub fn send_by_esmtp(from: &Namespace, to: SocketAddr, subject: &str) -> Result<()> {
    let transport = SmtpTransport::builder_dangerous(to.ip().to_string())
        .port(to.port())
        .hello_name(ClientId::Domain(NAME.to_owned()))
        .timeout(Some(PATIENCE))
        .build();
    let message = message(subject)?;
    from.enter(move || transport.send(&message))?.with_context(|| format!("send a mail to {to}"))?;
    Ok(())
}

/// A short mail.
fn message(subject: &str) -> Result<Message> {
    Message::builder()
        .from("Alice <alice@client.example>".parse().context("an address")?)
        .to("Bob <bob@server.example>".parse().context("an address")?)
        .subject(subject)
        .body(format!("Hello Bob,\r\n\r\nthis is \"{subject}\".\r\n.\r\nThe line above is a lone dot.\r\n"))
        .context("make a mail")
}

/// A reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its code.
    pub code: u16,
    /// The text of its lines, without code and separator.
    pub lines: Vec<String>,
}

/// A connection on which the caller says every line, HELO too, which mail programs no longer do by themselves.
///
/// Errors carry the [`std::io::Error`]: `WouldBlock` or `TimedOut` where no reply comes in time, `ConnectionReset`.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects from a namespace.
    pub fn connect(from: &Namespace, to: SocketAddr) -> Result<Self> {
        let stream = from.enter(move || TcpStream::connect_timeout(&to, PATIENCE))?;
        let stream = stream.with_context(|| format!("connect to {to}"))?;
        stream.set_nodelay(true).context("switch Nagle's algorithm off")?;
        let client = Self { stream: BufReader::new(stream) };
        client.patience(PATIENCE)?;
        Ok(client)
    }

    /// Sets how long a reply may take.
    pub fn patience(&self, limit: Duration) -> Result<()> {
        self.stream.get_ref().set_read_timeout(Some(limit)).context("set the time limit of replies")
    }

    /// The connection itself, for what this type does not do.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    /// Reads the banner.
    pub fn greeting(&mut self) -> Result<Reply> {
        self.reply().context("wait for the banner")
    }

    /// Says a line and reads the reply.
    pub fn command(&mut self, line: &str) -> Result<Reply> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply().with_context(|| format!("wait for the reply to `{line}`"))
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes).context("write to the server")
    }

    /// Reads a reply of one or more lines.
    pub fn reply(&mut self) -> Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                bail!("the server closed the connection");
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.with_context(|| format!("the server said no reply: {line}"))?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// Sends a mail and ends the session; the greeting is exchanged already.
    pub fn send(mut self, subject: &str) -> Result<()> {
        let text = String::from_utf8(message(subject)?.formatted()).context("a mail of ASCII")?;
        let expect = |reply: Reply, code: u16| -> Result<()> {
            if reply.code != code {
                bail!("the server said {} {}, not {code}", reply.code, reply.lines.join(" / "));
            }
            Ok(())
        };
        expect(self.command("MAIL FROM:<alice@client.example>")?, 250)?;
        expect(self.command("RCPT TO:<bob@server.example>")?, 250)?;
        expect(self.command("DATA")?, 354)?;
        expect(self.command(&format!("{}.", text.replace("\r\n.", "\r\n..")))?, 250)?;
        expect(self.command("QUIT")?, 221)
    }

    /// Ends the session by a RST, so that nothing of it comes again later.
    pub fn abort(mut self) -> Result<()> {
        set_socket_linger(self.stream(), Some(Duration::ZERO)).context("have the connection reset")
    }

    /// Whether an error means that no reply came in time.
    pub fn timed_out(error: &anyhow::Error) -> bool {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        matches!(io_kind(error), Some(TimedOut | WouldBlock))
    }

    /// Whether an error means that the connection was reset.
    pub fn was_reset(error: &anyhow::Error) -> bool {
        matches!(io_kind(error), Some(std::io::ErrorKind::ConnectionReset))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
    }
}

fn io_kind(error: &anyhow::Error) -> Option<std::io::ErrorKind> {
    error.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}
