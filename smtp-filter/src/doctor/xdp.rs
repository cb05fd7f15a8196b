//! XDP runs before the hook at ingress, and what it redirects to another interface passes no hook at all.

use super::{
    check::Check,
    links::{Link, Xdp},
    view::{Place, View},
};

/// XDP on the interface itself, or on another one that may redirect to it.
pub fn check(view: &View, place: &Place) -> Check {
    let name = format!("xdp {}", place.link.name);
    if let Some(xdp) = &place.link.xdp {
        return Check::warning(
            name,
            format!("{} before the hook: what it drops, answers or redirects is never seen", describe(xdp)),
            format!("let it pass TCP of the ports, or take it off: `ip link set dev {} {}`", place.link.name, off(xdp)),
        );
    }
    let others: Vec<&Link> = view.links.iter().filter(|link| link.xdp.is_some()).collect();
    if others.is_empty() {
        return Check::good(name, "none, here or on another interface");
    }
    let found: Vec<String> = others
        .iter()
        .map(|link| format!("{} on {}", link.xdp.as_ref().map_or_else(String::new, describe), link.name))
        .collect();
    Check::warning(
        name,
        format!("{}: what it redirects to {} passes no hook", found.join(", "), place.link.name),
        "see to it that it passes TCP of the ports on, or take it off: `ip link set dev IF xdp off`",
    )
}

fn describe(xdp: &Xdp) -> String {
    let Xdp { program, place } = xdp;
    format!("XDP program {program}, {place},")
}

fn off(xdp: &Xdp) -> &'static str {
    if xdp.place == "generic" { "xdpgeneric off" } else { "xdp off" }
}
