//! A network with the filter on the gateway, real mail software at its ends, and mails to send.
pub mod pages;
pub mod promise;
pub mod rewriting;
pub mod schema;
pub mod software;
pub mod texts;
pub mod wire;

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::{Client, Fate, Filter, Judge, Line, Namespace, Network, Postfix, Random, Running, folders};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// How long anything may take that is waited for. It decides nothing but when a failed test ends.
pub const SOON: Duration = Duration::from_secs(30);
/// The same for a large mail on a bad line.
pub const LATER: Duration = Duration::from_secs(120);
/// The client on the far side of the bad line.
const FAR_V4: &str = "203.0.113.10";

/// A filter for a gateway: the release program where `cargo xtask test` names it, else the one built for this test.
pub fn filter(gateway: &Namespace) -> Result<Filter> {
    Filter::new(folders::program(), gateway)
}

/// A reader of events that has begun.
pub fn events(filter: &Filter) -> Result<Running> {
    let events = filter.events()?;
    events.wait_for(SOON, |line| line.contains("reading the events of").then_some(()))?;
    Ok(events)
}

/// The next event from line `from` on with this reason and action, and the number of the line behind it.
pub fn event(events: &Running, from: usize, reason: &str, action: &str) -> Result<(Value, usize)> {
    let found = events.wait_from(from, SOON, |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["reason"] == reason && event["action"] == action).then_some(event)
    });
    found.with_context(|| format!("an event of {reason}, {action}"))
}

/// Segments counted for a reason, whatever was done, and their bytes.
pub fn counted(filter: &Filter, reason: &str) -> Result<(u64, u64)> {
    let stats = filter.json(&["stats"])?;
    let rows = stats["reasons"].as_array().context("reasons")?.iter().filter(|row| row["reason"] == reason);
    Ok(rows.fold((0, 0), |(segments, bytes), row| {
        (segments + row["segments"].as_u64().unwrap_or(0), bytes + row["bytes"].as_u64().unwrap_or(0))
    }))
}

/// Waits until something holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Copies a program, by another process: what this one has open for writing, the children of tests beside this one
/// inherit for a moment, and the kernel starts no program that somebody may write to.
pub fn copy_program(from: impl AsRef<OsStr>, to: &Path) -> Result<()> {
    succeed(Command::new("cp").arg(from).arg(to)).map(drop)
}

/// A mail of about `size` bytes with CRLF line ends, full of what looks like commands and ends of data.
pub fn mail(size: usize, seed: u64) -> Vec<u8> {
    const BAIT: &[&str] = &[
        "EHLO evil.example",
        ".",
        "..",
        ".QUIT",
        "STARTTLS",
        "DATA",
        "RSET",
        "",
        ". ",
        "BDAT 10 LAST",
        "EHLO",
        "250 Ok",
        "AUTH PLAIN AGEAYg==",
    ];
    let mut random = Random::new(seed | 1);
    let mut mail = format!("From: alice@client.example\r\nTo: bob@server.example\r\nSubject: number {seed}\r\nDate: Tue, 24 Nov 2026 02:00:00 +0000\r\nMessage-ID: <{seed}@client.example>\r\n\r\n").into_bytes();
    while mail.len() < size {
        if random.below(16) == 0 {
            mail.extend(BAIT[random.below(BAIT.len())].as_bytes());
        } else {
            let length = random.below(76);
            // swaks reads `\n` and `%DATE%` as something else.
            mail.extend(
                (0..length)
                    .map(|_| b' ' + random.below(95) as u8)
                    .map(|byte| if b"\\%".contains(&byte) { b'x' } else { byte }),
            );
        }
        mail.extend(b"\r\n");
    }
    mail
}

/// The mail as a client sends it: dots doubled, the end of data behind it.
pub fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + mail.len() / 50);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line[0] == b'.' {
            out.push(b'.');
        }
        out.extend(line);
    }
    out.extend(b".\r\n");
    out
}

/// A mail as it lies in a mailbox: LF for CRLF.
pub fn stored_as(mail: &[u8]) -> Vec<u8> {
    let mut stored = mail.to_vec();
    let mut at = 0;
    stored.retain(|byte| {
        at += 1;
        !(*byte == b'\r' && mail.get(at) == Some(&b'\n'))
    });
    stored
}

/// What was stored is what was sent, behind the header lines of the server.
pub fn is_stored(stored: &[u8], sent: &[u8]) -> Result<()> {
    let expected = stored_as(sent);
    let from = stored.len().checked_sub(expected.len()).context("the stored mail is shorter than the sent one")?;
    let (added, stored) = stored.split_at(from);
    if let Some(at) = stored.iter().zip(&expected).position(|(stored, sent)| stored != sent) {
        let around = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[at.saturating_sub(20)..(at + 20).min(bytes.len())]).into_owned()
        };
        anyhow::bail!(
            "byte {at} of {} differs: {:?} was sent, {:?} stored",
            expected.len(),
            around(&expected),
            around(stored)
        );
    }
    let added = String::from_utf8_lossy(added);
    ensure!(added.lines().all(|line| !line.is_empty()), "the server's own lines are header lines: {added}");
    Ok(())
}

/// A file that goes away on drop.
pub struct TemporaryFile(pub PathBuf);

impl TemporaryFile {
    /// With this content; the name is part of the file's.
    pub fn new(name: &str, content: &[u8]) -> Result<Self> {
        // Two tests of one program may use the same name at the same time.
        static FILES: AtomicU64 = AtomicU64::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("smtpf-{}-{number}-{name}", std::process::id()));
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs a client program to its end, within a limit, and returns what it said; it must end well.
pub fn succeed(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    let last: Vec<&str> = said.lines().rev().take(12).collect();
    ensure!(status.success(), "{command:?} failed ({status}): {last:#?}");
    Ok(said)
}

/// curl sends a mail: EHLO first.
pub fn curl(from: &Namespace, to: SocketAddr, mail: &Path) -> Command {
    let mut curl = from.command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "100"]).arg(format!("smtp://{to}/client.example"));
    curl.args(["--mail-from", "alice@client.example", "--mail-rcpt", "bob@server.example", "--upload-file"]).arg(mail);
    curl
}

/// swaks sends a mail by plain SMTP: HELO, or what is asked for.
pub fn swaks(from: &Namespace, to: SocketAddr, words: &[&str]) -> Command {
    let mut swaks = from.command("swaks");
    swaks.args(["--server", &to.ip().to_string(), "--helo", "client.example", "--from", "alice@client.example"]);
    swaks.args(["--to", "bob@server.example", "--timeout", "30"]).args(words);
    if to.is_ipv6() {
        swaks.arg("-6");
    }
    swaks
}

/// A session that began with a greeting, with patience for a slow machine.
pub fn hello(from: &Namespace, to: SocketAddr, greeting: &str) -> Result<Client> {
    let mut client = Client::connect(from, to)?;
    client.patience(SOON)?;
    ensure!(client.greeting()?.code == 220);
    let reply = client.command(&format!("{greeting} client.example"))?;
    ensure!(reply.code == 250, "{greeting}: {reply:?}");
    Ok(client)
}

/// Says a command whose reply must have this code.
pub fn say(client: &mut Client, command: &str, code: u16) -> Result<()> {
    let reply = client.command(command)?;
    ensure!(reply.code == code, "{command}: {reply:?} instead of {code}");
    Ok(())
}

/// MAIL, RCPT, DATA.
pub fn begin_data(client: &mut Client) -> Result<()> {
    say(client, "MAIL FROM:<alice@client.example>", 250)?;
    say(client, "RCPT TO:<bob@server.example>", 250)?;
    say(client, "DATA", 354)
}

/// Client, gateway with the filter, Postfix.
pub struct Lab {
    /// The filter, on `inside` of the gateway.
    pub filter: Filter,
    /// The server's software.
    pub postfix: Postfix,
    /// The namespaces.
    pub network: Network,
}

impl Lab {
    /// With the filter on, under these settings.
    pub fn new(profile: &str, settings: &[&str]) -> Result<Self> {
        let network = Network::new()?;
        let postfix = Postfix::start(&network.server, &["smtpd_client_connection_rate_limit = 0"])?;
        let filter = filter(&network.gateway)?;
        filter.up(&["--iface", "inside", "--profile", profile])?;
        if !settings.is_empty() {
            filter.set(settings)?;
        }
        Ok(Self { filter, postfix, network })
    }

    /// No guard has cut anything, nothing passed unread, no event was lost.
    pub fn nothing_was_cut(&self) -> Result<()> {
        let stats = self.filter.json(&["stats"])?;
        for row in stats["reasons"].as_array().context("reasons")? {
            let reason = row["reason"].as_str().unwrap_or_default();
            // No honest stack sends what a receiver discards, but for a copy that was overtaken by the next one.
            let discarded = ["acknowledgement", "authentication_option", "hop_limit", "ip_option"];
            let bad = reason.starts_with("guards.")
                || ["stream.gap", "stream.unfetched", "stream.after_reset"].contains(&reason)
                || reason.strip_prefix("stream.").is_some_and(|name| discarded.contains(&name));
            ensure!(!bad, "{row}");
        }
        ensure!(self.filter.json(&["status"])?["lost_events"] == 0);
        Ok(())
    }
}

/// A client on the far side of a bad line; the lab's client only routes.
pub struct Far {
    /// The far end.
    pub client: Namespace,
    /// The bad line between it and the lab's client.
    pub line: Line,
}

impl Far {
    /// `judges` decide about what the far client sends, and about what it is sent.
    pub fn new(lab: &Network, judges: [Judge; 2]) -> Result<Self> {
        let client = Namespace::new("far")?;
        let router = &lab.client;
        for namespace in [&client, router] {
            namespace.sysctl("ipv6/conf/default/accept_dad", "0")?;
        }
        let line = Line::new("line", [&client, router], judges, Duration::from_millis(3))?;
        router.sysctl("ipv4/ip_forward", "1")?;
        router.sysctl("ipv6/conf/all/forwarding", "1")?;
        router.ip(&["address add 203.0.113.1/24 dev line", "address add 2001:db8:3::1/64 dev line nodad"])?;
        client.ip(&[
            &format!("address add {FAR_V4}/24 dev line"),
            "address add 2001:db8:3::10/64 dev line nodad",
            "route add default via 203.0.113.1",
            "route add default via 2001:db8:3::1",
        ])?;
        lab.gateway.ip(&["route add 203.0.113.0/24 via 192.0.2.10", "route add 2001:db8:3::/64 via 2001:db8:1::10"])?;
        // What is merged before the filter cannot be missed by it one by one.
        lab.gateway.offloads("inside", &[("gro", false)])?;
        router.offloads("eth0", &[("gro", false)])?;
        Ok(Self { client, line })
    }

    /// Segments that the far client's TCP has sent again.
    pub fn retransmitted(&self) -> Result<u64> {
        let table = self.client.enter(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
        let mut rows = table.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (rows.next().context("names")?, rows.next().context("values")?);
        let at = names.split(' ').position(|name| name == "RetransSegs").context("RetransSegs")?;
        Ok(values.split(' ').nth(at).context("a value")?.parse()?)
    }
}

/// The line does nothing to a packet.
pub fn straight() -> Judge {
    Box::new(|_: &[u8]| Fate::Pass)
}

/// Where the TCP header of a datagram begins, if it is one of TCP.
pub fn tcp_header(datagram: &[u8]) -> Option<&[u8]> {
    let (protocol, at) = match datagram.first()? >> 4 {
        4 => (datagram.get(9)?, usize::from(datagram[0] & 15) * 4),
        _ => (datagram.get(6)?, 40),
    };
    if *protocol == 6 { datagram.get(at..) } else { None }
}

/// TCP flags of a datagram.
pub fn flags(datagram: &[u8]) -> u8 {
    tcp_header(datagram).and_then(|tcp| tcp.get(13)).copied().unwrap_or_default()
}

/// Bytes of TCP payload of a datagram.
pub fn payload(datagram: &[u8]) -> &[u8] {
    let payload = tcp_header(datagram).and_then(|tcp| tcp.get(usize::from(tcp.get(12)? >> 4) * 4..));
    payload.unwrap_or_default()
}

/// All counters, for an error.
pub fn all_counters(filter: &Filter) -> String {
    let mut said = String::new();
    let _ = write!(said, "{}", filter.succeed(&["stats"]).unwrap_or_default());
    said
}
