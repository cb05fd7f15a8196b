//! A server that takes mail and looks at nothing but where it ends, and a client that sends one mail to it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::Namespace;

use super::support::stay_on;

const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 25), 25);
/// What nobody waits for longer.
const PATIENCE: Duration = Duration::from_secs(60);
const END: &[u8; 5] = b"\r\n.\r\n";
const LINE: &[u8] = b"It was a bright cold day in April, and the clocks were striking thirteen. ...\r\n";

/// How a mail is sent.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// Bytes of text.
    pub bytes: usize,
    /// Bytes that the client writes at once.
    pub at_once: usize,
    /// CPUs of the client and of the server; `None`: wherever the kernel puts them.
    pub places: Option<(usize, &'a [usize])>,
}
/// The server.
pub struct Sink(TcpListener);

impl Sink {
    /// Listens in a namespace.
    pub fn listen(namespace: &Namespace) -> Result<Self> {
        Ok(Self(namespace.enter(|| TcpListener::bind(ADDRESS))?.context("listen on the SMTP port")?))
    }

    /// Sends one mail from another namespace; returns how many bytes of text there were, and the time from the 354 to
    /// the reply at the end.
    pub fn send(&self, from: &Namespace, way: Way) -> Result<(usize, Duration)> {
        thread::scope(|scope| {
            let server = scope.spawn(move || {
                if let Some((_, cpus)) = way.places {
                    stay_on(cpus)?;
                }
                let (stream, _) = self.0.accept()?;
                serve(stream).context("the sink")
            });
            let client = from.enter(|| {
                if let Some((cpu, _)) = way.places {
                    stay_on(&[cpu])?;
                }
                let stream = TcpStream::connect_timeout(&ADDRESS.into(), PATIENCE)?;
                send(stream, way).context("the client")
            })?;
            let (read, sent) = (server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?, client?);
            ensure!(read == sent.0, "{} bytes were sent, {read} arrived", sent.0);
            Ok(sent)
        })
    }
}

/// Takes one mail and returns how many bytes its text has.
fn serve(mut stream: TcpStream) -> Result<usize> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"220 server.example ESMTP\r\n")?;
    for reply in ["250 server.example\r\n", "250 2.1.0 Ok\r\n", "250 2.1.5 Ok\r\n", "354 Go on\r\n"] {
        line(&mut stream)?;
        stream.write_all(reply.as_bytes())?;
    }
    let mut buffer = vec![0; 1 << 18];
    let (mut tail, mut bytes) = ([0; END.len()], 0);
    while tail != *END {
        let length = stream.read(&mut buffer)?;
        ensure!(length > 0, "the connection ended within the text");
        bytes += length;
        let seen = [&tail[..], &buffer[length.saturating_sub(END.len())..length]].concat();
        tail.copy_from_slice(&seen[seen.len() - END.len()..]);
    }
    stream.write_all(b"250 2.0.0 Ok\r\n")?;
    line(&mut stream)?;
    stream.write_all(b"221 2.0.0 Bye\r\n")?;
    Ok(bytes)
}

fn send(mut stream: TcpStream, way: Way) -> Result<(usize, Duration)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    line(&mut stream)?;
    let commands = [
        "EHLO client.example\r\n",
        "MAIL FROM:<alice@client.example>\r\n",
        "RCPT TO:<bob@server.example>\r\n",
        "DATA\r\n",
    ];
    for command in commands {
        stream.write_all(command.as_bytes())?;
        line(&mut stream)?;
    }
    // Whatever is written at once, the text goes on with its next byte, and ends with a line.
    let text = LINE.repeat(way.at_once / LINE.len() + 2);
    let bytes = way.bytes.next_multiple_of(LINE.len());
    let start = Instant::now();
    let mut sent = 0;
    while sent < bytes {
        let from = sent % LINE.len();
        let length = way.at_once.min(bytes - sent);
        stream.write_all(&text[from..from + length])?;
        sent += length;
    }
    stream.write_all(b".\r\n")?;
    let reply = line(&mut stream)?;
    let time = start.elapsed();
    ensure!(reply.starts_with("250"), "the sink said {reply}");
    stream.write_all(b"QUIT\r\n")?;
    line(&mut stream)?;
    Ok((sent + 3, time))
}

/// The next line, byte by byte: nothing behind it is taken.
fn line(stream: &mut TcpStream) -> Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("wait for a line")?;
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
