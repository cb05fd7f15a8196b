//! A wire in the calling thread's network namespace: two interfaces that are joined.

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use zerocopy::IntoBytes as _;

use crate::{
    kernel::netlink::{LinkMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, attributes::attribute, request, talk},
    netns::interface_index,
};

// linux/rtnetlink.h, linux/if_link.h, linux/veth.h, linux/if.h
const RTM_NEWLINK: u16 = 16;
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
        change(NLM_F_EXCL | NLM_F_CREATE, &[about(0, 0), attributes].concat())
            .context("make a pair of interfaces (veth)")?;
        let wire = Self { here: interface_index(&name)?, there: interface_index(&other)?, name };
        // No end goes up before the other one is there.
        for index in [wire.here, wire.there] {
            change(0, &about(index, IFF_UP)).context("put an interface up")?;
        }
        Ok(wire)
    }
}

fn change(flags: u16, body: &[u8]) -> Result<(), Errno> {
    talk(&request(RTM_NEWLINK, NLM_F_ACK | flags, body), |_, _| {})
}

/// An interface, 0: a new one; flags that are to be set.
fn about(index: u32, flags: u32) -> Vec<u8> {
    LinkMessage { index, flags, change: flags, ..LinkMessage::default() }.as_bytes().to_vec()
}

fn named(name: &str) -> Vec<u8> {
    let terminated = [name.as_bytes(), &[0]].concat();
    [attribute(IFLA_IFNAME, &terminated), attribute(IFLA_MTU, &MTU.to_ne_bytes())].concat()
}
