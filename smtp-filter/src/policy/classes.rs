//! The prefixes of the scopes, sorted into classes for the datapath.
//!
//! For every address the prefixes that hold it form a chain, longest first; what the rule needs of it is which scopes
//! name them, each at its first position in the chain. Addresses whose chains say the same are one class, so that there
//! are few of them however many prefixes there are.

use std::{collections::HashMap, net::Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smtp_filter_common::bounds::SCOPE_PAIRS;

use super::{
    scope::Scope,
    scopes::{Bits, Scopes},
};

/// A set of scopes: bit n of the (n + 1)th one.
pub(super) type Set = u64;

/// The scopes overlap in more ways than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPairs {
    /// Classes of clients.
    pub clients: usize,
    /// Classes of servers.
    pub servers: usize,
}

impl std::fmt::Display for TooManyPairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { clients, servers } = self;
        write!(
            f,
            "the scopes overlap in too many ways: their prefixes sort clients into {clients} classes and servers into \
             {servers}, {} pairs; expected at most {SCOPE_PAIRS}: fewer prefixes that lie within those of other scopes",
            clients * servers
        )
    }
}

impl std::error::Error for TooManyPairs {}

/// One side's prefixes and classes.
#[derive(Default)]
struct Side {
    /// Prefixes in ascending order, each with its class; those that change nothing left out.
    prefixes: Vec<(Bits, u32)>,
    /// The chain of each class. The first class is that of addresses that no prefix holds.
    chains: Vec<Vec<Set>>,
}

/// Sorts the prefixes of the scopes into classes.
pub(super) fn scopes(scopes: &[Scope]) -> Result<Scopes, TooManyPairs> {
    if scopes.is_empty() {
        return Ok(Scopes::default());
    }
    let clients = side(scopes, |scope| scope.clients.as_deref());
    let servers = side(scopes, |scope| scope.servers.as_deref());
    let width = servers.chains.len();
    if clients.chains.len().saturating_mul(width) > SCOPE_PAIRS {
        return Err(TooManyPairs { clients: clients.chains.len(), servers: width });
    }
    let mut pairs = Vec::with_capacity(clients.chains.len() * width);
    for client in &clients.chains {
        pairs.extend(servers.chains.iter().map(|server| decide(client, server)));
    }
    let row = |(bits, class): (Bits, u32)| (bits, class * width as u32);
    Ok(Scopes { clients: clients.prefixes.into_iter().map(row).collect(), servers: servers.prefixes, pairs })
}

/// The number of the scope that decides where these prefixes hold client and server: the longest client prefix decides,
/// then the longest server prefix.
fn decide(client: &[Set], server: &[Set]) -> u8 {
    let both = |of_client: &Set| server.iter().map(|of_server| of_client & of_server).find(|both| *both != 0);
    client.iter().find_map(both).map_or(0, |scopes| scopes.trailing_zeros() as u8 + 1)
}

/// The prefixes of one side, in ascending order, each with the scopes that name it; and the scopes that name none
/// there.
pub(super) fn named<'a>(
    scopes: &'a [Scope],
    of: impl Fn(&'a Scope) -> Option<&'a [IpNet]>,
) -> (Vec<(IpNet, Set)>, Set) {
    let mut everything: Set = 0;
    let mut named: Vec<(IpNet, Set)> = Vec::new();
    for (at, scope) in scopes.iter().enumerate() {
        let set = 1 << at;
        match of(scope) {
            None => everything |= set,
            Some(prefixes) => named.extend(prefixes.iter().map(|prefix| (*prefix, set))),
        }
    }
    // Runs in order already, which is what a stable sort is quick with.
    named.sort();
    named.dedup_by(|(prefix, set), (before, sets)| {
        let same = prefix == before;
        *sets |= if same { *set } else { 0 };
        same
    });
    (named, everything)
}

fn side<'a>(scopes: &'a [Scope], of: impl Fn(&'a Scope) -> Option<&'a [IpNet]>) -> Side {
    let (mut named, everything) = named(scopes, of);
    let mut classes = Classes::new(everything);
    let mut side = Side::default();
    // No prefix of IPv6 holds an address of IPv4, though the datapath writes those as IPv6.
    let ipv4 = IpNet::V4(Ipv4Net::default());
    if named.iter().any(|(prefix, _)| matches!(prefix, IpNet::V6(prefix) if holds_mapped(prefix)))
        && named.first().is_some_and(|(first, _)| *first != ipv4)
    {
        named.insert(0, (ipv4, 0));
    }
    // A prefix comes after those that hold it.
    let mut holding: Vec<(IpNet, u32)> = Vec::new();
    for (prefix, set) in named {
        while holding.pop_if(|(above, _)| !above.contains(&prefix)).is_some() {}
        let above = holding.last().map(|(_, class)| *class);
        let class = classes.within(above.unwrap_or(0), set);
        if above != Some(class) {
            side.prefixes.push((bits(&prefix), class));
        }
        holding.push((prefix, class));
    }
    side.prefixes.sort_unstable();
    side.chains = classes.chains;
    side
}

/// Chains by their numbers.
struct Classes {
    chains: Vec<Vec<Set>>,
    numbers: HashMap<Vec<Set>, u32>,
    /// What came of a set within a class: prefixes are many, chains are few.
    known: HashMap<(u32, Set), u32>,
}

impl Classes {
    /// The first class: of addresses that no prefix holds.
    fn new(everything: Set) -> Self {
        let chain = if everything == 0 { vec![] } else { vec![everything] };
        Self { chains: vec![chain.clone()], numbers: HashMap::from([(chain, 0)]), known: HashMap::new() }
    }

    /// The class of a prefix that these scopes name within a class.
    fn within(&mut self, above: u32, set: Set) -> u32 {
        if let Some(class) = self.known.get(&(above, set)) {
            return *class;
        }
        let behind = self.chains[above as usize].iter().map(|above| above & !set);
        let chain: Vec<Set> = [set].into_iter().chain(behind).filter(|set| *set != 0).collect();
        let next = self.chains.len() as u32;
        let class = *self.numbers.entry(chain.clone()).or_insert(next);
        if class == next {
            self.chains.push(chain);
        }
        self.known.insert((above, set), class);
        class
    }
}

/// A prefix as the datapath compares it.
fn bits(prefix: &IpNet) -> Bits {
    match prefix {
        IpNet::V4(prefix) => (prefix.network().to_ipv6_mapped().octets(), 96 + u32::from(prefix.prefix_len())),
        IpNet::V6(prefix) => (prefix.network().octets(), prefix.prefix_len().into()),
    }
}

/// Whether the addresses of IPv4, as ::ffff:a.b.c.d, lie within a prefix of IPv6.
fn holds_mapped(prefix: &Ipv6Net) -> bool {
    prefix.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())
}
