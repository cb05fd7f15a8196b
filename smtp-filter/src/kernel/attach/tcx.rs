//! TCX links (Linux 6.6): pinned, they stay; the pin removed, they go.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result};
use aya::programs::{
    LinkOrder, ProgramInfo, SchedClassifier, TcAttachType,
    links::{FdLink, PinnedLink},
    tc::TcAttachOptions,
};
use rustix::io::Errno;

use crate::{
    loader::source_errno,
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
    let path = pins.link(at.ifindex, side);
    if replace(program, &path)? {
        return Ok(());
    }
    let order = match side {
        Side::Ingress => LinkOrder::first(),
        Side::Egress => LinkOrder::last(),
    };
    let id = program.attach_with_options(&at.name, attach_type(side), TcAttachOptions::TcxOrder(order))?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    // The pin alone holds the link from here on.
    link.pin(&path).with_context(|| format!("pin the link {}", path.display()))?;
    Ok(())
}

/// Puts the program in the place of the one that the pinned link holds, at once; `false` where there is no link that
/// holds anything.
fn replace(program: &mut SchedClassifier, path: &Path) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    let link = FdLink::from(PinnedLink::from_pin(path).with_context(|| format!("open the link {}", path.display()))?);
    match program.attach_to_link(link.try_into()?) {
        Ok(id) => {
            // Only this handle goes; the pin holds the link.
            drop(program.take_link(id)?);
            Ok(true)
        }
        // The interface went, and the link holds nothing any more.
        Err(error) if source_errno(&error) == Some(Errno::NOLINK.raw_os_error()) => {
            fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
            Ok(false)
        }
        Err(error) => Err(error).with_context(|| format!("put the new program into the link {}", path.display())),
    }
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

pub(super) fn attached(at: &Attached, side: Side, programs: &[u32]) -> Option<u32> {
    // By index: the interface may have been renamed.
    let name = netns::interface_name(at.ifindex)?;
    let (_, found) = SchedClassifier::query_tcx(&name, attach_type(side)).ok()?;
    found.iter().map(ProgramInfo::id).find(|id| programs.contains(id))
}
