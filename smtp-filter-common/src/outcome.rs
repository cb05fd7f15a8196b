//! What a step of the judgement leaves to the next one.

use crate::{open::open_enum, reason::Reason, verdict::Verdict};

open_enum! {
    /// How the judgement of a segment goes on.
    pub struct Next: u8 {
        /// It is over: all is counted and reported.
        SETTLED = 0;
        /// The segment passes, for the reason.
        PASSES = 1;
        /// A guard's action is taken.
        GUARDED = 2;
        /// In mode `enforce` the verdict is carried out, whatever the policy says; otherwise the segment passes.
        HELD_BACK = 3;
        /// The segment's bytes are to be read. The connection's lock is held.
        READ = 4;
        /// It begins a connection, or belongs to none that is known.
        HANDSHAKE = 5;
        /// A client's segment, whose connection is to be found.
        FIND_CLIENT = 6;
        /// A server's segment, whose connection is to be found.
        FIND_SERVER = 7;
    }
}

/// Result of a step. Every field is always set.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Reason number.
    pub reason: u16,
    /// How the judgement goes on.
    pub next: Next,
    /// [`crate::verdict::Verdict`] by number.
    pub verdict: u8,
}

impl Outcome {
    pub(crate) const fn settled(verdict: Verdict) -> Self {
        Self { next: Next::SETTLED, reason: 0, verdict: verdict as u8 }
    }

    pub(crate) const fn passes(reason: Reason) -> Self {
        Self { next: Next::PASSES, reason: reason.number(), verdict: Verdict::Pass as u8 }
    }

    pub(crate) const fn guarded(reason: Reason) -> Self {
        Self { next: Next::GUARDED, reason: reason.number(), verdict: Verdict::Drop as u8 }
    }

    pub(crate) const fn held_back(reason: Reason) -> Self {
        Self { next: Next::HELD_BACK, reason: reason.number(), verdict: Verdict::Drop as u8 }
    }

    pub(crate) const fn handshake() -> Self {
        Self { next: Next::HANDSHAKE, reason: 0, verdict: 0 }
    }

    pub(crate) const fn find_client() -> Self {
        Self { next: Next::FIND_CLIENT, reason: 0, verdict: 0 }
    }

    pub(crate) const fn find_server() -> Self {
        Self { next: Next::FIND_SERVER, reason: 0, verdict: 0 }
    }

    pub(crate) const fn read() -> Self {
        Self { next: Next::READ, reason: 0, verdict: 0 }
    }
}
