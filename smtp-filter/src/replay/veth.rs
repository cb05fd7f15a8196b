//! A wire in the calling thread's network namespace: two interfaces that are joined.

use anyhow::{Context as _, Result};
use rustix::io::Errno;

use crate::{attach::netlink::talk, netns::interface_index};

// linux/rtnetlink.h, linux/netlink.h, linux/if_link.h, linux/veth.h, linux/if.h
const RTM_NEWLINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE`.
const MAKE: u16 = 0x0605;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const CHANGE: u16 = 0x0005;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
/// The longest IP datagram.
const MTU: u32 = 65_535;

/// A wire.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// The name of the end where frames are judged.
    pub name: String,
    /// Its index.
    pub here: u32,
    /// The index of the other end.
    pub there: u32,
}

impl Wire {
    /// Makes the `number`th wire of the namespace, up. It goes with the namespace.
    pub fn new(number: usize) -> Result<Self> {
        let (name, other) = (format!("here{number}"), format!("there{number}"));
        let peer = [about(0, 0), named(&other)].concat();
        let info = [attribute(IFLA_INFO_KIND, b"veth"), attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer))];
        let attributes = [named(&name), attribute(IFLA_LINKINFO, &info.concat())].concat();
        request(MAKE, &[about(0, 0), attributes].concat()).context("make a pair of interfaces (veth)")?;
        let wire = Self { here: interface_index(&name)?, there: interface_index(&other)?, name };
        // No end goes up before the other one is there.
        for index in [wire.here, wire.there] {
            request(CHANGE, &about(index, IFF_UP)).context("put an interface up")?;
        }
        Ok(wire)
    }
}

fn request(flags: u16, body: &[u8]) -> Result<(), Errno> {
    let mut request = (16 + body.len() as u32).to_ne_bytes().to_vec();
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    talk(&request, |_, _| {})
}

/// `struct ifinfomsg`: an interface, 0: a new one; flags that are to be set.
fn about(index: u32, flags: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), flags.to_ne_bytes()].concat()
}

fn named(name: &str) -> Vec<u8> {
    let terminated = [name.as_bytes(), &[0]].concat();
    [attribute(IFLA_IFNAME, &terminated), attribute(IFLA_MTU, &MTU.to_ne_bytes())].concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
