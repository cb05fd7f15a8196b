//! Packet sockets: what an interface sends and receives, and frames sent by one.

use std::{
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque},
        bind, recv, send, socket_with,
    },
};

/// `AF_PACKET`.
const PACKET: u16 = 17;
/// `ETH_P_ALL`: what is received before a program at ingress has seen it, and sent after one at egress has.
pub(super) const EVERYTHING: u16 = 3;
/// No protocol: it only sends.
pub(super) const NOTHING: u16 = 0;
/// Room for a frame: the longest IP datagram, tags and what comes before it.
const ROOM: usize = 1 << 17;
/// How long a frame may be under way within the machine. It decides nothing but when an error is said.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// A frame of a local experiment (IEEE 802).
const PROBE: [u8; 14] = [2, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 3, 0x88, 0xb5];

/// A packet socket of an interface.
pub(super) struct Tap(OwnedFd);

/// `struct sockaddr_ll`.
#[repr(C)]
struct Address {
    family: u16,
    /// Big-endian.
    protocol: u16,
    ifindex: u32,
    rest: [u8; 12],
}

// SAFETY: the pointer is to a whole `struct sockaddr_ll`, which lives as long as the call.
unsafe impl SocketAddrArg for Address {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        f(std::ptr::from_ref(self).cast(), size_of::<Self>() as SocketAddrLen)
    }
}

impl Tap {
    /// Of an interface, for frames of a protocol: [`EVERYTHING`], [`NOTHING`], or an EtherType, whose frames are seen
    /// after the programs at ingress.
    pub fn new(ifindex: u32, protocol: u16) -> Result<Self> {
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::NONBLOCK, None)
            .context("open a packet socket")?;
        let address = Address { family: PACKET, protocol: protocol.to_be(), ifindex, rest: [0; 12] };
        bind(&socket, &address).context("bind a packet socket")?;
        Ok(Self(socket))
    }

    /// Sends frames that are nobody's until one arrives.
    pub fn reached_from(&self, other: &Self) -> Result<()> {
        let deadline = Instant::now() + SOON;
        loop {
            other.send(&PROBE)?;
            while let Some(frame) = self.next()? {
                if frame == PROBE {
                    return Ok(());
                }
            }
            ensure!(Instant::now() < deadline, "nothing has arrived");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        match send(&self.0, frame, SendFlags::empty()) {
            // Said where a program at egress drops it.
            Ok(_) | Err(Errno::NOBUFS) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("send a frame of {} bytes", frame.len())),
        }
    }

    /// The next frame that is there.
    pub fn next(&self) -> Result<Option<Vec<u8>>> {
        let mut frame = vec![0; ROOM];
        loop {
            match recv(&self.0, frame.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => {
                    frame.truncate(length);
                    return Ok(Some(frame));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error).context("read a packet socket"),
            }
        }
    }

    /// The next frame that is `wanted`, which must come.
    pub fn wait_for(&self, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        loop {
            while let Some(frame) = self.next()? {
                if wanted(&frame) {
                    return Ok(frame);
                }
            }
            let mut socket = [PollFd::new(&self.0, PollFlags::IN)];
            let patience = Timespec::try_from(SOON).context("a time to wait")?;
            match poll(&mut socket, Some(&patience)) {
                Ok(ready) => ensure!(ready > 0, "the kernel has not sent what it said"),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("wait for a frame"),
            }
        }
    }
}
