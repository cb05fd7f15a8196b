//! Interfaces that share one wire: macvlan and ipvlan.
//!
//! What a macvlan sends and gets passes both hooks of its parent, also from one macvlan to another: the kernel hands it
//! to the parent first. Two ipvlans hand theirs over directly. On one of them the filter sees that one alone.

use super::{
    check::Check,
    view::{Place, View},
};

/// Above the interface, and the interface itself.
pub fn check(view: &View, place: &Place) -> Check {
    let link = &place.link;
    let name = format!("macvlan {}", link.name);
    if link.is_macvlan() || link.is_ipvlan() {
        let parent = link.parent.and_then(|parent| view.link(parent));
        let parent = parent.map_or("its parent (in another network namespace)", |parent| parent.name.as_str());
        return Check::warning(
            name,
            format!("{} of {parent}: it sees its own share of what passes there", link.kind),
            format!("put the filter on {parent}, where all of it passes"),
        );
    }
    let children = view.links.iter().filter(|child| child.parent == Some(link.index));
    let direct: Vec<&str> =
        children.clone().filter(|child| child.is_ipvlan()).map(|child| child.name.as_str()).collect();
    if !direct.is_empty() {
        return Check::warning(
            name,
            format!("what its ipvlans send one another does not pass here: {}", direct.join(", ")),
            format!("put the filter on them as well: {}", view.up_with(&direct.join(", "))),
        );
    }
    let seen: Vec<&str> = children.filter(|child| child.is_macvlan()).map(|child| child.name.as_str()).collect();
    match seen.as_slice() {
        [] => Check::good(name, "none"),
        seen => Check::good(name, format!("{} on it, seen here too", seen.join(", "))),
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

    #[test]
    fn an_ipvlan_goes_around_and_a_macvlan_does_not() {
        let child = |kind| Link { parent: Some(1), ..link(2, "child", kind) };
        let found = |kind| {
            let view = view(&[link(1, "eth0", ""), child(kind)]);
            check(&view, &view.places[0])
        };
        assert_eq!(found("macvlan").found, "child on it, seen here too");
        assert!(found("macvtap").ok && found("vlan").found == "none");
        assert!(found("ipvlan").line().ends_with("--iface eth0 --iface child"));
        let view = view(&[child("macvlan"), link(1, "eth0", "")]);
        assert_eq!(
            check(&view, &view.places[0]).line(),
            "macvlan child: macvlan of eth0: it sees its own share of what passes there; put the filter on eth0, where all \
             of it passes"
        );
    }
}
