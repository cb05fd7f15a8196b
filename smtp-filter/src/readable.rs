//! Waiting until a ring buffer or a socket has something in it.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context as _, Result};
use aya_log::EbpfLogger;
use log::Log;
use tokio::io::{Interest, unix::AsyncFd};

use crate::events::reader::EventReader;

/// What owns the file descriptor that it names, and keeps it open under the same number for as long as it lives.
///
/// # Safety
///
/// Exactly that.
unsafe trait OwnsFd: AsRawFd {}

// SAFETY: both own a `RingBuf`, whose map owns the descriptor and closes it on drop; it is never replaced.
unsafe impl OwnsFd for EventReader {}
// SAFETY: as above.
unsafe impl<T: Log> OwnsFd for EbpfLogger<T> {}
// SAFETY: it is the descriptor.
unsafe impl OwnsFd for OwnedFd {}

/// Has the runtime watch a ring buffer.
pub(crate) fn watch(reader: EventReader) -> Result<AsyncFd<EventReader>> {
    register(reader)
}

/// Has the runtime watch the ring buffer of log messages.
pub(crate) fn watch_logs<T: Log>(logger: EbpfLogger<T>) -> Result<AsyncFd<EbpfLogger<T>>> {
    register(logger)
}

/// Has the runtime watch a socket.
pub(crate) fn watch_socket(socket: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    register(socket)
}

fn register<T: OwnsFd>(source: T) -> Result<AsyncFd<T>> {
    // SAFETY: the source owns its descriptor for as long as it lives, see `OwnsFd`.
    let registered = unsafe { AsyncFd::register_with_interest(source, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1).context("have a file descriptor watched")
}
