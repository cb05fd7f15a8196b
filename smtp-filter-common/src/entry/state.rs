//! The part of an entry that is accessed with the lock held, except the windows.

use super::{Line, Memory, Session, Side};
use crate::{bounds::ARG_ROOM, event::CLIENT, seq::Seq};

/// A run of identical lines in the server's stream: see [`crate::stream::identical`]. 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdenticalLines {
    /// Where one of the lines begins; everything before it is acknowledged.
    pub start: Seq,
    /// Where the run ends.
    pub end: Seq,
    /// Bytes of a line; 0: there is no run.
    pub length: u32,
    /// Which half of the entry's window holds the line; the window is not in use for other bytes then.
    pub half: u32,
}

impl IdenticalLines {
    /// No run.
    pub const NONE: Self = Self { start: Seq(0), end: Seq(0), length: 0, half: 0 };
}

/// Everything under the lock except the windows. 512 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// By direction: [`crate::event::CLIENT`] and [`crate::event::SERVER`].
    pub side: [Side; 2],
    /// By direction.
    pub line: [Line; 2],
    /// The dialogue.
    pub session: Session,
    /// The client's stream around `next`: what is remembered of unacknowledged and out-of-order bytes.
    pub memory: Memory,
    /// The argument of the client's line.
    pub arg: [u8; ARG_ROOM],
    /// Identical replies of the server.
    pub identical: IdenticalLines,
}

impl State {
    /// An empty one.
    pub const EMPTY: Self = Self {
        side: [Side::EMPTY; 2],
        line: [Line::EMPTY; 2],
        session: Session::EMPTY,
        memory: Memory::EMPTY,
        arg: [0; ARG_ROOM],
        identical: IdenticalLines::NONE,
    };
}

const _: () = {
    assert!(size_of::<IdenticalLines>() == 16);
    assert!(size_of::<State>() == 512);
    assert!(CLIENT == 0);
};
