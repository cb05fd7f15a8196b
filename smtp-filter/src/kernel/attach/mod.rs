//! Putting the programs on an interface and taking them off: by TCX links, or as filters of a clsact qdisc.
//!
//! First at ingress and last at egress: the filter sees what the wire brings before anybody changes it, and what goes
//! out as the wire will carry it.

mod clsact;
mod tcx;
pub mod watch;

use anyhow::{Context as _, Result, bail};
use aya::programs::SchedClassifier;

use crate::{
    clock,
    kernel::netlink::tc,
    netns,
    pins::{PinDir, Side},
    record::{Attached, Hook},
    system,
};

/// Two programs to be attached, of a loaded object or from pins.
pub trait Programs {
    /// The program of a side.
    fn program(&mut self, side: Side) -> Result<&mut SchedClassifier>;
}

/// Programs from pins.
pub struct PinnedPrograms([SchedClassifier; 2]);

impl PinnedPrograms {
    /// Opens the programs at the places that `place` says.
    pub fn open(place: impl Fn(Side) -> std::path::PathBuf) -> Result<Self> {
        let open = |side| {
            let path = place(side);
            SchedClassifier::from_pin(&path).with_context(|| format!("open the pinned program {}", path.display()))
        };
        Ok(Self([open(Side::Ingress)?, open(Side::Egress)?]))
    }
}

impl Programs for PinnedPrograms {
    fn program(&mut self, side: Side) -> Result<&mut SchedClassifier> {
        let Self([ingress, egress]) = self;
        Ok(match side {
            Side::Ingress => ingress,
            Side::Egress => egress,
        })
    }
}

/// The hook that this kernel has.
pub fn best_hook() -> Hook {
    match system::kernel() {
        Some(version) if version < system::TCX => Hook::Clsact,
        _ => Hook::Tcx,
    }
}

// linux/if_arp.h
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_PPP: u16 = 512;
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_LOOPBACK: u16 = 772;
const ARPHRD_NONE: u16 = 0xfffe;

/// The datapath knows where the IP header begins after an Ethernet header or without one; after another one it would
/// read the wrong bytes.
pub fn reads_link_layer(kind: u16) -> bool {
    matches!(kind, ARPHRD_ETHER | ARPHRD_PPP | ARPHRD_RAWIP | ARPHRD_LOOPBACK | ARPHRD_NONE)
}

fn require_link_layer(name: &str, ifindex: u32) -> Result<()> {
    match tc::link_layer(ifindex)? {
        None => Ok(()),
        Some(kind) if reads_link_layer(kind) => Ok(()),
        Some(other) => bail!(
            "interface {name:?} has a link layer of kind {other}, neither Ethernet nor bare IP: put the filter on the \
             interfaces that its packets come from and go to"
        ),
    }
}

/// Says how the programs will be attached to an interface. This is written down before anything is done, so that
/// whatever happens next can be undone.
pub fn plan(name: &str, hook: Hook) -> Result<Attached> {
    let ifindex = netns::interface_index(name)?;
    require_link_layer(name, ifindex)?;
    let made_qdisc = match hook {
        Hook::Tcx => false,
        Hook::Clsact => clsact::lacks_qdisc(ifindex)?,
    };
    // The filters are known again by their handle: a number that nobody else is likely to take, and not 0.
    let handle = clock::since_boot() as u32 | 1;
    Ok(Attached { name: name.to_owned(), ifindex, hook, handle, made_qdisc })
}

/// Whether the qdisc that was there when this was planned is gone.
pub fn lost_qdisc(at: &Attached) -> Result<bool> {
    Ok(at.hook == Hook::Clsact && !at.made_qdisc && clsact::lacks_qdisc(at.ifindex)?)
}

/// Attaches both programs as planned, so that they stay when this process ends. Where programs of this filter sit
/// already, these come in their place, without a moment in which nothing is there.
pub fn attach(programs: &mut impl Programs, pins: &PinDir, at: &Attached) -> Result<()> {
    if at.hook == Hook::Clsact && at.made_qdisc {
        clsact::make_qdisc(&at.name)?;
    }
    for side in Side::BOTH {
        let program = programs.program(side)?;
        match at.hook {
            Hook::Tcx => tcx::attach(program, pins, at, side),
            Hook::Clsact => clsact::attach(program, at, side),
        }
        .with_context(|| format!("attach to {} {} by {}", at.name, side.name(), at.hook.name()))?;
    }
    Ok(())
}

/// Takes both programs off. What has gone already is no error. To be called in the interface's network namespace
/// where the hook is clsact.
pub fn detach(pins: &PinDir, at: &Attached) -> Result<()> {
    match at.hook {
        Hook::Tcx => tcx::detach(pins, at),
        Hook::Clsact => clsact::detach(at),
    }
    .with_context(|| format!("take the filter off {}", at.name))
}

/// Removes what is pinned of an interface that is gone.
pub fn forget(pins: &PinDir, at: &Attached) -> Result<()> {
    tcx::detach(pins, at)
}

/// Which of these programs is attached to a side still. To be called in the interface's network namespace.
pub fn attached(at: &Attached, side: Side, programs: &[u32]) -> Option<u32> {
    match at.hook {
        Hook::Tcx => tcx::attached(at, side, programs),
        Hook::Clsact => programs.first().copied().filter(|_| clsact::is_attached(at, side)),
    }
}
