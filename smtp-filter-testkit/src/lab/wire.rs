//! What was on the wire: the bytes of each connection at an interface, both ways, put together from a capture.

use std::{collections::BTreeMap, fs, net::SocketAddr};

use crate::{Namespace, Running};
use anyhow::{Context as _, Result, anyhow, ensure};
use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice};
use pcap_parser::{parse_pcap_frame, parse_pcap_header};

use super::{SOON, TemporaryFile, wait_until};

/// The port of mail servers.
const PORT: u16 = 25;

/// A capture under way.
pub struct Wire {
    file: TemporaryFile,
    _tcpdump: Running,
}

/// One direction of a connection.
#[derive(Default)]
struct Side {
    first: Option<u32>,
    bytes: Vec<Option<u8>>,
    end: Option<usize>,
}

impl Side {
    fn take(&mut self, tcp: &TcpSlice<'_>) -> Result<()> {
        if tcp.syn() {
            self.first = Some(tcp.sequence_number().wrapping_add(1));
        }
        let Some(first) = self.first else { return Ok(()) };
        let at = tcp.sequence_number().wrapping_sub(first) as usize;
        let payload = tcp.payload();
        if payload.is_empty() && !tcp.fin() {
            return Ok(());
        }
        if self.bytes.len() < at + payload.len() {
            self.bytes.resize(at + payload.len(), None);
        }
        for (place, byte) in self.bytes[at..].iter_mut().zip(payload) {
            ensure!(place.is_none_or(|before| before == *byte), "a repeat at byte {at} has other bytes");
            *place = Some(*byte);
        }
        if tcp.fin() {
            self.end = Some(at + payload.len());
        }
        Ok(())
    }

    fn has_gap(&self) -> bool {
        self.bytes.iter().any(Option::is_none)
    }

    fn has_ended(&self) -> bool {
        self.end == Some(self.bytes.len())
    }
}

/// A connection as one end had it.
#[derive(Default)]
pub struct Session {
    client: Side,
    server: Side,
    reset: bool,
}

impl Session {
    /// Nothing more comes, both having closed or one having hung up, and no byte is missing in between.
    pub fn is_over(&self) -> bool {
        let has_ended = self.reset || self.client.has_ended() && self.server.has_ended();
        has_ended && !self.client.has_gap() && !self.server.has_gap()
    }

    /// What the client's side of it holds, up to the first byte that is missing.
    pub fn client_bytes(&self) -> Vec<u8> {
        self.client.bytes.iter().map_while(|byte| *byte).collect()
    }

    /// The same of the server's side.
    pub fn server_bytes(&self) -> Vec<u8> {
        self.server.bytes.iter().map_while(|byte| *byte).collect()
    }
}

impl Wire {
    /// Begins. The buffer (KiB) has a place of 256 KiB for each frame, however small, and must hold what comes while
    /// tcpdump waits for its turn on a busy machine: a frame that finds none is missing in the capture.
    pub fn tap(namespace: &Namespace, iface: &str) -> Result<Self> {
        let file = TemporaryFile::new("wire.pcap", b"")?;
        let mut tcpdump = namespace.command("nice");
        tcpdump.args(["-n", "-20", "tcpdump", "-i", iface, "--immediate-mode", "-U", "-Z", "root"]);
        tcpdump.args(["-s", "262144", "-B", "65536", "-w"]);
        // Behind a header of hop-by-hop options, which BIG TCP has in IPv6, tcpdump looks for no port.
        let tcpdump = Running::spawn(tcpdump.arg(&file.0).arg("tcp port 25 or ip6 proto 0"))?;
        tcpdump.wait_for(SOON, |line| line.contains("listening on").then_some(()))?;
        Ok(Self { file, _tcpdump: tcpdump })
    }

    /// Hands on each frame so far, with its length on the wire.
    fn frames(&self, mut each: impl FnMut(u32, &[u8]) -> Result<()>) -> Result<()> {
        let bytes = fs::read(&self.file.0).context("read the capture")?;
        let (mut rest, _) = parse_pcap_header(&bytes).map_err(|_| anyhow!("the capture has no header"))?;
        // The last frame may not be written whole yet.
        while let Ok((after, frame)) = parse_pcap_frame(rest) {
            each(frame.origlen, frame.data)?;
            rest = after;
        }
        Ok(())
    }

    /// How long the longest frame so far is.
    pub fn longest(&self) -> Result<u32> {
        let mut longest = 0;
        self.frames(|length, _| {
            longest = longest.max(length);
            Ok(())
        })?;
        Ok(longest)
    }

    /// The connections so far, by their clients' addresses.
    pub fn sessions(&self) -> Result<BTreeMap<SocketAddr, Session>> {
        let mut sessions: BTreeMap<SocketAddr, Session> = BTreeMap::new();
        self.frames(|_, frame| {
            let packet = SlicedPacket::from_ethernet(frame)?;
            let (Some(net), Some(TransportSlice::Tcp(tcp))) = (packet.net, packet.transport) else { return Ok(()) };
            let (source, destination) = match net {
                NetSlice::Ipv4(ip) => {
                    let header = ip.header();
                    (header.source_addr().into(), header.destination_addr().into())
                }
                NetSlice::Ipv6(ip) => {
                    let header = ip.header();
                    (header.source_addr().into(), header.destination_addr().into())
                }
                NetSlice::Arp(_) => return Ok(()),
            };
            let from = SocketAddr::new(source, tcp.source_port());
            let to = SocketAddr::new(destination, tcp.destination_port());
            let is_server = from.port() == PORT;
            let session = sessions.entry(if is_server { to } else { from }).or_default();
            let half = if is_server { &mut session.server } else { &mut session.client };
            half.take(&tcp).with_context(|| format!("{from} to {to}"))?;
            session.reset |= tcp.rst();
            Ok(())
        })?;
        Ok(sessions)
    }
}

/// Waits until all connections are over at both ends, but for those that are known to stay open, and returns each as
/// the client's end and as the server's end had it.
pub fn both_ends(client: &Wire, server: &Wire, open: &[SocketAddr]) -> Result<BTreeMap<SocketAddr, [Session; 2]>> {
    let mut both = BTreeMap::new();
    wait_until("every connection is over at both ends", || {
        let mut received = server.sessions()?;
        let ends = client.sessions()?.into_iter().map(|(client, sent)| {
            let there = received.remove(&client).unwrap_or_default();
            (client, [sent, there])
        });
        both = ends.collect();
        let is_over =
            |(client, ends): (&SocketAddr, &[Session; 2])| open.contains(client) || ends.iter().all(Session::is_over);
        Ok(!both.is_empty() && both.iter().all(is_over))
    })?;
    Ok(both)
}
