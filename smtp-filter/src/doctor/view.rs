//! What is known of the network around the filter, gathered once for all checks.

use std::{collections::BTreeSet, fs};

use anyhow::Result;

use super::{
    links::{Link, links},
    routes::{Routes, routes},
};
use crate::record::Hook;

/// How deep interfaces lie on one another at most.
const DEPTH: u32 = 8;

/// A network namespace, and where the filter sits in it or would sit.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// All interfaces.
    pub links: Vec<Link>,
    /// All routes.
    pub routes: Routes,
    /// Whether packets are forwarded at all.
    pub forwarding: bool,
    /// Interfaces of the filter.
    pub places: Vec<Place>,
}

/// An interface of the filter.
#[derive(Clone, Debug)]
pub struct Place {
    /// The interface.
    pub link: Link,
    /// How the filter is attached or would be.
    pub hook: Hook,
    /// The filter's handle there, by clsact.
    pub handle: Option<u32>,
    /// The filter's programs there, at ingress and at egress; none where it is not on.
    pub programs: [Option<u32>; 2],
}

impl Place {
    /// An interface where the filter is not on yet.
    pub fn planned(link: Link, hook: Hook) -> Self {
        Self { link, hook, handle: None, programs: [None; 2] }
    }
}

impl View {
    /// Of the calling thread's network namespace.
    pub fn look() -> Result<Self> {
        Ok(Self { links: links()?, routes: routes()?, forwarding: forwarding(), places: Vec::new() })
    }

    /// The interface of this index.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The interface of this name.
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Names for a message.
    pub fn names(&self, indexes: impl IntoIterator<Item = u32>) -> String {
        let names: BTreeSet<&str> =
            indexes.into_iter().filter_map(|index| self.link(index)).map(|link| link.name.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Interfaces that are up and lead somewhere: where a filter may be wanted.
    pub fn routed(&self) -> Vec<&Link> {
        self.links.iter().filter(|link| link.up && !link.loopback && self.routes.all.contains(&link.index)).collect()
    }

    /// Whether everything that passes this interface passes the filter.
    pub fn covers(&self, index: u32) -> bool {
        self.covers_within(index, DEPTH)
    }

    fn covers_within(&self, index: u32, depth: u32) -> bool {
        if self.places.iter().any(|place| place.link.index == index) {
            return true;
        }
        let Some(link) = self.link(index) else { return false };
        if depth == 0 {
            return false;
        }
        if link.lies_open_in_parent() && link.parent.is_some_and(|parent| self.covers_within(parent, depth - 1)) {
            return true;
        }
        let mut members = self.links.iter().filter(|member| member.master == Some(index)).peekable();
        members.peek().is_some() && members.all(|member| self.covers_within(member.index, depth - 1))
    }

    /// `--iface` for the filter's interfaces and more.
    pub fn up_with(&self, more: &str) -> String {
        let names = self.places.iter().map(|place| place.link.name.as_str()).chain(more.split(", "));
        names.map(|name| format!("--iface {name}")).collect::<Vec<_>>().join(" ")
    }
}

fn forwarding() -> bool {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
        .iter()
        .any(|switch| fs::read_to_string(format!("/proc/sys/net/{switch}")).is_ok_and(|value| value.trim() != "0"))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An interface for tests.
    pub fn link(index: u32, name: &str, kind: &str) -> Link {
        Link { index, name: name.to_owned(), kind: kind.to_owned(), layer: 1, up: true, ..Link::default() }
    }

    /// A view with these interfaces, of which the first is the filter's.
    pub fn view(links: &[Link]) -> View {
        let places = vec![Place::planned(links[0].clone(), Hook::Tcx)];
        View { links: links.to_vec(), places, ..View::default() }
    }

    #[test]
    fn what_lies_open_in_a_filtered_interface_is_covered() {
        let on = |index, name, kind, parent| Link { parent: Some(parent), ..link(index, name, kind) };
        let of = |index, name, master| Link { master: Some(master), ..link(index, name, "") };
        let view = view(&[
            link(1, "eth0", ""),
            on(2, "eth0.7", "vlan", 1),
            on(3, "tunnel", "gre", 1),
            link(4, "bond0", "bond"),
            of(5, "eth1", 4),
            on(6, "m0", "macvlan", 2),
            link(7, "br0", "bridge"),
        ]);
        let covered: Vec<_> = view.links.iter().filter(|link| view.covers(link.index)).map(|link| &link.name).collect();
        assert_eq!(covered, ["eth0", "eth0.7", "m0"]);
        let mut all_slaves = view.clone();
        all_slaves.places.push(Place::planned(all_slaves.links[4].clone(), Hook::Tcx));
        assert!(all_slaves.covers(4), "a bond whose every slave has the filter");
        assert!(!all_slaves.covers(99));
    }
}
