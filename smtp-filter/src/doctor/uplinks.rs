//! Ways out and ways through that pass no interface of the filter.

use super::{check::Check, view::View};

/// Other default routes than the filter's, and what is forwarded past it.
pub fn checks(view: &View) -> Vec<Check> {
    vec![uplinks(view), ways_around(view)]
}

fn uplinks(view: &View) -> Check {
    let (covered, open): (Vec<u32>, Vec<u32>) = view.routes.defaults.iter().partition(|index| view.covers(**index));
    let (with, without) = (view.names(covered.clone()), view.names(open.clone()));
    match (covered.is_empty(), open.is_empty()) {
        (_, true) if covered.is_empty() => Check::good("uplinks", "no default route"),
        (_, true) => Check::good("uplinks", format!("every default route leaves by the filter: {with}")),
        (true, _) => Check::good("uplinks", format!("{without}; the filter sits on the other side")),
        (false, _) => Check::warning(
            "uplinks",
            format!("a default route leaves by {without} too, where the filter is not"),
            format!("put it there as well: {}", view.up_with(&without)),
        ),
    }
}

fn ways_around(view: &View) -> Check {
    const NAME: &str = "ways_around";
    if !view.forwarding {
        return Check::good(NAME, "nothing is forwarded here: only this machine's own mail passes");
    }
    let open: Vec<u32> = view.routed().iter().map(|link| link.index).filter(|index| !view.covers(*index)).collect();
    // From one uplink to another nobody's mail goes.
    if open.len() < 2 || open.iter().all(|index| view.routes.defaults.contains(index)) {
        return Check::good(NAME, "every way through this machine passes the filter");
    }
    let names = view.names(open);
    Check::warning(
        NAME,
        format!("what is forwarded between {names} does not pass the filter"),
        format!("where mail may go that way, put it there as well: {}", view.up_with(&names)),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::view::tests::{link, view},
        *,
    };

    #[test]
    fn two_uplinks_are_no_way_through() {
        let mut view = view(&[link(1, "inside", ""), link(2, "up1", ""), link(3, "up2", "")]);
        view.forwarding = true;
        view.routes.all = [1, 2, 3].into();
        assert_eq!(ways_around(&view).found, "what is forwarded between up1, up2 does not pass the filter");
        view.routes.defaults = [2, 3].into();
        assert!(ways_around(&view).ok);
        assert_eq!(uplinks(&view).found, "up1, up2; the filter sits on the other side");
        view.places[0].link.index = 2;
        assert!(uplinks(&view).found.contains("leaves by up2 too"));
    }
}
