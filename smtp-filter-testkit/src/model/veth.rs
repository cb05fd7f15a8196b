//! The real program on a veth pair: a bridge of three namespaces, with raw frames in at one end and out at the other.
//!
//! ```text
//! client                 gateway                  server
//! eth0 ------------ inside - bridge - outside ------------ eth0
//! ```
//!
//! The filter sits on `inside`. Nobody has an address, so that no other TCP has a say.

use std::os::fd::OwnedFd;

use crate::{
    Namespace,
    dialogue::Side,
    packets::{packets, take},
};
use anyhow::{Context as _, Result, ensure};
use etherparse::{PacketHeaders, TransportHeader};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{SendFlags, send},
    thread::{CpuSet, sched_setaffinity},
};

use super::middle::{Fate, Middle};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// For experiments on one's own network (IEEE 802): nothing else speaks it.
const MARKER: u16 = 0x88b5;
/// How long a frame may be under way within the machine. It decides nothing but when a failed test ends.
const SOON: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The network. It goes away on drop.
pub struct Veth {
    ends: [End; 2],
    /// Where the filter sits.
    pub gateway: Namespace,
    _client: Namespace,
    _server: Namespace,
    number: u64,
}

/// The sockets at one end. What it sends itself they do not see.
struct End {
    v4: OwnedFd,
    v6: OwnedFd,
    marker: OwnedFd,
}

impl Veth {
    /// Makes the network. From here on this thread stays on its CPU: what it sends stays in its order.
    pub fn new() -> Result<Self> {
        let mut cpus = CpuSet::new();
        cpus.set(rustix::thread::sched_getcpu());
        sched_setaffinity(None, &cpus).context("stay on a CPU")?;
        let (client, server) = (Namespace::new("client")?, Namespace::new("server")?);
        let gateway = Namespace::new("gateway")?;
        for namespace in [&client, &server, &gateway] {
            namespace.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        }
        gateway.ip(&[
            "link add bridge type bridge stp_state 0 mcast_snooping 0",
            &format!("link add inside type veth peer name eth0 netns {}", client.name()),
            &format!("link add outside type veth peer name eth0 netns {}", server.name()),
            "link set inside master bridge up",
            "link set outside master bridge up",
            "link set bridge up",
        ])?;
        for end in [&client, &server] {
            end.ip(&["link set eth0 up"])?;
        }
        let ends = [End::new(&client)?, End::new(&server)?];
        let mut veth = Self { ends, gateway, _client: client, _server: server, number: 0 };
        // A port of a bridge forwards a moment after its carrier is there.
        let up = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            veth.is_through()
        });
        ensure!(up, "the bridge does not forward");
        Ok(veth)
    }

    fn is_through(&mut self) -> bool {
        [Side::Client, Side::Server].into_iter().all(|from| {
            self.number += 1;
            let [sender, receiver] = self.of(from);
            send(&sender.marker, &marker(self.number), SendFlags::empty()).is_ok()
                && take(&receiver.marker).is_ok_and(|frame| frame.is_some())
        })
    }

    /// The end of a side and the other one.
    fn of(&self, from: Side) -> [&End; 2] {
        let [client, server] = &self.ends;
        if from == Side::Client { [client, server] } else { [server, client] }
    }
}

impl Middle for Veth {
    fn send(&mut self, from: Side, frame: &[u8]) -> Result<Fate> {
        self.number += 1;
        let marker = marker(self.number);
        let [sender, receiver] = self.of(from);
        let version = u16::from_be_bytes([frame[12], frame[13]]);
        let socket = if version == IPV4 { &sender.v4 } else { &sender.v6 };
        send(socket, frame, SendFlags::empty()).context("send a frame")?;
        send(&sender.marker, &marker, SendFlags::empty()).context("send a marker")?;
        // Everything in front of the marker has come or will never come.
        while take(&receiver.marker)?.is_none_or(|found| found != marker) {
            let mut ready = [PollFd::new(&receiver.marker, PollFlags::IN)];
            ensure!(poll(&mut ready, Some(&SOON))? > 0, "the marker does not come");
        }
        let mut out = receiver.frames()?;
        let back = sender.frames()?;
        if is_reset(&back, &out)? {
            return Ok(Fate::Reset);
        }
        ensure!(back.is_empty() && out.len() <= 1, "{} frames came out, {} back", out.len(), back.len());
        Ok(out.pop().map_or(Fate::Dropped, Fate::Passed))
    }
}

/// Whether RSTs are all that there is, one of them to the sender.
fn is_reset(back: &[Vec<u8>], out: &[Vec<u8>]) -> Result<bool> {
    let mut resets = 0;
    for frame in back.iter().chain(out) {
        let packet = PacketHeaders::from_ethernet_slice(frame)?;
        resets += usize::from(matches!(packet.transport, Some(TransportHeader::Tcp(tcp)) if tcp.rst));
    }
    ensure!(resets == 0 || resets == back.len() + out.len() && !back.is_empty(), "RSTs among other frames");
    Ok(resets > 0)
}

impl End {
    fn new(namespace: &Namespace) -> Result<Self> {
        namespace.enter(|| Ok(Self { v4: packets(IPV4)?, v6: packets(IPV6)?, marker: packets(MARKER)? }))?
    }

    /// All that has come.
    fn frames(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        for socket in [&self.v4, &self.v6] {
            while let Some(frame) = take(socket)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }
}

/// A frame that nobody reads but us.
fn marker(number: u64) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9]);
    frame.extend(MARKER.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame.resize(60, 0);
    frame
}
