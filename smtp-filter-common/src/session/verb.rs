//! Which commands move the state.

use crate::{open::open_enum, word::Word};

open_enum! {
    /// What a command does to the dialogue. Not 0: 0 is no command.
    pub struct Command: u8 {
        /// None.
        NONE = 0;
        /// A command whose reply moves nothing.
        PLAIN = 1;
        /// HELO.
        HELO = 2;
        /// EHLO.
        EHLO = 3;
        /// DATA: 354 begins mail data (RFC 5321 section 4.1.1.4).
        DATA = 4;
        /// STARTTLS: 220 begins TLS (RFC 3207 section 4).
        STARTTLS = 5;
        /// AUTH, or an answer in its exchange: 334 asks for an answer (RFC 4954 section 4).
        AUTH = 6;
        /// BDAT with a chunk (RFC 3030 section 2).
        BDAT = 7;
        /// BDAT with the last chunk of a mail.
        BDAT_LAST = 8;
        /// CRLF.CRLF, which is answered like a command.
        END_OF_DATA = 9;
        /// QUIT.
        QUIT = 10;
        /// EHLO that became HELO: its client reads the reply as one to EHLO.
        DOWNGRADED = 11;
        /// RCPT: those that the server takes are counted.
        RCPT = 12;
        /// MAIL: restarts that count.
        MAIL = 13;
        /// LHLO (RFC 2033 section 4.1).
        LHLO = 14;
        /// A command that carries credentials as AUTH does (X-EXPS, XAUTH), and that may be answered by 334.
        LOGIN = 15;
        /// A command whose client relies on its success: that its mail was taken (BURL), that another name holds for
        /// what follows (XCLIENT, XFORWARD), that the roles are turned (ATRN, TURN), that data or TLS may follow
        /// (XEXCH50, X-ANONYMOUSTLS). Waits like [`Self::PLAIN`].
        CLAIM = 16;
        /// PROXY. As the first line it is not a command but the header of the PROXY protocol, version 1, and gets no
        /// reply. Otherwise it waits like [`Self::PLAIN`].
        PROXY = 17;
    }
}

impl Command {
    /// Whether its client would take a 250 for its success: so NOOP must not replace it.
    #[inline(always)]
    pub const fn is_built_upon(self) -> bool {
        matches!(self, Self::DATA | Self::STARTTLS | Self::AUTH | Self::BDAT | Self::CLAIM | Self::LOGIN)
    }

    /// This one if `condition` is 1, [`Self::NONE`] if it is 0.
    // verifier: without a branch, because it would walk both sides to the end.
    #[inline(always)]
    pub const fn when(self, condition: u8) -> Self {
        Self(self.0 * condition)
    }
}

/// What a command with this verb does.
#[inline(always)]
pub const fn kind(verb: Word) -> Command {
    const fn low(text: &str) -> u64 {
        Word::of(text).low
    }
    const L_HELO: u64 = low("HELO");
    const L_EHLO: u64 = low("EHLO");
    const L_DATA: u64 = low("DATA");
    const L_STARTTLS: u64 = low("STARTTLS");
    const L_AUTH: u64 = low("AUTH");
    const L_BDAT: u64 = low("BDAT");
    const L_QUIT: u64 = low("QUIT");
    const L_RCPT: u64 = low("RCPT");
    const L_MAIL: u64 = low("MAIL");
    const L_LHLO: u64 = low("LHLO");
    const L_PROXY: u64 = low("PROXY");
    const L_BURL: u64 = low("BURL");
    const L_ATRN: u64 = low("ATRN");
    const L_TURN: u64 = low("TURN");
    const L_XCLIENT: u64 = low("XCLIENT");
    const L_XFORWARD: u64 = low("XFORWARD");
    const L_XEXCH50: u64 = low("XEXCH50");
    const L_X_EXPS: u64 = low("X-EXPS");
    const L_XAUTH: u64 = low("XAUTH");
    const X_ANONYMOUSTLS: Word = Word::of("X-ANONYMOUSTLS");
    if verb.high != 0 {
        let same = verb.high == X_ANONYMOUSTLS.high && verb.low == X_ANONYMOUSTLS.low;
        return if same { Command::CLAIM } else { Command::PLAIN };
    }
    match verb.low {
        L_HELO => Command::HELO,
        L_EHLO => Command::EHLO,
        L_DATA => Command::DATA,
        L_STARTTLS => Command::STARTTLS,
        L_AUTH => Command::AUTH,
        L_BDAT => Command::BDAT,
        L_QUIT => Command::QUIT,
        L_RCPT => Command::RCPT,
        L_MAIL => Command::MAIL,
        L_LHLO => Command::LHLO,
        L_PROXY => Command::PROXY,
        L_BURL | L_ATRN | L_TURN | L_XCLIENT | L_XFORWARD | L_XEXCH50 => Command::CLAIM,
        L_X_EXPS | L_XAUTH => Command::LOGIN,
        _ => Command::PLAIN,
    }
}
