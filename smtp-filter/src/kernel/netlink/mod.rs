//! Requests to the kernel by netlink: what aya does not ask, and what the doctor wants to know.
//!
//! The structures are those of the kernel's headers, read and written as plain data.

pub(crate) mod attributes;
pub(crate) mod tc;

use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, recv, send, socket},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
pub(crate) const NLM_F_ACK: u16 = 4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;

/// `struct nlmsghdr`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// `struct ifinfomsg`.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct LinkMessage {
    pub family: u8,
    pub padding: u8,
    /// ARPHRD_*.
    pub kind: u16,
    pub index: u32,
    /// IFF_*.
    pub flags: u32,
    /// Which of them are to change.
    pub change: u32,
}

/// A request of this kind with this body after its header.
pub(crate) fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let header = Header {
        length: (size_of::<Header>() + body.len()) as u32,
        kind,
        flags: NLM_F_REQUEST | flags,
        // The first request of its socket, for the kernel to answer to whoever holds the socket.
        sequence: 1,
        port: 0,
    };
    [header.as_bytes(), body].concat()
}

/// Sends a request to the kernel's routing side and hands each answer to `each`, until the kernel says that it is done.
pub(crate) fn talk(request: &[u8], each: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
    talk_to(None, request, each)
}

/// The same with another side of the kernel than routing.
pub(crate) fn talk_to(side: Option<Protocol>, request: &[u8], mut each: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
    let socket: OwnedFd = socket(AddressFamily::NETLINK, SocketType::RAW, side)?;
    send(&socket, request, SendFlags::empty())?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (_, received) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = buffer.get(..received).unwrap_or_default();
        while let Some((header, body)) = message(rest) {
            match header.kind {
                NLMSG_DONE => return Ok(()),
                // `struct nlmsgerr` begins with the error, negative; 0 is a success.
                NLMSG_ERROR => {
                    return match i32::read_from_prefix(body) {
                        Ok((0, _)) => Ok(()),
                        Ok((error, _)) => Err(Errno::from_raw_os_error(-error)),
                        Err(_) => Err(Errno::BADMSG),
                    };
                }
                kind => each(kind, body),
            }
            rest = rest.get((header.length as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The first message of these bytes: its header, whose length is no longer than they are, and its body.
fn message(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (mut header, rest) = Header::read_from_prefix(bytes).ok()?;
    header.length = (header.length as usize).clamp(size_of::<Header>(), bytes.len()) as u32;
    Some((header, rest.get(..header.length as usize - size_of::<Header>())?))
}

/// Four bytes as a number; 0 beyond the end.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| u32::read_from_prefix(bytes).ok()).map_or(0, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_claims_more_than_there_is_ends_with_it() {
        let bytes = request(7, NLM_F_ACK, &[1, 2, 3, 4]);
        let (header, body) = message(&bytes).unwrap();
        assert_eq!((header.kind, header.flags, header.length, body), (7, 5, 20, [1, 2, 3, 4].as_slice()));
        let (header, body) = message(&bytes[..18]).unwrap();
        assert_eq!((header.length, body), (18, [1, 2].as_slice()));
        assert!(message(&bytes[..15]).is_none());
        let mut lies = bytes;
        lies[..4].copy_from_slice(&3_u32.to_ne_bytes());
        assert_eq!(message(&lies).map(|(header, body)| (header.length, body.len())), Some((16, 0)));
    }
}
