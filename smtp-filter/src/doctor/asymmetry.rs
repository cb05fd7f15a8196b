//! Both directions of a connection have to pass the filter. Is there a route by which one of them may not?

use std::fs;

use super::{
    check::Check,
    view::{Place, View},
};

/// Prefixes that are named.
const NAMED: usize = 3;

/// Prefixes that are reached both ways, in whatever table.
pub fn check(view: &View) -> Check {
    const NAME: &str = "asymmetric_routes";
    let mut found = Vec::new();
    let mut other = Vec::new();
    for (prefix, interfaces) in &view.routes.prefixes {
        let (covered, open): (Vec<u32>, Vec<u32>) = interfaces.iter().partition(|index| view.covers(**index));
        // Default routes are for the check of the uplinks.
        if prefix.prefix_len() > 0 && !covered.is_empty() && !open.is_empty() {
            found.push(format!("{prefix} is reached by {} and by {}", view.names(covered), view.names(open.clone())));
            other.extend(open);
        }
    }
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if more > 0 {
        found.push(format!("and {more} more prefixes"));
    }
    if found.is_empty() {
        return Check::good(NAME, format!("no prefix is reached past the filter; {}", reverse_paths(view)));
    }
    let names = view.names(other);
    Check::warning(
        NAME,
        format!("{}; a connection of which one direction passes elsewhere stalls", found.join("; ")),
        format!("put the filter there as well: {}", view.up_with(&names)),
    )
}

/// What the kernel does with packets that come by another interface than their answers would leave by.
fn reverse_paths(view: &View) -> String {
    let said: Vec<String> =
        view.places.iter().map(|place| format!("{} {}", place.link.name, reverse_path(place))).collect();
    format!("reverse paths (rp_filter) are checked: {}", said.join(", "))
}

fn reverse_path(place: &Place) -> &'static str {
    let value = |name: &str| {
        // A name with a slash would be another file, and the kernel allows none.
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"));
        text.ok().and_then(|text| text.trim().parse::<u32>().ok())
    };
    // The larger of the two counts.
    match value("all").max(value(&place.link.name)) {
        Some(0) => "no",
        Some(1) => "strictly",
        Some(_) => "loosely",
        None => "not known",
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::view::tests::{link, view},
        *,
    };

    #[test]
    fn a_prefix_by_two_interfaces_is_found() {
        let mut view = view(&[link(1, "inside", ""), link(2, "backup", "")]);
        view.routes.prefixes.insert("10.0.0.0/8".parse().unwrap(), [1].into());
        view.routes.prefixes.insert("10.9.0.0/16".parse().unwrap(), [2].into());
        assert!(check(&view).ok);
        view.routes.prefixes.insert("10.1.0.0/16".parse().unwrap(), [1, 2].into());
        let said = check(&view).line();
        assert!(said.contains("10.1.0.0/16 is reached by inside and by backup; a connection"), "{said}");
        assert!(said.ends_with("--iface inside --iface backup"), "{said}");
    }

    #[test]
    fn many_prefixes_are_counted_and_not_all_named() {
        let mut view = view(&[link(1, "inside", ""), link(2, "backup", "")]);
        for i in 0..9 {
            view.routes.prefixes.insert(format!("10.{i}.0.0/16").parse().unwrap(), [1, 2].into());
        }
        assert!(check(&view).found.contains("10.2.0.0/16 is reached by inside and by backup; and 6 more prefixes"));
    }
}
