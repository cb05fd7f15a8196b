//! Mail data: only its end matters (RFC 5321 section 4.1.1.4: the end of data is CRLF.CRLF alone).
//!
//! The state says how much of an end of data has been read. [`crate::session::scan`] reads bytes by this rule.

/// Within a line.
pub const MIDDLE: u8 = 0;

/// After CR.
pub const CR: u8 = 1;

/// At the start of a line.
pub const LINE: u8 = 2;

/// After a dot at the start of a line.
pub const DOT: u8 = 3;

/// After CR after that dot.
pub const DOT_CR: u8 = 4;

/// After the end of data.
pub const END: u8 = 5;

/// The rule: the state after a byte.
pub const fn next(state: u8, byte: u8) -> u8 {
    match (state, byte) {
        (END.., _) => END,
        (DOT_CR, b'\n') => END,
        (DOT, b'\r') => DOT_CR,
        (LINE, b'.') => DOT,
        (CR, b'\n') => LINE,
        (_, b'\r') => CR,
        _ => MIDDLE,
    }
}

/// The state after these four bytes (the last one highest), whatever was before them, provided that no end of data lies
/// among them.
#[inline(always)]
pub const fn state_after(last: u32) -> u8 {
    const FOUR: u32 = u32::from_le_bytes(*b"\r\n.\r");
    const THREE: u32 = u32::from_le_bytes(*b"\0\r\n.") >> 8;
    const TWO: u32 = u32::from_le_bytes(*b"\0\0\r\n") >> 16;
    if last == FOUR {
        DOT_CR
    } else if last >> 8 == THREE {
        DOT
    } else if last >> 16 == TWO {
        LINE
    } else if last >> 24 == b'\r' as u32 {
        CR
    } else {
        MIDDLE
    }
}

/// The state before these four bytes (the first one lowest) in which an end of data would be completed among them;
/// [`MIDDLE`] if there is none.
#[inline(always)]
pub const fn completes(first: u32) -> u8 {
    const DOT_LINE: u32 = u32::from_le_bytes(*b".\r\n\0");
    const LINE_END: u32 = u32::from_le_bytes(*b"\r\n\0\0");
    // At most one of the terms is not 0.
    (first & 0xff == b'\n' as u32) as u8 * DOT_CR
        + (first & 0xffff == LINE_END) as u8 * DOT
        + (first & 0x00ff_ffff == DOT_LINE) as u8 * LINE
}

/// Whether mail data that begins with these four bytes (the first one lowest) might complete an end of data that began
/// before it.
#[inline(always)]
pub const fn may_end(first: u32) -> bool {
    completes(first) != MIDDLE
}

/// Whether [`completes`] returns only one of two such states: after CR these four bytes end the mail data, too.
#[inline(always)]
pub const fn completes_another(first: u32) -> bool {
    first == u32::from_le_bytes(*b"\n.\r\n")
}
