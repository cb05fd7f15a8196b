//! A dialogue over a filter that rewrites, looked at from both ends.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{Filter, Namespace, Network, need};
use anyhow::{Context as _, Result, ensure};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netdevice};

use super::{SOON, all_counters, filter, pages::Way, texts::Text};

const BANNER: &str = "220 mx.example ESMTP Sendmail 8.20\r\n";
/// What the client is to see of it.
const VEILED: &str = "220 mx.example ESMTP XXXXXXXX XXXX\r\n";

/// A server that sends its banner and its keywords this way, and returns all that it read until the client closed.
fn serve(listener: &TcpListener, way: Way, keywords: &Text, text: &Text) -> Result<Vec<u8>> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(BANNER.as_bytes())?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut seen = Vec::new();
    reader.read_until(b'\n', &mut seen)?;
    let pages = way.send(&stream, &keywords.sent)?;
    if !text.opening.0.is_empty() {
        let mut opening = vec![0; text.opening.0.len()];
        reader.read_exact(&mut opening)?;
        ensure!(opening == text.opening.0.as_bytes(), "{:?}", String::from_utf8_lossy(&opening));
        stream.write_all(text.opening.1.as_bytes())?;
    }
    reader.read_to_end(&mut seen)?;
    pages.are_unchanged(&keywords.sent)?;
    Ok(seen)
}

/// A client that says EHLO and, this way, its text; returns what it read.
fn talk(to: SocketAddr, way: Way, keywords: &Text, text: &Text) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_nodelay(true)?;
    let mut seen = vec![0; BANNER.len()];
    stream.read_exact(&mut seen)?;
    stream.write_all(b"EHLO client.example\r\n")?;
    let mut reply = vec![0; keywords.sent.len()];
    stream.read_exact(&mut reply)?;
    seen.extend(reply);
    stream.write_all(text.opening.0.as_bytes())?;
    let mut answer = vec![0; text.opening.1.len()];
    stream.read_exact(&mut answer)?;
    ensure!(answer == text.opening.1.as_bytes(), "{:?}", String::from_utf8_lossy(&answer));
    let pages = way.send(&stream, &text.sent)?;
    stream.shutdown(Shutdown::Write)?;
    // The server closes when it has everything.
    ensure!(stream.read(&mut [0])? == 0, "a word too many");
    pages.are_unchanged(&text.sent)?;
    Ok(seen)
}

/// What is to be masked in these dialogues.
pub const SETTINGS: [&str; 4] = ["mode=enforce", "commands.vrfy=mask", "extensions.starttls=mask", "banner.show=host"];

/// A listener. The one of the dialogue before may still be open for a moment: a child of a test beside this one has
/// inherited it, until it starts its program.
fn listen(to: SocketAddr) -> io::Result<TcpListener> {
    let deadline = Instant::now() + SOON;
    loop {
        match TcpListener::bind(to) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            listener => return listener,
        }
    }
}

/// One dialogue from one namespace to a server in another; both ends see what the policy says, and no segment was
/// thrown away for its checksum. Returns how many words were cut by the ends of segments.
pub fn both_see(
    [client, server]: [&Namespace; 2],
    to: SocketAddr,
    way: Way,
    keywords: &Text,
    text: &Text,
) -> Result<usize> {
    let listener = server.enter(move || listen(to))?.context("listen")?;
    let (read, said) = thread::scope(|scope| {
        let read = scope.spawn(|| serve(&listener, way, keywords, text));
        let said = client.enter(|| talk(to, way, keywords, text))?;
        anyhow::Ok((read.join().expect("no panic")?, said?))
    })?;
    let said = said.strip_prefix(VEILED.as_bytes()).context("the banner")?;
    let read = read.strip_prefix(b"EHLO client.example\r\n").context("EHLO")?;
    let cut = keywords.is(said).context("what the client saw")? + text.is(read).context("what the server saw")?;
    for namespace in [client, server] {
        ensure!(wrong_checksums(namespace)? == 0, "checksums");
    }
    Ok(cut)
}

/// Segments that TCP has thrown away in a namespace because of their checksum.
fn wrong_checksums(namespace: &Namespace) -> Result<u64> {
    let table = namespace.enter(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let mut rows = table.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = rows.next().zip(rows.next()).context("two lines of TCP")?;
    let mut fields = names.split(' ').zip(values.split(' '));
    let (_, value) = fields.find(|(name, _)| *name == "InCsumErrors").context("InCsumErrors")?;
    Ok(value.parse()?)
}

/// A network with the filter on.
pub struct Rewriting {
    /// The filter on the gateway.
    pub filter: Filter,
    /// The namespaces.
    pub network: Network,
}

impl Rewriting {
    /// `before` and `behind`: whether the checksum is left to the device there.
    pub fn new(before: bool, behind: bool) -> Result<Self> {
        let network = Network::new()?;
        let Network { client, gateway, server } = &network;
        for namespace in [client, server] {
            namespace.offloads("eth0", &[("tx", before)])?;
        }
        for iface in ["inside", "outside"] {
            gateway.offloads(iface, &[("tx", behind)])?;
        }
        let filter = filter(gateway)?;
        filter.up(&["--iface", "inside"])?;
        filter.set(&SETTINGS)?;
        Ok(Self { filter, network })
    }

    /// Windows that let the client send everything at once, so that the kernel makes the longest segments it can.
    pub fn open_windows(&self) -> Result<()> {
        let Network { client, server, .. } = &self.network;
        for (namespace, v4, v6) in [(client, "192.0.2.1", "2001:db8:1::1"), (server, "198.51.100.1", "2001:db8:2::1")] {
            namespace.ip(&[
                &format!("route change default via {v4} initcwnd 300 initrwnd 300"),
                &format!("route replace default via {v6} initcwnd 300 initrwnd 300"),
            ])?;
            namespace.sysctl("ipv4/tcp_rmem", "4096 2000000 4000000")?;
            namespace.sysctl("ipv4/tcp_wmem", "4096 2000000 4000000")?;
        }
        Ok(())
    }

    /// One dialogue, in which the server offers many keywords: see [`both_see`].
    pub fn both_see(&self, to: SocketAddr, way: Way, text: &Text) -> Result<usize> {
        let Network { client, server, .. } = &self.network;
        both_see([client, server], to, way, &Text::keywords(), text).with_context(|| all_counters(&self.filter))
    }
}

/// Segments of this interface may be longer than IP can say.
pub fn big_tcp(namespace: &Namespace, iface: &str) -> Result<()> {
    const SIZE: u32 = 196_608;
    /// IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE (linux/if_link.h): the last
    /// two `ip` knows since version 6.3.
    const LIMITS: [u16; 4] = [41, 58, 63, 64];
    /// RTM_NEWLINK; NLM_F_REQUEST and NLM_F_ACK.
    const SET: (u16, u16) = (16, 5);
    let answer = namespace.enter(|| -> Result<Vec<u8>> {
        let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
        let index = netdevice::name_to_index(&socket, iface)?;
        let mut message = Vec::new();
        message.extend(64_u32.to_ne_bytes());
        message.extend([SET.0, SET.1].map(u16::to_ne_bytes).concat());
        message.extend([0; 8]);
        // struct ifinfomsg: only the index counts.
        message.extend([0; 4]);
        message.extend(index.to_ne_bytes());
        message.extend([0; 8]);
        for limit in LIMITS {
            message.extend([8, limit].map(u16::to_ne_bytes).concat());
            message.extend(SIZE.to_ne_bytes());
        }
        rustix::net::send(&socket, &message, SendFlags::empty())?;
        let mut answer = vec![0; 256];
        let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
        answer.truncate(length);
        Ok(answer)
    })??;
    let error = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    ensure!(error == Some(0), "BIG TCP on {iface}: {error:?}");
    Ok(())
}

/// Since Linux 6.3. Where it is not there, that is said.
pub fn has_big_tcp_for_ipv4() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map_while(|number| number.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let there = version >= (6, 3);
    if !there {
        need::left_out(format_args!("BIG TCP in IPv4: Linux {release} has none"));
    }
    there
}
