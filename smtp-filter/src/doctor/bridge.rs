//! Interfaces that combine several: bridges and bonds. A hook sees what passes its interface, not the group's.

use super::{
    check::Check,
    links::Link,
    view::{Place, View},
};

/// The interface as a member of a group, and as the group.
pub fn check(view: &View, place: &Place) -> Check {
    let link = &place.link;
    let name = format!("bridge {}", link.name);
    let members = |of: u32| view.links.iter().filter(move |member| member.master == Some(of));
    let names = |links: Vec<&Link>| links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ");

    if link.kind == "bridge" && members(link.index).count() > 1 && !members(link.index).all(|m| view.covers(m.index)) {
        let ports = names(members(link.index).collect());
        return Check::warning(
            name,
            format!("what passes from port to port ({ports}) does not pass the bridge's own hooks"),
            format!("put the filter on the ports: {}", with(&ports)),
        );
    }
    let Some(master) = link.master.and_then(|master| view.link(master)) else {
        return Check::good(name, "no member of a bridge or bond");
    };
    let others: Vec<&Link> = members(master.index).filter(|member| !view.covers(member.index)).collect();
    if others.is_empty() || view.places.iter().any(|place| place.link.index == master.index) {
        return Check::good(name, format!("member of {}, with the filter everywhere in it", master.name));
    }
    if master.is_bond() {
        return Check::warning(
            name,
            format!("{} is one of several members of {}, and the others carry mail too", link.name, master.name),
            format!("put the filter on {0}: --iface {0}", master.name),
        );
    }
    // From one port without the filter to another; the bridge itself is such a port too.
    let (others, master) = (names(others), &master.name);
    Check::warning(
        name,
        format!("a port of {master}: what passes between {master} itself and its ports {others} does not pass here"),
        format!("put the filter on the ports as well: {}", view.up_with(&others)),
    )
}

fn with(names: &str) -> String {
    names.split(", ").map(|name| format!("--iface {name}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{
        super::view::tests::{link, view},
        *,
    };

    #[test]
    fn a_slave_of_a_bond_is_told_to_go_to_the_bond() {
        let of = |index, name, kind| Link { master: Some(9), ..link(index, name, kind) };
        let view = view(&[of(1, "eth0", ""), of(2, "eth1", ""), link(9, "bond0", "bond")]);
        let check = check(&view, &view.places[0]);
        assert_eq!(check.remedy.as_deref(), Some("put the filter on bond0: --iface bond0"), "{check:?}");
    }

    #[test]
    fn a_port_and_a_bridge_are_told_of_the_other_ports() {
        let of = |index, name| Link { master: Some(9), ..link(index, name, "") };
        let port = view(&[of(1, "eth0"), of(2, "eth1"), link(9, "br0", "bridge")]);
        let said = check(&port, &port.places[0]).line();
        assert!(said.contains("between br0 itself and its ports eth1") && said.ends_with("--iface eth0 --iface eth1"));
        let bridge = view(&[link(9, "br0", "bridge"), of(1, "eth0"), of(2, "eth1")]);
        assert!(
            check(&bridge, &bridge.places[0])
                .line()
                .ends_with("put the filter on the ports: --iface eth0 --iface eth1")
        );
        let alone = view(&[link(9, "br0", "bridge"), of(1, "eth0")]);
        assert!(check(&alone, &alone.places[0]).ok);
    }
}
