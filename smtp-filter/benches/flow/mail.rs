//! A client that sends one mail without waiting more than it must, and a server that looks only where it ends.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::net::sockopt::set_tcp_congestion;

use super::path::Path;

/// What nobody waits for longer.
const PATIENCE: Duration = Duration::from_secs(60);
const LINE: &[u8] = b"It was a bright cold day in April, and the clocks were striking thirteen. ...\r\n";

/// How a mail is sent.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Octets of a chunk (RFC 3030), sent without waiting for the replies; `None`: DATA.
    pub chunk: Option<usize>,
    /// Octets of mail data.
    pub bytes: usize,
    /// The sender's congestion control.
    pub control: &'static str,
}

/// Sends a mail; returns how many octets it had, and the time from its first one to the reply at its end.
pub fn send(path: &Path, way: Way) -> Result<(usize, Duration)> {
    let address = path.server;
    let listener = path.to().enter(|| TcpListener::bind(address))?.context("listen on the SMTP port")?;
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (stream, _) = listener.accept()?;
            serve(stream).context("the sink")
        });
        let client = path.from().enter(|| {
            let stream = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
            set_tcp_congestion(&stream, way.control)?;
            write(&stream, way).context("the client")
        })?;
        let sent = client?;
        let read = server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        ensure!(read == sent.0, "{} octets were sent, {read} arrived", sent.0);
        Ok(sent)
    })
}

fn patient(stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream.set_nodelay(true)?)
}

/// Takes one mail, answers all that has come at once, and returns how many octets the mail has.
fn serve(mut stream: TcpStream) -> Result<usize> {
    const END: &[u8] = b"\r\n.\r\n";
    patient(&stream)?;
    stream.write_all(b"220 server.example ESMTP\r\n")?;
    let mut buffer = vec![0; 1 << 18];
    let (mut kept, mut octets, mut chunk, mut replies) = (Vec::new(), 0, 0, Vec::new());
    let (mut data, mut last) = (false, false);
    loop {
        let length = stream.read(&mut buffer)?;
        ensure!(length > 0, "the connection ended too soon");
        let mut at = 0;
        while at < length {
            if data {
                octets += length - at;
                kept.extend_from_slice(&buffer[length.saturating_sub(END.len()).max(at)..length]);
                kept.drain(..kept.len().saturating_sub(END.len()));
                if kept == END {
                    (data, last) = (false, true);
                    kept.clear();
                    replies.extend_from_slice(b"250 2.0.0 Ok\r\n");
                }
                break;
            }
            let here = chunk.min(length - at);
            (chunk, at, octets) = (chunk - here, at + here, octets + here);
            if here > 0 {
                if chunk == 0 {
                    replies.extend_from_slice(b"250 2.0.0 Ok\r\n");
                }
                continue;
            }
            let end = buffer[at..length].iter().position(|byte| *byte == b'\n').map_or(length, |end| at + end + 1);
            kept.extend_from_slice(&buffer[at..end]);
            at = end;
            if kept.last() != Some(&b'\n') {
                continue;
            }
            let line = String::from_utf8_lossy(&kept).trim_end().to_owned();
            kept.clear();
            let mut words = line.split(' ');
            let reply: &[u8] = match words.next() {
                Some("EHLO") => b"250-server.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
                Some("DATA") => {
                    data = true;
                    b"354 Go on\r\n"
                }
                Some("BDAT") => {
                    chunk = words.next().context("a size")?.parse()?;
                    last |= words.next() == Some("LAST");
                    if chunk == 0 { b"250 2.0.0 Ok\r\n" } else { b"" }
                }
                Some("QUIT") => {
                    ensure!(last, "no end of the mail");
                    replies.extend_from_slice(b"221 2.0.0 Bye\r\n");
                    stream.write_all(&replies)?;
                    return Ok(octets);
                }
                _ => b"250 2.0.0 Ok\r\n",
            };
            replies.extend_from_slice(reply);
        }
        stream.write_all(&replies)?;
        replies.clear();
    }
}

fn write(mut stream: &TcpStream, way: Way) -> Result<(usize, Duration)> {
    patient(stream)?;
    let mut replies = Replies(BufReader::new(stream));
    replies.expect("220")?;
    stream.write_all(b"EHLO client.example\r\n")?;
    replies.expect("250")?;
    let mut start = Instant::now();
    let envelope = b"MAIL FROM:<alice@client.example>\r\nRCPT TO:<bob@server.example>\r\n";
    let text = LINE.repeat((1 << 18) / LINE.len() + 2);
    let bytes = way.bytes.next_multiple_of(LINE.len());
    let Some(octets) = way.chunk else {
        stream.write_all(&[&envelope[..], b"DATA\r\n"].concat())?;
        for code in ["250", "250", "354"] {
            replies.expect(code)?;
        }
        start = Instant::now();
        let mut sent = 0;
        while sent < bytes {
            let (from, length) = (sent % LINE.len(), (1 << 18).min(bytes - sent));
            stream.write_all(&text[from..from + length])?;
            sent += length;
        }
        stream.write_all(b".\r\n")?;
        replies.expect("250")?;
        let time = start.elapsed();
        stream.write_all(b"QUIT\r\n")?;
        replies.expect("221")?;
        return Ok((bytes + 3, time));
    };
    let chunks = way.bytes.div_ceil(octets);
    thread::scope(|scope| {
        let answered = scope.spawn(move || -> Result<_> {
            for _ in 0..chunks + 3 {
                replies.expect("250")?;
            }
            Ok((replies, Instant::now()))
        });
        let mut buffer = envelope.to_vec();
        for _ in 0..chunks {
            write!(buffer, "BDAT {octets}\r\n")?;
            buffer.extend((0..octets.div_ceil(text.len())).flat_map(|_| &text[..octets.min(text.len())]));
            if buffer.len() >= 1 << 16 {
                stream.write_all(&buffer)?;
                buffer.clear();
            }
        }
        buffer.extend_from_slice(b"BDAT 0 LAST\r\n");
        stream.write_all(&buffer)?;
        let (mut replies, end) = answered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        stream.write_all(b"QUIT\r\n")?;
        replies.expect("221")?;
        Ok((chunks * octets, end - start))
    })
}

struct Replies<'a>(BufReader<&'a TcpStream>);

impl Replies<'_> {
    /// The next reply, which has this code.
    fn expect(&mut self, code: &str) -> Result<()> {
        let mut line = String::new();
        while line.is_empty() || line.as_bytes().get(3) == Some(&b'-') {
            line.clear();
            self.0.read_line(&mut line).context("wait for a reply")?;
            ensure!(line.starts_with(code), "{line:?} instead of {code}");
        }
        Ok(())
    }
}
