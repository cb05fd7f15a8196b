//! Says when interfaces come and go.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv, socket_with},
};
use tokio::io::unix::AsyncFd;

use crate::readable;

/// Multicast group of messages about interfaces (RTMGRP_LINK, linux/rtnetlink.h).
const LINKS: u32 = 1;

/// Hears of every change of an interface in the network namespace that it was made in.
pub struct LinkWatch(AsyncFd<OwnedFd>);

impl LinkWatch {
    /// Begins to listen.
    pub fn new() -> Result<Self> {
        let open = || -> Result<OwnedFd, Errno> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let route = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&route, &SocketAddrNetlink::new(0, LINKS))?;
            Ok(route)
        };
        let route = open().context("listen to changes of interfaces")?;
        Ok(Self(readable::watch_socket(route)?))
    }

    /// Waits until something has changed. What it was is for the caller to look at: messages may have been lost.
    pub async fn changed(&mut self) -> Result<()> {
        let mut ready = self.0.readable().await.context("wait for changes of interfaces")?;
        let mut message = [0; 4096];
        loop {
            match recv(ready.get_inner(), message.as_mut_slice(), RecvFlags::empty()) {
                // More than there was room for: as good as a message.
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(error) => return Err(error).context("hear of changes of interfaces"),
            }
        }
    }
}
