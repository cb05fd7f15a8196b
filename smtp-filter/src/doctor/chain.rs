//! Who runs before the filter at the same hook? A program that ends the chain keeps the segment from it.
//!
//! TCX programs run in their order, then the filters of clsact by ascending priority. The filter asks to be the first
//! at ingress and the last at egress.

use anyhow::Result;
use aya::programs::{SchedClassifier, TcAttachType};

use super::{check::Check, view::Place};
use crate::{
    kernel::netlink::tc::{Filter, filters},
    pins::Side,
    record::Hook,
};

/// Both sides of the interface.
pub fn check(place: &Place) -> Check {
    let name = format!("hook_order {}", place.link.name);
    let mut ahead = Vec::new();
    for side in Side::BOTH {
        match of_side(place, side) {
            Ok(found) => ahead.extend(found.into_iter().map(|who| format!("{who} at {}", side.name()))),
            Err(error) => return Check::unseen(name, format!("{error:#}")),
        }
    }
    if ahead.is_empty() {
        return Check::good(name, "nobody is ahead of the filter");
    }
    Check::warning(
        name,
        format!("ahead of the filter: {}; one that ends the chain hides the segment from it", ahead.join(", ")),
        "have it return TCX_NEXT (TC_ACT_UNSPEC) for TCP of the ports, or attach it after the filter: `bpftool net` \
         and `tc filter show` show whose it is",
    )
}

fn of_side(place: &Place, side: Side) -> Result<Vec<String>> {
    let own = place.programs[side as usize];
    let programs: Vec<(u32, String)> = match SchedClassifier::query_tcx(&place.link.name, attach_type(side)) {
        Ok((_, programs)) => {
            programs.iter().map(|info| (info.id(), String::from_utf8_lossy(info.name()).into_owned())).collect()
        }
        // A kernel without TCX has none.
        Err(_) if place.hook == Hook::Clsact => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let filters = filters(place.link.index, side)?;
    Ok(match place.hook {
        Hook::Tcx => ahead_by_tcx(&programs, own, side),
        Hook::Clsact => ahead_by_clsact(&programs, &filters, place.handle, side),
    })
}

fn attach_type(side: Side) -> TcAttachType {
    match side {
        Side::Ingress => TcAttachType::Ingress,
        Side::Egress => TcAttachType::Egress,
    }
}

fn ahead_by_tcx(programs: &[(u32, String)], own: Option<u32>, side: Side) -> Vec<String> {
    let place = match own {
        Some(own) => programs.iter().position(|(id, _)| *id == own).unwrap_or(programs.len()),
        // Where it is not on yet, it will be the first at ingress and the last at egress.
        None if side == Side::Ingress => 0,
        None => programs.len(),
    };
    programs.iter().take(place).map(tcx).collect()
}

/// All of TCX, and the filters before it: of lower priority, or of the same one and newer.
fn ahead_by_clsact(programs: &[(u32, String)], filters: &[Filter], own: Option<u32>, side: Side) -> Vec<String> {
    let priority = |filter: &Filter| filter.info >> 16;
    // They are listed in the order in which they run.
    let place = filters.iter().position(|filter| Some(filter.handle) == own);
    // Where it is not on yet, it will be the newest of priority 1 at ingress, and have the last one at egress.
    let place = place.unwrap_or(if side == Side::Ingress { 0 } else { filters.len() });
    let filter = |filter: &Filter| format!("the filter of priority {}", priority(filter));
    programs.iter().map(tcx).chain(filters.iter().take(place).map(filter)).collect()
}

fn tcx((id, name): &(u32, String)) -> String {
    format!("TCX program {id} {name:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Vec<(u32, String)> {
        [(7, "first"), (8, "own"), (9, "last")].map(|(id, name)| (id, name.to_owned())).to_vec()
    }

    #[test]
    fn tcx_programs_before_ours_are_ahead() {
        assert_eq!(ahead_by_tcx(&programs(), Some(8), Side::Ingress), ["TCX program 7 \"first\""]);
        assert_eq!(ahead_by_tcx(&programs(), Some(7), Side::Ingress).len(), 0);
        assert_eq!(ahead_by_tcx(&programs(), None, Side::Ingress).len(), 0);
        assert_eq!(ahead_by_tcx(&programs(), None, Side::Egress).len(), 3);
    }

    #[test]
    fn tcx_and_filters_that_stand_before_are_ahead_of_clsact() {
        let filter = |handle, priority: u32| Filter { handle, info: priority << 16 };
        let filters = [filter(1, 1), filter(77, 1), filter(1, 9)];
        assert_eq!(
            ahead_by_clsact(&programs()[..1], &filters, Some(77), Side::Ingress),
            ["TCX program 7 \"first\"", "the filter of priority 1"]
        );
        assert_eq!(ahead_by_clsact(&[], &filters, None, Side::Ingress).len(), 0, "the new one goes before its equals");
        assert_eq!(ahead_by_clsact(&[], &filters, None, Side::Egress).len(), 3);
    }
}
