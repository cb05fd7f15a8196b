//! What stands between the two ends: the program under test, wherever it runs.

use anyhow::{Result, bail, ensure};
use etherparse::{NetHeaders, PacketHeaders, TransportHeader};
use smtp_filter::policy::{Compiled, Document, Names, compile};
use smtp_filter_common::{
    met::Met,
    userspace::{SliceFrame, World},
    verdict::Verdict,
};

use crate::{
    dialogue::{Outcome, Side},
    kernel::Kernel,
};

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It came out on the other side, as this.
    Passed(Vec<u8>),
    /// Nothing came out.
    Dropped,
    /// Its sender got a RST.
    Reset,
}

/// The program under test.
pub trait Middle {
    /// Takes a frame from a side.
    fn send(&mut self, from: Side, frame: &[u8]) -> Result<Fate>;
}

/// The datapath in user space.
pub struct UserSpace {
    world: World,
    policy: Compiled,
    now: u64,
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

impl UserSpace {
    /// Under a policy.
    pub fn new(document: &Document) -> Result<Self> {
        let policy = compile(document, &mut Names::default(), 1, 1)?;
        // Long behind the grace.
        Ok(Self {
            world: World::new(),
            policy,
            now: document.values.time("guards.unknown_connection.grace").unwrap_or_default().as_nanos() as u64 * 2,
        })
    }
}

impl Middle for UserSpace {
    fn send(&mut self, from: Side, frame: &[u8]) -> Result<Fate> {
        self.now += 10_000;
        let met = Met { now: self.now, ifindex: 2, egress: from == Side::Server };
        let verdict = self.world.frame(&self.policy, SliceFrame::ethernet(frame), met);
        self.world.events.clear();
        Ok(match verdict {
            Verdict::Pass => {
                let (link, network) = frame.split_at(ETHERNET);
                Fate::Passed([link, self.world.rewritten().unwrap_or(network)].concat())
            }
            Verdict::Drop => Fate::Dropped,
            Verdict::Reset | Verdict::ResetSender => Fate::Reset,
        })
    }
}

/// The payload of a frame whose checksum is right.
pub fn payload(frame: &[u8]) -> Result<Vec<u8>> {
    let packet = PacketHeaders::from_ethernet_slice(frame)?;
    let Some(TransportHeader::Tcp(tcp)) = &packet.transport else { bail!("no TCP segment: {packet:?}") };
    let payload = packet.payload.slice();
    let checksum = match &packet.net {
        Some(NetHeaders::Ipv4(ip, _)) => tcp.calc_checksum_ipv4(ip, payload)?,
        Some(NetHeaders::Ipv6(ip, _)) => tcp.calc_checksum_ipv6(ip, payload)?,
        _ => bail!("no IP datagram: {packet:?}"),
    };
    ensure!(tcp.checksum == checksum, "the TCP checksum is {:04x} and not {checksum:04x}", tcp.checksum);
    Ok(payload.to_vec())
}

impl Middle for Kernel {
    fn send(&mut self, from: Side, frame: &[u8]) -> Result<Fate> {
        Ok(match self.run(from.hook(), frame, None)? {
            Outcome::Pass | Outcome::Marked(_) => Fate::Passed(self.passed().to_vec()),
            Outcome::Drop => Fate::Dropped,
            Outcome::Reset | Outcome::ResetSender => Fate::Reset,
        })
    }
}
