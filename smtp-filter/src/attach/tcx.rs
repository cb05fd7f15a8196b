//! TCX links (Linux 6.6): pinned, they stay; the pin removed, they go.

use std::{fs, io};

use anyhow::{Context as _, Result};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, links::FdLink, tc::TcAttachOptions};

use crate::{
    netns,
    pins::{PinDir, Side},
    record::Attached,
};

pub(super) const fn attach_type(side: Side) -> TcAttachType {
    match side {
        Side::Ingress => TcAttachType::Ingress,
        Side::Egress => TcAttachType::Egress,
    }
}

pub(super) fn attach(program: &mut SchedClassifier, pins: &PinDir, at: &Attached, side: Side) -> Result<()> {
    let order = match side {
        Side::Ingress => LinkOrder::first(),
        Side::Egress => LinkOrder::last(),
    };
    let id = program.attach_with_options(&at.name, attach_type(side), TcAttachOptions::TcxOrder(order))?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    let path = pins.link(at.ifindex, side);
    // The pin alone holds the link from here on.
    link.pin(&path).with_context(|| format!("pin the link {}", path.display()))?;
    Ok(())
}

pub(super) fn detach(pins: &PinDir, at: &Attached) -> Result<()> {
    for side in Side::BOTH {
        let path = pins.link(at.ifindex, side);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn is_attached(at: &Attached, side: Side, program: u32) -> bool {
    // By index: the interface may have been renamed.
    netns::interface_name(at.ifindex)
        .and_then(|name| SchedClassifier::query_tcx(&name, attach_type(side)).ok())
        .is_some_and(|(_, programs)| programs.iter().any(|found| found.id() == program))
}
