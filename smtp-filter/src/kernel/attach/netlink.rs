//! The netlink requests that aya does not make: what an interface's link layer is, look for a clsact qdisc, list its
//! filters, delete either.

use anyhow::{Context as _, Result, bail};
use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, recv, send, socket},
};

use crate::pins::Side;

// linux/rtnetlink.h, linux/netlink.h, linux/pkt_sched.h, linux/if_ether.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
pub(crate) const NLM_F_ACK: u16 = 4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
const TC_H_CLSACT: u32 = 0xffff_fff1;
const TC_H_MIN_INGRESS: u32 = 0xffff_fff2;
const TC_H_MIN_EGRESS: u32 = 0xffff_fff3;
const ETH_P_ALL: u16 = 3;
/// `struct nlmsghdr` and `struct tcmsg`.
const HEADER: usize = 16;
const TCMSG: usize = 20;

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
    pub(super) const fn priority(self) -> u16 {
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
pub(super) fn link_layer(ifindex: u32) -> Result<Option<u16>> {
    let mut found = None;
    let done = talk(&message(RTM_GETLINK, NLM_F_DUMP, 0, 0, 0, 0), |kind, body| {
        // `struct ifinfomsg`: family, padding, type, index.
        if kind == RTM_NEWLINK && body.len() >= 16 && word(body, 4) == ifindex {
            found = Some(u16::from_ne_bytes([body[2], body[3]]));
        }
    });
    done.context("list the interfaces")?;
    Ok(found)
}

/// Whether an interface has a clsact qdisc, or the ingress qdisc that stands in the same place.
pub(super) fn has_clsact(ifindex: u32) -> Result<bool> {
    let mut found = false;
    let request = message(RTM_GETQDISC, NLM_F_DUMP, ifindex, 0, 0, 0);
    let done = talk(&request, |kind, body| {
        let is_clsact = kind == RTM_NEWQDISC && body.len() >= TCMSG && word(body, 12) == TC_H_CLSACT;
        found |= is_clsact && word(body, 4) == ifindex;
    });
    done.context("list the interface's qdiscs")?;
    Ok(found)
}

/// The filters on one side of an interface; none where there is no such interface or qdisc.
pub(crate) fn filters(ifindex: u32, side: Side) -> Result<Vec<Filter>> {
    let mut found = Vec::new();
    let request = message(RTM_GETTFILTER, NLM_F_DUMP, ifindex, 0, parent(side), 0);
    let done = talk(&request, |kind, body| {
        if kind == RTM_NEWTFILTER && body.len() >= TCMSG {
            let (handle, info) = (word(body, 8), word(body, 16));
            if handle != 0 {
                found.push(Filter { handle, info });
            }
        }
    });
    match done {
        Ok(()) => Ok(found),
        Err(Errno::NODEV | Errno::INVAL | Errno::NOENT) => Ok(Vec::new()),
        Err(error) => Err(error).context("list the interface's filters"),
    }
}

/// Deletes a filter.
pub(super) fn delete_filter(ifindex: u32, side: Side, filter: Filter) -> Result<()> {
    let protocol = u32::from(ETH_P_ALL.to_be());
    let info = filter.info & 0xffff_0000 | protocol;
    let request = message(RTM_DELTFILTER, NLM_F_ACK, ifindex, filter.handle, parent(side), info);
    absent_is_fine(talk(&request, |_, _| {})).context("delete a filter")
}

/// Deletes the clsact qdisc.
pub(super) fn delete_clsact(ifindex: u32) -> Result<()> {
    let request = message(RTM_DELQDISC, NLM_F_ACK, ifindex, 0xffff_0000, TC_H_CLSACT, 0);
    absent_is_fine(talk(&request, |_, _| {})).context("delete the clsact qdisc")
}

fn absent_is_fine(result: Result<(), Errno>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::NODEV | Errno::NOENT | Errno::INVAL) => Ok(()),
        Err(error) => bail!(error),
    }
}

fn message(kind: u16, flags: u16, ifindex: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend([ifindex, handle, parent, info].iter().flat_map(|field| field.to_ne_bytes()));
    request(kind, flags, &body)
}

/// A request of this kind with this body behind its header.
pub(crate) fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + body.len());
    out.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // The first request of its socket, for the kernel to answer to whoever holds the socket.
    out.extend(1_u32.to_ne_bytes());
    out.extend(0_u32.to_ne_bytes());
    out.extend(body);
    out
}

/// Sends a request to the kernel's routing side and hands each answer to `each`, until the kernel says that it is done.
pub(crate) fn talk(request: &[u8], each: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
    talk_to(None, request, each)
}

/// The same with another side of the kernel than routing.
pub(crate) fn talk_to(side: Option<Protocol>, request: &[u8], mut each: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
    let route: OwnedFd = socket(AddressFamily::NETLINK, SocketType::RAW, side)?;
    send(&route, request, SendFlags::empty())?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (_, received) = recv(&route, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = buffer.get(..received).unwrap_or_default();
        while rest.len() >= HEADER {
            let length = (word(rest, 0) as usize).clamp(HEADER, rest.len());
            let (kind, body) = (u16::from_ne_bytes([rest[4], rest[5]]), &rest[HEADER..length]);
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR if body.len() >= 4 => {
                    return match word(body, 0) as i32 {
                        0 => Ok(()),
                        error => Err(Errno::from_raw_os_error(-error)),
                    };
                }
                _ => each(kind, body),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Four bytes as a number; 0 beyond the end.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
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
