//! What a reply does: a table from what was asked, and the reply's code, to an effect. [`effect`] is its readable form;
//! [`look_up`] reads the table that is built from it.
//!
//! A reply that cannot answer the oldest waiting command ends no wait. Otherwise the wait after DATA, AUTH or STARTTLS
//! would end before the server has said what the client's next bytes are (I3).

use crate::{branchless::Opaque, open::open_enum, session::verb::Command};

open_enum! {
    /// What a reply does to the dialogue.
    pub struct Effect: u8 {
        /// It is no reply: a code outside of 200 to 599, as Sendmail sends them after VERB.
        REMARK = 0;
        /// It answers no command: the server gives up, as it may at any time: with 421 (RFC 5321 section 3.8), Exchange
        /// with 451.
        GIVES_UP = 1;
        /// It answers nothing.
        UNASKED = 2;
        /// It answers nothing, but the server takes what comes next for mail data.
        UNASKED_MAIL_DATA = 3;
        /// It answers nothing, but the server takes what comes next for credentials.
        UNASKED_CHALLENGE = 4;

        // All others are effects of a reply that answers the oldest waiting command.

        /// Nothing else changes.
        ANSWERED = 5;
        /// DATA: commands go on.
        DATA_REFUSED = 6;
        /// DATA: mail data begins.
        MAIL_DATA_BEGINS = 7;
        /// STARTTLS: commands go on.
        STARTTLS_REFUSED = 8;
        /// STARTTLS: TLS begins.
        TLS_BEGINS = 9;
        /// AUTH, or an answer in its exchange: commands go on, whether the client is authenticated or not.
        AUTH_ENDS = 10;
        /// AUTH, or an answer in its exchange: the next line is an answer.
        CHALLENGE = 11;
        /// A command that carries credentials as AUTH does: the next line is an answer.
        LOGIN_CHALLENGE = 12;
        /// MAIL: there is no transaction.
        MAIL_REFUSED = 14;
        /// MAIL: its transaction has no recipient yet.
        MAIL_ACCEPTED = 15;
        /// BDAT: the chunk was refused.
        CHUNK_REFUSED = 16;
        /// BDAT: the chunk was taken.
        CHUNK_ACCEPTED = 17;
        /// BDAT with LAST: the mail was refused.
        LAST_CHUNK_REFUSED = 18;
        /// BDAT with LAST: the mail was taken.
        LAST_CHUNK_ACCEPTED = 19;
        /// CRLF.CRLF: the mail was refused.
        MAIL_DATA_REFUSED = 20;
        /// CRLF.CRLF: the mail was taken.
        MAIL_DATA_ACCEPTED = 21;
        /// RCPT: one more recipient.
        RCPT_ACCEPTED = 22;
        /// HELO: a session without extensions begins, and a transaction ends (RFC 5321 section 4.1.4).
        HELO_ACCEPTED = 23;
        /// EHLO: a session with the extensions that the reply offers begins, and a transaction ends.
        EHLO_ACCEPTED = 24;
        /// LHLO: mails get a reply for each recipient from now on.
        LHLO_ACCEPTED = 25;
        /// QUIT: the server is about to close the connection.
        QUIT_ANSWERED = 26;
    }
}

// The lowest bit says which of two it is: see [`Effect::agrees`].
const _: () = {
    assert!(Effect::DATA_REFUSED.0 | 1 == Effect::MAIL_DATA_BEGINS.0);
    assert!(Effect::STARTTLS_REFUSED.0 | 1 == Effect::TLS_BEGINS.0);
    assert!(Effect::AUTH_ENDS.0 | 1 == Effect::CHALLENGE.0);
    assert!(Effect::MAIL_REFUSED.0 | 1 == Effect::MAIL_ACCEPTED.0);
    assert!(Effect::CHUNK_REFUSED.0 | 1 == Effect::CHUNK_ACCEPTED.0);
    assert!(Effect::LAST_CHUNK_REFUSED.0 | 1 == Effect::LAST_CHUNK_ACCEPTED.0);
    assert!(Effect::MAIL_DATA_REFUSED.0 | 1 == Effect::MAIL_DATA_ACCEPTED.0);
};

impl Effect {
    /// Whether the reply answers the oldest waiting command.
    #[inline(always)]
    pub const fn answers(self) -> bool {
        self.0 >= Self::ANSWERED.0
    }

    /// Whether it is a reply, and cannot answer the oldest waiting command.
    #[inline(always)]
    pub const fn is_unasked(self) -> bool {
        self.0 >= Self::UNASKED.0 && self.0 <= Self::UNASKED_CHALLENGE.0
    }

    /// Whether it ends a wait: the client's bytes are held back until the reply says what they are.
    #[inline(always)]
    pub const fn ends_wait(self) -> bool {
        self.0 >= Self::DATA_REFUSED.0 && self.0 <= Self::LOGIN_CHALLENGE.0
    }

    /// Whether it answers the end of a mail.
    #[inline(always)]
    pub const fn ends_mail(self) -> bool {
        self.0 >= Self::LAST_CHUNK_REFUSED.0 && self.0 <= Self::MAIL_DATA_ACCEPTED.0
    }

    /// Of two effects for the same command, 1 for the one that the client has asked for, and 0 for the other.
    // verifier: arithmetic, because the two share most of what is done.
    #[inline(always)]
    pub const fn agrees(self) -> u8 {
        self.0 & 1
    }
}

/// What a reply with this code does if `asked` is the kind of the oldest waiting command ([`Command::NONE`]: none is
/// waiting).
pub const fn effect(asked: Command, code: u16) -> Effect {
    // RFC 5321 section 4.2.1.
    let accepted = matches!(code, 200..300);
    let refused = matches!(code, 400..600);
    match (asked, code) {
        (_, 0..200 | 600..) => Effect::REMARK,

        // RFC 5321 section 4.1.1.4.
        (Command::DATA, 354) => Effect::MAIL_DATA_BEGINS,
        (Command::DATA, _) if refused => Effect::DATA_REFUSED,
        // RFC 3207 section 4.
        (Command::STARTTLS, 220) => Effect::TLS_BEGINS,
        (Command::STARTTLS, _) if refused => Effect::STARTTLS_REFUSED,
        // RFC 4954 section 4.
        (Command::AUTH, 334) => Effect::CHALLENGE,
        (Command::AUTH, _) if accepted || refused => Effect::AUTH_ENDS,
        (Command::LOGIN, 334) => Effect::LOGIN_CHALLENGE,
        (Command::LOGIN, _) if accepted || refused => Effect::ANSWERED,

        // No other command is answered by these two.
        (_, 354) => Effect::UNASKED_MAIL_DATA,
        (_, 334) => Effect::UNASKED_CHALLENGE,
        (Command::NONE, 400..500) => Effect::GIVES_UP,
        (Command::NONE | Command::DATA | Command::STARTTLS | Command::AUTH | Command::LOGIN, _) => Effect::UNASKED,

        // RFC 5321 sections 4.1.1.1 to 4.1.1.3; RFC 2033 section 4.1.
        (Command::HELO | Command::DOWNGRADED, _) if accepted => Effect::HELO_ACCEPTED,
        (Command::EHLO, _) if accepted => Effect::EHLO_ACCEPTED,
        (Command::LHLO, _) if accepted => Effect::LHLO_ACCEPTED,
        (Command::MAIL, _) if accepted => Effect::MAIL_ACCEPTED,
        (Command::MAIL, _) => Effect::MAIL_REFUSED,
        (Command::RCPT, _) if accepted => Effect::RCPT_ACCEPTED,
        // RFC 3030 section 2.
        (Command::BDAT, _) if accepted => Effect::CHUNK_ACCEPTED,
        (Command::BDAT, _) => Effect::CHUNK_REFUSED,
        (Command::BDAT_LAST, _) if accepted => Effect::LAST_CHUNK_ACCEPTED,
        (Command::BDAT_LAST, _) => Effect::LAST_CHUNK_REFUSED,
        // RFC 5321 section 4.1.1.4.
        (Command::END_OF_DATA, _) if accepted => Effect::MAIL_DATA_ACCEPTED,
        (Command::END_OF_DATA, _) => Effect::MAIL_DATA_REFUSED,
        // RFC 5321 section 4.1.1.10.
        (Command::QUIT, _) => Effect::QUIT_ANSWERED,
        _ => Effect::ANSWERED,
    }
}

/// Kinds of commands that may be waiting.
const KINDS: usize = 16;
/// Codes, and some that no three digits make.
const CODES: usize = 1024;

static EFFECTS: [Effect; KINDS * CODES] = {
    let mut table = [Effect::REMARK; KINDS * CODES];
    let mut i = 0;
    while i < KINDS * CODES {
        table[i] = effect(Command((i / CODES) as u8), (i % CODES) as u16);
        i += 1;
    }
    table
};

/// The same as [`effect`], from the table. `code` has three digits.
// verifier: one path, whatever was asked and answered.
#[inline(always)]
pub fn look_up<H: Opaque>(asked: Command, code: u16) -> Effect {
    EFFECTS[H::opaque(asked.0 as u32 * CODES as u32 + code as u32) as usize & (KINDS * CODES - 1)]
}

#[cfg(test)]
mod tests {
    use core::ops::RangeInclusive;

    use super::*;
    use crate::branchless::Plain;

    type Row = (Command, &'static [(RangeInclusive<u16>, Effect)]);

    const POSITIVE: RangeInclusive<u16> = 200..=299;
    const NEGATIVE: RangeInclusive<u16> = 400..=599;

    /// The replies that a command can have, and what they do.
    const CAN_HAVE: [Row; 16] = [
        // No command is waiting, but the server may give up (RFC 5321 section 3.8).
        (Command::NONE, &[(400..=499, Effect::GIVES_UP)]),
        // RFC 5321 section 4.3.2: positive or negative, and nothing else happens.
        (Command::PLAIN, &[(200..=599, Effect::ANSWERED)]),
        (Command::HELO, &[(POSITIVE, Effect::HELO_ACCEPTED), (300..=599, Effect::ANSWERED)]),
        (Command::EHLO, &[(POSITIVE, Effect::EHLO_ACCEPTED), (300..=599, Effect::ANSWERED)]),
        // The server has got HELO.
        (Command::DOWNGRADED, &[(POSITIVE, Effect::HELO_ACCEPTED), (300..=599, Effect::ANSWERED)]),
        // RFC 2033 section 4.1: as EHLO.
        (Command::LHLO, &[(POSITIVE, Effect::LHLO_ACCEPTED), (300..=599, Effect::ANSWERED)]),
        // RFC 5321 section 4.1.1.4: 354, or an error.
        (Command::DATA, &[(354..=354, Effect::MAIL_DATA_BEGINS), (NEGATIVE, Effect::DATA_REFUSED)]),
        // RFC 3207 section 4: 220, or an error.
        (Command::STARTTLS, &[(220..=220, Effect::TLS_BEGINS), (NEGATIVE, Effect::STARTTLS_REFUSED)]),
        // RFC 4954 section 4: 334 as often as the mechanism wants, then success or an error.
        (
            Command::AUTH,
            &[(334..=334, Effect::CHALLENGE), (POSITIVE, Effect::AUTH_ENDS), (NEGATIVE, Effect::AUTH_ENDS)],
        ),
        (
            Command::LOGIN,
            &[(334..=334, Effect::LOGIN_CHALLENGE), (POSITIVE, Effect::ANSWERED), (NEGATIVE, Effect::ANSWERED)],
        ),
        (Command::MAIL, &[(POSITIVE, Effect::MAIL_ACCEPTED), (300..=599, Effect::MAIL_REFUSED)]),
        (Command::RCPT, &[(POSITIVE, Effect::RCPT_ACCEPTED), (300..=599, Effect::ANSWERED)]),
        // RFC 3030 section 2: one reply for each chunk; that to the last one is for the mail.
        (Command::BDAT, &[(POSITIVE, Effect::CHUNK_ACCEPTED), (300..=599, Effect::CHUNK_REFUSED)]),
        (Command::BDAT_LAST, &[(POSITIVE, Effect::LAST_CHUNK_ACCEPTED), (300..=599, Effect::LAST_CHUNK_REFUSED)]),
        // RFC 5321 section 4.1.1.4: the end of mail data is answered as a command is.
        (Command::END_OF_DATA, &[(POSITIVE, Effect::MAIL_DATA_ACCEPTED), (300..=599, Effect::MAIL_DATA_REFUSED)]),
        (Command::QUIT, &[(200..=599, Effect::QUIT_ANSWERED)]),
    ];

    fn expected(asked: Command, code: u16) -> Effect {
        // RFC 5321 section 4.2: the first digit of a reply is 2 to 5.
        if !(200..=599).contains(&code) {
            return Effect::REMARK;
        }
        let (_, replies) = CAN_HAVE.iter().find(|(command, _)| *command == asked).unwrap();
        // RFC 5321 section 4.2.1: 3yz asks for more. 354 and 334 do so after particular commands alone.
        let asks =
            code == 354 && asked != Command::DATA || code == 334 && asked != Command::AUTH && asked != Command::LOGIN;
        let can_have = replies.iter().find(|(codes, _)| codes.contains(&code) && !asks);
        can_have.map_or_else(
            || match code {
                354 => Effect::UNASKED_MAIL_DATA,
                334 => Effect::UNASKED_CHALLENGE,
                _ => Effect::UNASKED,
            },
            |(_, effect)| *effect,
        )
    }

    #[test]
    fn every_reply_to_every_command_does_what_the_rfcs_say() {
        for asked in (0..16).map(Command) {
            for code in 0..1000 {
                let expected = expected(asked, code);
                assert_eq!(effect(asked, code), expected, "{code} to {asked:?}");
                assert_eq!(look_up::<Plain>(asked, code), expected, "{code} to {asked:?}");
            }
        }
    }

    #[test]
    fn a_reply_is_a_remark_or_unasked_or_answers() {
        for (asked, code) in (0..16).flat_map(|asked| (0..1000).map(move |code| (Command(asked), code))) {
            let effect = effect(asked, code);
            let other = effect == Effect::REMARK || effect == Effect::GIVES_UP;
            assert_eq!(u8::from(effect.answers()) + u8::from(effect.is_unasked()) + u8::from(other), 1);
            assert!(asked != Command::NONE || !effect.answers());
        }
    }

    /// Without its reply, nobody knows what comes after one of these (I3).
    #[test]
    fn a_wait_ends_with_a_reply_to_the_command_that_began_it() {
        const HELD: [Command; 4] = [Command::DATA, Command::STARTTLS, Command::AUTH, Command::LOGIN];
        for (asked, code) in (0..16).flat_map(|asked| (0..1000).map(move |code| (Command(asked), code))) {
            if effect(asked, code).ends_wait() {
                assert!(HELD.contains(&asked), "{code} to {asked:?}");
            }
        }
    }
}
