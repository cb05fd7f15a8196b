//! The verdict against a segment, while it is being read.

use crate::{action::Action, seq::Seq};

/// The verdict against the current segment. There is none while the action is [`Action::Pass`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Sequence number that it is reported for.
    pub sequence: Seq,
    /// [`crate::reason::Reason`] by number.
    pub reason: u16,
    /// [`Action`] by number.
    pub action: u8,
    /// 1: it is about a command, and the current event is that command's.
    pub of_command: u8,
}

impl Block {
    /// No verdict.
    pub const NONE: Self = Self { sequence: Seq(0), reason: 0, action: Action::Pass as u8, of_command: 0 };
}
