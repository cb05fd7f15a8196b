//! Interfaces and their clsact qdiscs: what an interface's link layer is, whether it has the qdisc, which filters are
//! there; and deleting either.

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{LinkMessage, NLM_F_ACK, NLM_F_DUMP, request, talk};
use crate::pins::Side;

// linux/rtnetlink.h, linux/pkt_sched.h, linux/if_ether.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;
const TC_H_CLSACT: u32 = 0xffff_fff1;
const TC_H_MIN_INGRESS: u32 = 0xffff_fff2;
const TC_H_MIN_EGRESS: u32 = 0xffff_fff3;
/// The handle of the clsact qdisc.
const CLSACT: u32 = 0xffff_0000;
const ETH_P_ALL: u16 = 3;

/// `struct tcmsg`.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Message {
    family: u8,
    padding: [u8; 3],
    ifindex: u32,
    handle: u32,
    parent: u32,
    info: u32,
}

/// A filter of a clsact qdisc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Its handle.
    pub handle: u32,
    /// Its priority and protocol, as the kernel packs them.
    pub info: u32,
}

impl Filter {
    /// Its priority.
    pub(crate) const fn priority(self) -> u16 {
        (self.info >> 16) as u16
    }
}

const fn parent(side: Side) -> u32 {
    match side {
        Side::Ingress => TC_H_MIN_INGRESS,
        Side::Egress => TC_H_MIN_EGRESS,
    }
}

/// The kind of an interface's link layer (ARPHRD_*, linux/if_arp.h); `None` where there is no such interface.
pub(crate) fn link_layer(ifindex: u32) -> Result<Option<u16>> {
    let mut found = None;
    let ask = request(RTM_GETLINK, NLM_F_DUMP, LinkMessage::default().as_bytes());
    let done = talk(&ask, |kind, body| {
        if kind == RTM_NEWLINK
            && let Ok((link, _)) = LinkMessage::read_from_prefix(body)
            && link.index == ifindex
        {
            found = Some(link.kind);
        }
    });
    done.context("list the interfaces")?;
    Ok(found)
}

/// Whether an interface has a clsact qdisc, or the ingress qdisc that takes the same handle.
pub(crate) fn has_clsact(ifindex: u32) -> Result<bool> {
    let mut found = false;
    let done = ask(RTM_GETQDISC, NLM_F_DUMP, Message { ifindex, ..Message::default() }, |kind, qdisc| {
        found |= kind == RTM_NEWQDISC && qdisc.parent == TC_H_CLSACT && qdisc.ifindex == ifindex;
    });
    done.context("list the interface's qdiscs")?;
    Ok(found)
}

/// The filters on one side of an interface; none where there is no such interface or qdisc.
pub(crate) fn filters(ifindex: u32, side: Side) -> Result<Vec<Filter>> {
    let mut found = Vec::new();
    let about = Message { ifindex, parent: parent(side), ..Message::default() };
    let done = ask(RTM_GETTFILTER, NLM_F_DUMP, about, |kind, Message { handle, info, .. }| {
        if kind == RTM_NEWTFILTER && handle != 0 {
            found.push(Filter { handle, info });
        }
    });
    match done {
        Ok(()) => Ok(found),
        Err(Errno::NODEV | Errno::INVAL | Errno::NOENT) => Ok(Vec::new()),
        Err(error) => Err(error).context("list the interface's filters"),
    }
}

/// Deletes a filter.
pub(crate) fn delete_filter(ifindex: u32, side: Side, filter: Filter) -> Result<()> {
    let protocol = u32::from(ETH_P_ALL.to_be());
    let info = filter.info & 0xffff_0000 | protocol;
    let about = Message { ifindex, handle: filter.handle, parent: parent(side), info, ..Message::default() };
    absent_is_fine(ask(RTM_DELTFILTER, NLM_F_ACK, about, |_, _| {})).context("delete a filter")
}

/// Deletes the clsact qdisc.
pub(crate) fn delete_clsact(ifindex: u32) -> Result<()> {
    let about = Message { ifindex, handle: CLSACT, parent: TC_H_CLSACT, ..Message::default() };
    absent_is_fine(ask(RTM_DELQDISC, NLM_F_ACK, about, |_, _| {})).context("delete the clsact qdisc")
}

fn absent_is_fine(result: Result<(), Errno>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::NODEV | Errno::NOENT | Errno::INVAL) => Ok(()),
        Err(error) => bail!(error),
    }
}

/// Asks about a qdisc or a filter. Of each answer the attributes are left out.
fn ask(kind: u16, flags: u16, about: Message, mut each: impl FnMut(u16, Message)) -> Result<(), Errno> {
    talk(&request(kind, flags, about.as_bytes()), |kind, body| {
        if let Ok((message, _)) = Message::read_from_prefix(body) {
            each(kind, message);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_layer_of_loopback_is_told() {
        const ARPHRD_LOOPBACK: u16 = 772;
        assert_eq!(link_layer(1).unwrap(), Some(ARPHRD_LOOPBACK));
        assert_eq!(link_layer(u32::MAX).unwrap(), None);
    }
}
