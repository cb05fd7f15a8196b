//! Commands that are waiting for their replies, in order, as runs of one kind.

use crate::{bounds::PENDING, entry::Session, session::verb::Command};

const COUNT: u16 = 0x0fff;

// Four bits hold the kind. Kinds above that wait like a plain command.
const _: () = assert!(LAST == 15 && Command::CLAIM.0 > LAST && Command::PROXY.0 > LAST);
/// The last kind that waits as such.
const LAST: u8 = Command::LOGIN.0;

/// 1 if the reply to a command of this kind lists keywords.
#[inline(always)]
const fn is_hello(kind: u8) -> u16 {
    (kind == Command::EHLO.0) as u16 | (kind == Command::DOWNGRADED.0) as u16
}

impl Session {
    /// Appends a command; `false` if there is no room.
    #[inline(always)]
    pub fn wait(&mut self, kind: Command) -> bool {
        let kind = if kind.0 > LAST { Command::PLAIN.0 } else { kind.0 };
        let hello = is_hello(kind);
        let runs = self.runs as usize;
        if runs > 0 {
            let last = self.pending[(runs - 1) & (PENDING - 1)];
            // A full run is continued by the next one.
            if last >> 12 == kind as u16 && last & COUNT != COUNT {
                self.pending[(runs - 1) & (PENDING - 1)] = last + 1;
                self.hellos += hello;
                return true;
            }
        }
        if runs >= PENDING {
            return false;
        }
        self.pending[runs & (PENDING - 1)] = (kind as u16) << 12 | 1;
        self.runs += 1;
        self.hellos += hello;
        true
    }

    /// Counts a command as one more of the last kind: from now on it is not known which command a reply answers.
    #[inline(always)]
    pub fn wait_like_the_last(&mut self) {
        self.astray = 1;
        let last = &mut self.pending[(self.runs as usize).wrapping_sub(1) & (PENDING - 1)];
        *last += (*last & COUNT != COUNT) as u16;
    }

    /// The kind of the command that the next reply answers; [`Command::NONE`] if none is waiting.
    #[inline(always)]
    pub const fn answered(&self) -> Command {
        Command(if self.runs == 0 { 0 } else { (self.pending[0] >> 12) as u8 })
    }

    /// Removes the oldest command.
    #[inline(always)]
    pub fn answer(&mut self) {
        if self.runs == 0 {
            return;
        }
        self.hellos = self.hellos.saturating_sub(is_hello((self.pending[0] >> 12) as u8));
        if self.pending[0] & COUNT > 1 {
            self.pending[0] -= 1;
            return;
        }
        let mut i = 0;
        while i < PENDING - 1 {
            self.pending[i] = self.pending[i + 1];
            i += 1;
        }
        self.runs -= 1;
    }
}
