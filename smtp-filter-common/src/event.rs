//! An event as it goes through the ring buffers.

use crate::{
    limits::{ARG_ROOM, CUT, WORD},
    word::Word,
};

/// A connection was established through the filter.
pub const CONNECT: u8 = 0;
/// A command was judged.
pub const COMMAND: u8 = 1;
/// A guard, or what the stream forced.
pub const GUARD: u8 = 2;
/// A connection's end.
pub const CLOSE: u8 = 3;

/// From the client to the server.
pub const CLIENT: u8 = 0;
/// From the server to the client.
pub const SERVER: u8 = 1;

/// One event. Host byte order but for addresses and ports, which are as on the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    pub time: u64,
    /// The connection's number: the same in all its events.
    pub connection: u64,
    /// The verb of a command; empty where it is longer than 16 characters (see `verb_length`).
    pub verb: Word,
    /// Interface index.
    pub ifindex: u32,
    /// Generation of the policy that decided.
    pub generation: u32,
    /// Client's address; IPv4 as ::ffff:a.b.c.d.
    pub client: [u8; 16],
    /// Server's address; IPv4 as ::ffff:a.b.c.d.
    pub server: [u8; 16],
    /// Client's port, big-endian.
    pub client_port: [u8; 2],
    /// Server's port, big-endian.
    pub server_port: [u8; 2],
    /// Reason number.
    pub reason: u16,
    /// [`CONNECT`], [`COMMAND`], [`GUARD`] or [`CLOSE`].
    pub kind: u8,
    /// [`CLIENT`] or [`SERVER`]: where the segment came from.
    pub direction: u8,
    /// [`crate::action::Action`].
    pub action: u8,
    /// 0: mode monitor, not carried out.
    pub enforced: u8,
    /// Length of the verb; above 16 it is not in `verb`.
    pub verb_length: u8,
    /// Length of what stands in `arg`.
    pub arg_length: u8,
    /// 1: the argument was longer than what stands in `arg`; 2: it is withheld.
    pub arg_flags: u8,
    /// Length of what stands in `cut`; [`CUT_MORE`] where there was more.
    pub cut_length: u8,
    /// Zero.
    pub reserved: [u8; 6],
    /// First bytes of a command's argument, as they came.
    pub arg: [u8; ARG_ROOM],
    /// First bytes of what was cut, as they came.
    pub cut: [u8; CUT],
}

/// `arg_flags`: there was more.
pub const ARG_MORE: u8 = 1;
/// `cut_length`: there was more (a bit beside the length).
pub const CUT_MORE: u8 = 0x80;
/// `arg_flags`: withheld (AUTH; envelope addresses unless the policy says otherwise).
pub const ARG_WITHHELD: u8 = 2;

impl Event {
    /// Size in a ring buffer.
    pub const SIZE: usize = core::mem::size_of::<Self>();
    /// An empty event.
    pub const EMPTY: Self = Self {
        time: 0,
        connection: 0,
        verb: Word { high: 0, low: 0 },
        ifindex: 0,
        generation: 0,
        client: [0; 16],
        server: [0; 16],
        client_port: [0; 2],
        server_port: [0; 2],
        reason: 0,
        kind: 0,
        direction: 0,
        action: 0,
        enforced: 0,
        verb_length: 0,
        arg_length: 0,
        arg_flags: 0,
        cut_length: 0,
        reserved: [0; 6],
        arg: [0; ARG_ROOM],
        cut: [0; CUT],
    };
}

const _: () = assert!(WORD == 16 && Event::SIZE.is_multiple_of(8) && Event::SIZE <= 256);
