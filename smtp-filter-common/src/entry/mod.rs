//! The layout of a live connection's entry, with sizes. At most 1,024 bytes.
//!
//! [`Shared`] is accessed without the lock, by atomic operations; [`State`] and the windows only by the holder of the
//! lock. A segment works on a copy of [`State`] and writes it back only if it passes, so a dropped segment leaves no
//! trace.

pub mod flags;
pub mod line;
pub mod memory;
pub mod pair;
pub mod session;
pub mod shared;
pub mod side;
pub mod state;

pub use self::{
    flags::*,
    line::Line,
    memory::Memory,
    pair::{first, first_of, pair, pair_of, second, second_of},
    session::Session,
    shared::Shared,
    side::Side,
    state::{IdenticalLines, State},
};
use crate::bounds::{CLIENT_WINDOW, SERVER_WINDOW};

/// Bytes that were forwarded and are not acknowledged. 384 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// The client's command bytes as they were forwarded: byte `s` at `s % 256`.
    pub client: [u8; CLIENT_WINDOW],
    /// The server's reply bytes as they were forwarded: byte `s` at `s % 128`.
    pub server: [u8; SERVER_WINDOW],
}

/// A live connection. 1,016 bytes.
#[repr(C)]
#[derive(Debug)]
pub struct Connection {
    /// Accessed without the lock.
    pub shared: Shared,
    /// Accessed with the lock held.
    pub state: State,
    /// Accessed with the lock held.
    pub windows: Windows,
}

const _: () = {
    assert!(size_of::<Windows>() == 384);
    assert!(size_of::<Connection>() == 1016);
};
