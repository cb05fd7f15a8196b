//! Which end of a connection sends a segment, by its ports alone.

use crate::{
    policy::Policy,
    wire::{ACK, SYN, Segment},
};

/// Which of a segment's ports belong to the policy.
pub struct Ports {
    /// The destination port.
    pub to_server: bool,
    /// The source port.
    pub from_server: bool,
    /// The source port, and the segment is a SYN-ACK.
    answers: bool,
}

impl Ports {
    /// Those of this segment.
    #[inline(always)]
    pub const fn of(whole: &Policy, segment: &Segment) -> Self {
        let to_server = whole.has_port(segment.destination_port);
        let from_server = whole.has_port(segment.source_port);
        Self { to_server, from_server, answers: from_server & segment.has(SYN) & segment.has(ACK) }
    }

    /// Whether the client sends it. Without readable ports that cannot be known, and the client is assumed, so that the
    /// client's policy decides about unreadable packets.
    #[inline(always)]
    pub const fn is_clients(&self) -> bool {
        !self.from_server | (self.to_server & !self.answers)
    }
}
