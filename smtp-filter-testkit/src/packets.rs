//! Packet sockets: frames as they are on a wire.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RawProtocol, RecvFlags, SocketFlags, SocketType,
        addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque},
        bind, recv, socket_with,
    },
};
use smtp_filter::netns::interface_index;

/// Longest frame.
const ROOM: usize = 2048;

/// The next frame that has come.
pub fn take(socket: &OwnedFd) -> Result<Option<Vec<u8>>> {
    let mut frame = vec![0; ROOM];
    match recv(socket, frame.as_mut_slice(), RecvFlags::empty()) {
        Ok((length, _)) => {
            frame.truncate(length);
            Ok(Some(frame))
        }
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error).context("read a packet socket"),
    }
}

/// A socket for the frames of a protocol at `eth0`.
pub fn packets(protocol: u16) -> Result<OwnedFd> {
    let index = interface_index("eth0")?;
    let number = RawProtocol::new(u32::from(protocol.to_be())).context("a protocol")?;
    let protocol = Some(Protocol::from_raw(number));
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::NONBLOCK, protocol)
        .context("open a packet socket")?;
    let protocol = number.get() as u16;
    bind(&socket, &LinkAddress { family: AddressFamily::PACKET.as_raw(), protocol, index, rest: [0; 12] })
        .context("bind a packet socket")?;
    Ok(socket)
}

/// `struct sockaddr_ll`.
#[repr(C)]
struct LinkAddress {
    family: u16,
    protocol: u16,
    index: u32,
    rest: [u8; 12],
}

// SAFETY: the pointer is to a whole `struct sockaddr_ll`, which lives as long as the call.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        f(std::ptr::from_ref(self).cast(), size_of::<Self>() as SocketAddrLen)
    }
}
