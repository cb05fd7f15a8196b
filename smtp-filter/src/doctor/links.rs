//! The interfaces of a network namespace, as far as it matters what passes by whom.

use anyhow::{Context as _, Result};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::kernel::netlink::{
    LinkMessage, NLM_F_DUMP,
    attributes::{attributes, find, text},
    request, talk_to, word,
};

// linux/rtnetlink.h, linux/if_link.h, linux/if.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_PHYS_SWITCH_ID: u16 = 36;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_IDS: [u16; 4] = [4, 5, 6, 7];
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is made by: `vlan`, `macvlan`, `bridge`; empty for hardware.
    pub kind: String,
    /// ARPHRD_*.
    pub layer: u16,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// The interface that it lies on, in this namespace.
    pub parent: Option<u32>,
    /// The bridge or bond that it belongs to.
    pub master: Option<u32>,
    /// Whether it is a port of a switch in hardware, which forwards by itself.
    pub switched: bool,
    /// The XDP program on it.
    pub xdp: Option<Xdp>,
}

/// An XDP program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// Its number; 0 where the kernel does not say.
    pub program: u32,
    /// Where it runs, in words.
    pub place: &'static str,
}

impl Link {
    /// Whether it shares the wire of its parent under an address of its own.
    pub fn is_macvlan(&self) -> bool {
        ["macvlan", "macvtap"].contains(&self.kind.as_str())
    }

    /// The same with the parent's address.
    pub fn is_ipvlan(&self) -> bool {
        ["ipvlan", "ipvtap"].contains(&self.kind.as_str())
    }

    /// Whether everything of it goes through its parent's hooks.
    pub fn lies_open_in_parent(&self) -> bool {
        self.kind == "vlan" || self.is_macvlan() || self.is_ipvlan()
    }

    /// Whether it is made of several others, whose packets are its packets.
    pub fn is_bond(&self) -> bool {
        ["bond", "team"].contains(&self.kind.as_str())
    }
}

/// Lists them.
pub fn links() -> Result<Vec<Link>> {
    let mut found = Vec::new();
    let ask = request(RTM_GETLINK, NLM_F_DUMP, LinkMessage::default().as_bytes());
    talk_to(None, &ask, |kind, body| found.extend((kind == RTM_NEWLINK).then(|| link(body)).flatten()))
        .context("list the interfaces")?;
    Ok(found)
}

fn link(body: &[u8]) -> Option<Link> {
    let (LinkMessage { index, kind, flags, .. }, facts) = LinkMessage::read_from_prefix(body).ok()?;
    let mut link =
        Link { index, layer: kind, up: flags & IFF_UP != 0, loopback: flags & IFF_LOOPBACK != 0, ..Link::default() };
    for (kind, value) in attributes(facts) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_MASTER => link.master = Some(word(value, 0)),
            IFLA_LINK => link.parent = Some(word(value, 0)),
            IFLA_LINKINFO => link.kind = find(value, IFLA_INFO_KIND).map(text).unwrap_or_default(),
            IFLA_PHYS_SWITCH_ID => link.switched = true,
            IFLA_XDP => link.xdp = xdp(value),
            _ => {}
        }
    }
    // An index of another namespace says nothing here; nor does an interface that lies on itself.
    if find(facts, IFLA_LINK_NETNSID).is_some() || link.parent.is_some_and(|parent| parent == link.index || parent == 0)
    {
        link.parent = None;
    }
    Some(link)
}

fn xdp(value: &[u8]) -> Option<Xdp> {
    let place = match find(value, IFLA_XDP_ATTACHED)?.first()? {
        0 => return None,
        1 => "in the driver",
        2 => "generic",
        3 => "in hardware",
        _ => "in several places",
    };
    let program = IFLA_XDP_PROG_IDS.iter().find_map(|kind| find(value, *kind)).map_or(0, |value| word(value, 0));
    Some(Xdp { program, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_read() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert!(lo.loopback && lo.index == 1 && lo.layer == 772 && lo.parent.is_none() && lo.xdp.is_none(), "{lo:?}");
    }
}
