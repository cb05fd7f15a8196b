//! Which reply answers which command (I3). A reply that answers none removes no waiting command. Otherwise the wait
//! after DATA or AUTH would end before the server has said what the next bytes are.

use crate::{entry::Session, session::verb::Command};

/// What a complete reply means for the waiting commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answers the oldest command, which is done.
    Last,
    /// It answers the oldest command, which gets further replies.
    OneOfSeveral,
    /// It is no reply: a code outside of 200 to 599, as Sendmail sends them after VERB.
    Remark,
    /// It answers nothing.
    Unmatched,
}

impl Session {
    /// Classifies a reply by its code, and counts it if the oldest command gets several.
    ///
    /// The end of a mail (end of data or last chunk) gets several: with LMTP one for each recipient that was accepted
    /// (RFC 2033 section 4.2); with PRDR (draft-hall-prdr) 353 announces them, and one for the whole mail comes last.
    #[inline(always)]
    pub fn answers(&mut self, code: u16) -> Answer {
        if !matches!(code, 200..600) {
            return Answer::Remark;
        }
        let kind = self.answered();
        if !fits(kind, code) {
            return Answer::Unmatched;
        }
        let ends_mail = kind == Command::END_OF_DATA || kind == Command::BDAT_LAST;
        if self.more == 0 && ends_mail && code == 353 {
            self.more = self.accepted.saturating_add(1);
            return Answer::OneOfSeveral;
        }
        if self.more == 0 && ends_mail && self.lmtp != 0 && self.accepted > 1 {
            self.more = self.accepted;
        }
        self.more = self.more.saturating_sub(1);
        if self.more > 0 { Answer::OneOfSeveral } else { Answer::Last }
    }
}

/// Whether a reply with this code may answer a command of this kind.
#[inline(always)]
pub(super) const fn fits(kind: Command, code: u16) -> bool {
    let refused = code >= 400;
    match kind {
        Command::NONE => false,
        Command::DATA => code == 354 || refused,
        Command::AUTH | Command::LOGIN => code == 334 || code < 300 || refused,
        Command::STARTTLS => code == 220 || refused,
        _ => code != 354 && code != 334,
    }
}
