//! Filters of a clsact qdisc, for kernels without TCX. They stay by themselves, and are known again by their handle.

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{
    SchedClassifier, TcError,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
};
use rustix::io::Errno;

use super::tcx::attach_type;
use crate::{kernel::netlink::tc, loader::source_errno, netns, pins::Side, record::Attached};

/// Priorities that are tried: one may be taken by a filter of another kind.
const TRIES: u16 = 32;

/// Whether the qdisc has to be made.
pub(super) fn lacks_qdisc(ifindex: u32) -> Result<bool> {
    Ok(!tc::has_clsact(ifindex)?)
}

/// Makes the qdisc; one that is there already is as good.
pub(super) fn make_qdisc(name: &str) -> Result<()> {
    match qdisc_add_clsact(name) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => Ok(()),
        other => other.with_context(|| format!("add a clsact qdisc to {name}")),
    }
}

pub(super) fn attach(program: &mut SchedClassifier, at: &Attached, side: Side) -> Result<()> {
    let own = tc::filters(at.ifindex, side)?.into_iter().find(|filter| filter.handle == at.handle);
    if let Some(filter) = own {
        return replace(program, at, side, filter.priority());
    }
    let mut refused = anyhow!("no priority is free");
    for nth in 0..TRIES {
        // The lowest number is the first one to see a segment.
        let priority = match side {
            Side::Ingress => 1 + nth,
            Side::Egress => u16::MAX - nth,
        };
        let options = NlOptions { priority, handle: TcHandle::from(at.handle), classid: None };
        match program.attach_with_options(&at.name, attach_type(side), TcAttachOptions::Netlink(options)) {
            Ok(id) => {
                // Dropped, it would take the filter off.
                std::mem::forget(program.take_link(id)?);
                return Ok(());
            }
            Err(error) => {
                let taken = [Errno::EXIST, Errno::INVAL].map(|errno| Some(errno.raw_os_error()));
                if !taken.contains(&source_errno(&error)) {
                    return Err(error.into());
                }
                refused = error.into();
            }
        }
    }
    Err(refused)
}

/// Puts the program in the place of the one that the filter holds, at once.
fn replace(program: &mut SchedClassifier, at: &Attached, side: Side, priority: u16) -> Result<()> {
    let name = netns::interface_name(at.ifindex).with_context(|| format!("{} has just gone", at.name))?;
    let handle = TcHandle::from(at.handle);
    let link = SchedClassifierLink::attached(&name, attach_type(side), priority, handle, None)?;
    let id = program.attach_to_link(link)?;
    // Dropped, it would take the filter off.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

pub(super) fn detach(at: &Attached) -> Result<()> {
    let mut others = false;
    for side in Side::BOTH {
        for filter in tc::filters(at.ifindex, side)? {
            if filter.handle == at.handle {
                tc::delete_filter(at.ifindex, side, filter)?;
            } else {
                others = true;
            }
        }
    }
    if at.made_qdisc && !others {
        tc::delete_clsact(at.ifindex)?;
    }
    Ok(())
}

pub(super) fn is_attached(at: &Attached, side: Side) -> bool {
    tc::filters(at.ifindex, side).is_ok_and(|filters| filters.iter().any(|filter| filter.handle == at.handle))
}
