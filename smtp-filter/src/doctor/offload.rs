//! Fast paths around the hook: flowtables, in software and in hardware, and hardware that forwards by itself.
//!
//! A flowtable in software takes a packet after the hook of the interface it came by and sends it through the hook of
//! the one it leaves by: nothing is lost where the filter sits on the flowtable's own interfaces. On an interface that
//! lies on them (a bridge, a VLAN, PPPoE) the packets are not seen, for they come and go below it.

use rustix::io::Errno;

use super::{
    check::Check,
    features,
    flowtables::{Flowtable, flowtables},
    view::{Place, View},
};

/// Features by which hardware forwards packets that the kernel does not see.
const FEATURES: [&str; 2] = ["hw-tc-offload", "l2-fwd-offload"];

/// The interface and what it lies on.
pub fn check(view: &View, place: &Place) -> Check {
    let below = below(view, place);
    let features: Vec<(String, Result<Vec<String>, Errno>)> =
        below.iter().map(|(index, name)| (name.clone(), features::active(*index))).collect();
    judge(view, place, &flowtables(), &features)
}

/// The interface, and the ones that it lies on.
fn below(view: &View, place: &Place) -> Vec<(u32, String)> {
    let link = &place.link;
    let lower = view.links.iter().filter(|other| other.master == Some(link.index) || link.parent == Some(other.index));
    // The other end of a veth is named as if it lay below.
    let lower = lower.filter(|other| other.master == Some(link.index) || link.kind != "veth");
    std::iter::once(link).chain(lower).map(|link| (link.index, link.name.clone())).collect()
}

fn judge(
    view: &View,
    place: &Place,
    flowtables: &Result<Vec<Flowtable>, Errno>,
    features: &[(String, Result<Vec<String>, Errno>)],
) -> Check {
    let link = &place.link;
    let name = format!("offload {}", link.name);
    let flowtables = match flowtables {
        Ok(flowtables) => flowtables,
        Err(error) => return Check::unseen(name, format!("list the flowtables of nftables: {error}")),
    };
    let below = below(view, place);
    for Flowtable { name: table, devices, hardware } in flowtables {
        let Some((_, device)) = below.iter().find(|(_, name)| devices.contains(name)) else { continue };
        let around = if *hardware {
            format!("the flowtable {table} has {device} forward in hardware, past every hook")
        } else if *device != link.name && !devices.contains(&link.name) {
            format!("the flowtable {table} forwards on {device}, below {}", link.name)
        } else {
            continue;
        };
        return Check::warning(
            name,
            around,
            "except the ports from the rule that says `flow add`, or take the flowtable away: `nft list flowtables`",
        );
    }
    if link.switched && link.master.is_some() {
        return Check::warning(
            name,
            "a port of a switch in hardware, which forwards to its other ports by itself",
            "put the filter where the traffic is routed, or have the switch send TCP of the ports to the CPU",
        );
    }
    for (device, active) in features {
        let on =
            active.as_ref().map_or(None, |active| FEATURES.iter().find(|name| active.iter().any(|on| on == *name)));
        if let Some(feature) = on {
            return Check::warning(
                name,
                format!("{feature} is on for {device}: hardware may forward what no hook sees"),
                format!("switch it off: `ethtool -K {device} {feature} off`"),
            );
        }
    }
    let seen: Vec<&str> =
        flowtables.iter().filter(|table| table.devices.contains(&link.name)).map(|table| table.name.as_str()).collect();
    match seen.as_slice() {
        [] => Check::good(name, "no flowtable and no hardware around the hook"),
        seen => Check::good(name, format!("flowtable {} in software, seen by the hooks", seen.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            links::Link,
            view::tests::{link, view},
        },
        *,
    };

    fn table(devices: &[&str], hardware: bool) -> Result<Vec<Flowtable>, Errno> {
        let devices = devices.iter().map(ToString::to_string).collect();
        Ok(vec![Flowtable { name: "filter fast".to_owned(), devices, hardware }])
    }

    fn found(view: &View, flowtables: &Result<Vec<Flowtable>, Errno>) -> Check {
        judge(view, &view.places[0], flowtables, &[])
    }

    #[test]
    fn a_flowtable_is_around_the_hook_in_hardware_and_below() {
        let plain = view(&[link(1, "eth0", ""), link(2, "eth1", "")]);
        assert!(found(&plain, &table(&["eth0", "eth1"], false)).found.ends_with("in software, seen by the hooks"));
        assert!(found(&plain, &table(&["eth1"], true)).ok, "on another interface");
        assert!(found(&plain, &table(&["eth0"], true)).found.ends_with("forward in hardware, past every hook"));

        let bridge = view(&[link(9, "br0", "bridge"), Link { master: Some(9), ..link(1, "eth0", "") }]);
        assert!(found(&bridge, &table(&["eth0"], false)).found.ends_with("forwards on eth0, below br0"));
        let veth = view(&[Link { parent: Some(2), ..link(1, "one", "veth") }, link(2, "two", "veth")]);
        assert!(found(&veth, &table(&["two"], false)).ok, "the other end is not below");
        assert!(found(&plain, &Err(Errno::PERM)).found.starts_with("not looked at"));
    }

    #[test]
    fn hardware_that_may_forward_is_named_with_the_switch() {
        let plain = view(&[link(1, "eth0", "")]);
        let features = [("eth0".to_owned(), Ok(vec!["rx-gro".to_owned(), "hw-tc-offload".to_owned()]))];
        let check = judge(&plain, &plain.places[0], &Ok(Vec::new()), &features);
        assert_eq!(check.remedy.as_deref(), Some("switch it off: `ethtool -K eth0 hw-tc-offload off`"));
        let mut port = view(&[Link { switched: true, master: Some(9), ..link(1, "swp1", "") }]);
        assert!(found(&port, &Ok(Vec::new())).found.contains("switch in hardware"));
        port.places[0].link.switched = false;
        assert!(found(&port, &Ok(Vec::new())).ok);
    }
}
