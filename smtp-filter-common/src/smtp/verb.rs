//! Which commands move the state.

use crate::word::Word;

/// A command whose reply moves nothing.
pub const PLAIN: u8 = 1;
/// HELO.
pub const HELO: u8 = 2;
/// EHLO.
pub const EHLO: u8 = 3;
/// DATA: 354 begins mail text (RFC 5321 section 4.1.1.4).
pub const DATA: u8 = 4;
/// STARTTLS: 220 begins TLS (RFC 3207 section 4).
pub const STARTTLS: u8 = 5;
/// AUTH, or an answer in its exchange: 334 asks for an answer (RFC 4954 section 4).
pub const AUTH: u8 = 6;
/// BDAT with a chunk (RFC 3030 section 2).
pub const BDAT: u8 = 7;
/// BDAT with the last chunk of a mail.
pub const BDAT_LAST: u8 = 8;
/// CRLF.CRLF, which is answered like a command.
pub const END_OF_DATA: u8 = 9;
/// QUIT.
pub const QUIT: u8 = 10;
/// EHLO that became HELO: who asked reads the reply for one to EHLO.
pub const DOWNGRADED: u8 = 11;
/// RCPT: those that the server takes are counted.
pub const RCPT: u8 = 12;
/// MAIL: begins that count anew.
pub const MAIL: u8 = 13;
/// A command whose success its client builds upon: that its mail was taken (BURL), that another's name holds for what
/// follows (XCLIENT, XFORWARD), that the roles are turned (ATRN, TURN), that data or TLS may follow (XEXCH50,
/// X-ANONYMOUSTLS). Waits like [`PLAIN`].
pub const CLAIM: u8 = 14;
/// A command that carries credentials as AUTH does (X-EXPS, XAUTH), and that a 334 may answer.
pub const LOGIN: u8 = 15;
/// PROXY: as the first line it is no command, but the header of the PROXY protocol, version 1, which nobody answers. Else it
/// waits like [`PLAIN`].
pub const PROXY: u8 = 17;
/// LHLO (RFC 2033 section 4.1). Where it waits it has the number of [`CLAIM`], which does not wait as such.
pub const LHLO: u8 = 16 | CLAIM;

/// The kind of a command.
#[inline(always)]
pub const fn kind(verb: Word) -> u8 {
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
        return if verb.high == X_ANONYMOUSTLS.high && verb.low == X_ANONYMOUSTLS.low { CLAIM } else { PLAIN };
    }
    match verb.low {
        L_HELO => HELO,
        L_EHLO => EHLO,
        L_DATA => DATA,
        L_STARTTLS => STARTTLS,
        L_AUTH => AUTH,
        L_BDAT => BDAT,
        L_QUIT => QUIT,
        L_RCPT => RCPT,
        L_MAIL => MAIL,
        L_LHLO => LHLO,
        L_PROXY => PROXY,
        L_BURL | L_ATRN | L_TURN | L_XCLIENT | L_XFORWARD | L_XEXCH50 => CLAIM,
        L_X_EXPS | L_XAUTH => LOGIN,
        _ => PLAIN,
    }
}
