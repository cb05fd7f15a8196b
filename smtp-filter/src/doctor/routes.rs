//! The routes of a network namespace: which interfaces lead where.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use rustix::io::Errno;

use crate::kernel::netlink::{
    NLM_F_DUMP,
    attributes::{attributes, find, half},
    request, talk_to, word,
};

// linux/rtnetlink.h, linux/fib_rules.h
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const FRA_TABLE: u16 = 15;
const FRA_L3MDEV: u16 = 19;
const RTN_UNICAST: u8 = 1;
/// A route that was learned for one destination.
const RTM_F_CLONED: u32 = 0x200;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `struct rtmsg`, `struct fib_rule_hdr`, `struct rtnexthop`.
const HEAD: usize = 12;
const HOP: usize = 8;
/// The tables that the kernel looks into by itself: default, main, local.
const USUAL: [u32; 4] = [0, 253, 254, 255];
/// Prefixes that are kept: a router of the whole Internet has a million, and the default route among them is what
/// matters most.
const MOST: usize = 100_000;

/// Interfaces by where they lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// By prefix, in all tables that are looked into.
    pub prefixes: BTreeMap<IpNet, BTreeSet<u32>>,
    /// Of default routes.
    pub defaults: BTreeSet<u32>,
    /// Every interface that a route leads to, but for link-local ones.
    pub all: BTreeSet<u32>,
}

/// Reads them.
pub fn routes() -> Result<Routes> {
    let tables = tables_of_rules().context("list the routing rules")?;
    let mut routes = Routes::default();
    let ask = request(RTM_GETROUTE, NLM_F_DUMP, &[0; HEAD]);
    talk_to(None, &ask, |kind, body| {
        if kind == RTM_NEWROUTE
            && let Some(route) = route(body)
        {
            routes.add(route, &tables);
        }
    })
    .context("list the routes")?;
    Ok(routes)
}

struct Route {
    destination: IpNet,
    table: u32,
    interfaces: Vec<u32>,
}

impl Routes {
    fn add(&mut self, route: Route, tables: &Tables) {
        let Route { destination, table, interfaces } = route;
        if !tables.all && !USUAL.contains(&table) && !tables.named.contains(&table) {
            return;
        }
        self.all.extend(&interfaces);
        if destination.prefix_len() == 0 {
            self.defaults.extend(&interfaces);
        }
        if self.prefixes.len() < MOST || self.prefixes.contains_key(&destination) {
            self.prefixes.entry(destination).or_default().extend(interfaces);
        }
    }
}

fn route(body: &[u8]) -> Option<Route> {
    let (&[family, length, _, _, table, _, _, kind], facts) = (body.first_chunk::<8>()?, body.get(HEAD..)?);
    if kind != RTN_UNICAST || word(body, 8) & RTM_F_CLONED != 0 {
        return None;
    }
    let destination = destination(family, length, find(facts, RTA_DST).unwrap_or_default())?;
    if is_local(&destination) {
        return None;
    }
    let mut interfaces = Vec::new();
    for (kind, value) in attributes(facts) {
        match kind {
            RTA_OIF => interfaces.push(word(value, 0)),
            RTA_MULTIPATH => interfaces.extend(hops(value)),
            _ => {}
        }
    }
    let table = find(facts, RTA_TABLE).map_or(u32::from(table), |value| word(value, 0));
    Some(Route { destination, table, interfaces })
}

fn destination(family: u8, length: u8, address: &[u8]) -> Option<IpNet> {
    let address = match family {
        AF_INET => IpAddr::V4(address.first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |bytes| (*bytes).into())),
        AF_INET6 => IpAddr::V6(address.first_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |bytes| (*bytes).into())),
        _ => return None,
    };
    IpNet::new(address, length).ok().map(|net| net.trunc())
}

/// Whether a prefix leads to nobody but neighbours on the link, or to groups.
fn is_local(destination: &IpNet) -> bool {
    match destination {
        IpNet::V4(net) => net.prefix_len() > 0 && (net.addr().is_link_local() || net.addr().is_multicast()),
        IpNet::V6(net) => net.prefix_len() > 0 && (net.addr().is_unicast_link_local() || net.addr().is_multicast()),
    }
}

fn hops(mut rest: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    while let Some(length) = half(rest, 0).map(usize::from).filter(|length| *length >= HOP) {
        found.push(word(rest, 4));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// Tables that rules of the administrator lead to.
#[derive(Default)]
struct Tables {
    named: BTreeSet<u32>,
    /// A rule leads to the table of the packet's VRF, whichever that is.
    all: bool,
}

fn tables_of_rules() -> Result<Tables, Errno> {
    let mut tables = Tables::default();
    let ask = request(RTM_GETRULE, NLM_F_DUMP, &[0; HEAD]);
    let done = talk_to(None, &ask, |kind, body| {
        if kind == RTM_NEWRULE
            && let Some(facts) = body.get(HEAD..)
        {
            let table = find(facts, FRA_TABLE).map_or(u32::from(body[4]), |value| word(value, 0));
            tables.named.insert(table);
            tables.all |= find(facts, FRA_L3MDEV).is_some();
        }
    });
    match done {
        // A kernel without policy routing has no rules.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(tables),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_the_link_lead_nowhere() {
        for (text, local) in [
            ("0.0.0.0/0", false),
            ("::/0", false),
            ("169.254.0.0/16", true),
            ("fe80::/64", true),
            ("ff00::/8", true),
            ("10.0.0.0/8", false),
        ] {
            assert_eq!(is_local(&text.parse().unwrap()), local, "{text}");
        }
    }

    #[test]
    fn next_hops_are_walked_and_a_lie_ends_the_walk() {
        let hop = |index: u32| [[8, 0, 0, 0], index.to_ne_bytes()].concat();
        assert_eq!(hops(&[hop(3), hop(9)].concat()), [3, 9]);
        assert_eq!(hops(&[hop(3), vec![0, 0, 0, 0, 1, 0, 0, 0]].concat()), [3]);
    }
}
