//! Mail data: only its end matters (RFC 5321 section 4.1.1.4: the end of data is CRLF.CRLF alone).
//!
//! The state says how much of an end of data has been read. [`crate::session::scan`] reads bytes by this rule.

use crate::open::open_enum;

open_enum! {
    /// How much of an end of data precedes a position in mail data.
    pub struct State: u8 {
        /// Nothing: within a line.
        MIDDLE = 0;
        /// CR.
        CR = 1;
        /// CRLF: at the start of a line.
        LINE = 2;
        /// CRLF and a dot.
        DOT = 3;
        /// CRLF, a dot and CR.
        DOT_CR = 4;
        /// All of it: the mail data ends here.
        END = 5;
    }
}

impl State {
    /// No state: it is not known what precedes the position. A state that is looked up is never [`Self::END`], because
    /// no mail data follows an end of data; so the two share a number.
    pub const UNKNOWN: Self = Self::END;
}

/// The rule: the state after a byte.
pub const fn next(state: State, byte: u8) -> State {
    match (state, byte) {
        (State(5..), _) => State::END,
        (State::DOT_CR, b'\n') => State::END,
        (State::DOT, b'\r') => State::DOT_CR,
        (State::LINE, b'.') => State::DOT,
        (State::CR, b'\n') => State::LINE,
        (_, b'\r') => State::CR,
        _ => State::MIDDLE,
    }
}

/// The state after these four bytes (the last one highest), whatever was before them, provided that no end of data lies
/// among them.
#[inline(always)]
pub const fn state_after(last: u32) -> State {
    const FOUR: u32 = u32::from_le_bytes(*b"\r\n.\r");
    const THREE: u32 = u32::from_le_bytes(*b"\0\r\n.") >> 8;
    const TWO: u32 = u32::from_le_bytes(*b"\0\0\r\n") >> 16;
    if last == FOUR {
        State::DOT_CR
    } else if last >> 8 == THREE {
        State::DOT
    } else if last >> 16 == TWO {
        State::LINE
    } else if last >> 24 == b'\r' as u32 {
        State::CR
    } else {
        State::MIDDLE
    }
}

/// The state before these four bytes (the first one lowest) in which an end of data would be completed among them;
/// [`State::MIDDLE`] if there is none.
#[inline(always)]
pub const fn completes(first: u32) -> State {
    const DOT_LINE: u32 = u32::from_le_bytes(*b".\r\n\0");
    const LINE_END: u32 = u32::from_le_bytes(*b"\r\n\0\0");
    // At most one of the terms is not 0.
    State(
        (first & 0xff == b'\n' as u32) as u8 * State::DOT_CR.0
            + (first & 0xffff == LINE_END) as u8 * State::DOT.0
            + (first & 0x00ff_ffff == DOT_LINE) as u8 * State::LINE.0,
    )
}

/// Whether mail data that begins with these four bytes (the first one lowest) might complete an end of data that began
/// before it.
#[inline(always)]
pub const fn may_end(first: u32) -> bool {
    completes(first).0 != State::MIDDLE.0
}

/// Whether [`completes`] returns only one of two such states: after CR these four bytes end the mail data, too.
#[inline(always)]
pub const fn completes_another(first: u32) -> bool {
    first == u32::from_le_bytes(*b"\n.\r\n")
}
