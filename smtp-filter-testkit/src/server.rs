//! A mail server that keeps what it gets: the crate mailin's sessions on sockets in a namespace.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use mailin::{Action, Handler, Response, SessionBuilder, response::OK};

use crate::namespace::Namespace;

/// What the server calls itself.
const NAME: &str = "server.example";

/// How long a session may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mail that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Where it came from.
    pub client: IpAddr,
    /// What the client called itself.
    pub hello: String,
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The number of its session.
    pub session: usize,
    /// Header and text, every byte, dots unstuffed.
    pub text: Vec<u8>,
}

impl Mail {
    /// The subject in its header.
    pub fn subject(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.text);
        text.lines().find_map(|line| line.strip_prefix("Subject: ")).map(str::to_owned)
    }
}

/// A mail server on port 25 of a namespace, for IPv4 and IPv6. It stops on drop, and its sessions with it.
#[derive(Debug)]
pub struct MailServer {
    inbox: Arc<Inbox>,
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

/// What all sessions of a server share.
#[derive(Debug, Default)]
struct Inbox {
    /// What arrived.
    received: Mutex<Received>,
    /// Told of every mail.
    more: Condvar,
    /// Connections, to be shut when the server stops.
    open: Mutex<Vec<TcpStream>>,
}

#[derive(Debug, Default)]
struct Received {
    mails: Vec<Mail>,
    /// With the number of its session.
    lines: Vec<(usize, String)>,
    sessions: usize,
}

impl Inbox {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MailServer {
    /// Starts it.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 25));
        let listener = namespace.enter(move || TcpListener::bind(address))?;
        let listener = Arc::new(listener.context("listen on port 25")?);
        let inbox = Arc::new(Inbox::default());
        let thread = {
            let (listener, inbox) = (Arc::clone(&listener), Arc::clone(&inbox));
            thread::spawn(move || {
                // Shutting the listener ends the loop.
                while let Ok((stream, client)) = listener.accept() {
                    if let Ok(copy) = stream.try_clone() {
                        inbox.open().push(copy);
                    }
                    let inbox = Arc::clone(&inbox);
                    thread::spawn(move || {
                        // A session that breaks off is the client's business.
                        let _ = serve(&stream, client.ip().to_canonical(), &inbox);
                        // The copy keeps it open.
                        let _ = stream.shutdown(Shutdown::Both);
                    });
                }
            })
        };
        Ok(Self { inbox, listener, thread: Some(thread) })
    }

    /// The mails so far, in the order of their arrival.
    pub fn mails(&self) -> Vec<Mail> {
        self.inbox.received().mails.clone()
    }

    /// Waits until there are `count` mails and returns them all.
    pub fn wait_for_mails(&self, count: usize, limit: Duration) -> Result<Vec<Mail>> {
        let received = self.inbox.received();
        let waited = self.inbox.more.wait_timeout_while(received, limit, |received| received.mails.len() < count);
        let (received, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        let there = received.mails.len();
        anyhow::ensure!(!timeout.timed_out(), "{there} of {count} mails arrived within {limit:?}");
        Ok(received.mails.clone())
    }

    /// The command lines so far, of all sessions, as they reached the server.
    pub fn lines(&self) -> Vec<String> {
        self.inbox.received().lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// The command lines so far of one session.
    pub fn lines_of(&self, session: usize) -> Vec<String> {
        let received = self.inbox.received();
        received.lines.iter().filter(|(number, _)| *number == session).map(|(_, line)| line.clone()).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.inbox.open().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// One session.
fn serve(stream: &TcpStream, client: IpAddr, inbox: &Inbox) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let number = {
        let mut received = inbox.received();
        received.sessions += 1;
        received.sessions
    };
    let nothing =
        Mail { client, hello: String::new(), from: String::new(), to: Vec::new(), session: number, text: Vec::new() };
    let mut session = SessionBuilder::new(NAME).enable_start_tls().build(client, Delivery { inbox, mail: nothing });
    let mut output = stream;
    let greeting = session.greeting().buffer()?;
    output.write_all(&greeting)?;
    let mut input = BufReader::new(stream);
    let mut is_text = false;
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if !is_text {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            inbox.received().lines.push((number, line));
        }
        let response = if !is_text && line.trim_ascii().eq_ignore_ascii_case(b"STARTTLS") {
            no_tls()
        } else {
            session.process(&line)
        };
        // Text gets no reply until its end.
        is_text = response.code == 354 || response.action == Action::NoReply;
        if response.action != Action::NoReply {
            output.write_all(&response.buffer()?)?;
        }
        if response.action == Action::Close {
            return Ok(());
        }
    }
}

/// STARTTLS is offered, as by every server of today; who asks for it is put off (RFC 3207 section 4), for nothing here
/// speaks TLS.
fn no_tls() -> Response {
    Response::custom(454, "TLS not available due to temporary reason".to_owned())
}

/// What a session does with a mail: it goes to the inbox.
struct Delivery<'a> {
    inbox: &'a Inbox,
    mail: Mail,
}

impl Handler for Delivery<'_> {
    fn helo(&mut self, _ip: IpAddr, domain: &str) -> Response {
        domain.clone_into(&mut self.mail.hello);
        OK
    }

    fn data_start(&mut self, _domain: &str, from: &str, _is8bit: bool, to: &[String]) -> Response {
        from.clone_into(&mut self.mail.from);
        self.mail.to = to.to_vec();
        self.mail.text.clear();
        OK
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.mail.text.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.inbox.received().mails.push(self.mail.clone());
        self.inbox.more.notify_all();
        OK
    }
}
