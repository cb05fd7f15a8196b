//! A command that gets several replies: the end of a mail. With LMTP there is one for each recipient that was accepted
//! (RFC 2033 section 4.2); with PRDR (draft-hall-prdr) 353 announces them, and one for the whole mail comes last.

use crate::{entry::Session, session::effect::Effect};

/// Announces the replies of PRDR.
const ANNOUNCED: u16 = 353;

impl Session {
    /// Counts a reply to the oldest command. Returns whether further ones follow.
    #[inline(always)]
    pub fn is_one_of_several(&mut self, effect: Effect, code: u16) -> bool {
        if self.more == 0 && effect.ends_mail() {
            if code == ANNOUNCED {
                self.more = self.accepted.saturating_add(1);
                return true;
            }
            if self.lmtp != 0 && self.accepted > 1 {
                self.more = self.accepted;
            }
        }
        self.more = self.more.saturating_sub(1);
        self.more > 0
    }
}
