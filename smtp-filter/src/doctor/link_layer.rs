//! Can the datapath read what this interface carries?

use super::{check::Check, view::Place};
use crate::attach;

/// Ethernet, or IP without a header before it.
pub fn check(place: &Place) -> Check {
    let name = format!("link_layer {}", place.link.name);
    if attach::reads_link_layer(place.link.layer) {
        let down = if place.link.up { "" } else { "; the interface is down" };
        return Check::good(name, format!("one that is read{down}"));
    }
    Check::failure(
        name,
        format!("of kind {}, neither Ethernet nor bare IP", place.link.layer),
        "put the filter on the interfaces that its packets come from and go to",
    )
}
