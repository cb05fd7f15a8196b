//! A line of a reply: code, separator, text (RFC 5321 section 4.2).

use crate::{
    entry::Line,
    host::Host,
    session::{reply, verb::Command},
    word::Word,
    work::Work,
};

/// Bytes of code and separator, before the text of a reply line.
pub const BEFORE: u32 = 4;

/// The code and the separator of a reply line; `None` if it does not begin with three digits.
#[inline(always)]
const fn code(line: &Line) -> Option<(u16, u8)> {
    // A line with a code alone has no separator, but perhaps a CR in its position. The length includes the LF.
    let (head, separator) = match line.length {
        0..4 => return None,
        4 => (line.head, b' '),
        _ => (line.head >> 8, line.head as u8),
    };
    let hundreds = (head >> 16 & 0xff).wrapping_sub(b'0' as u32);
    let tens = (head >> 8 & 0xff).wrapping_sub(b'0' as u32);
    let ones = (head & 0xff).wrapping_sub(b'0' as u32);
    if hundreds > 9 || tens > 9 || ones > 9 {
        return None;
    }
    Some(((hundreds * 100 + tens * 10 + ones) as u16, separator))
}

/// A whole reply line has been read (RFC 5321 section 4.2).
#[inline(always)]
pub(super) fn read<H: Host>(work: &mut Work, line: &Line) {
    const CHUNKING: Word = Word::of("CHUNKING");
    let Some((code, separator)) = code(line) else { return };
    let first = work.state.session.reply == 0;
    if first {
        work.state.session.reply = code;
    }
    // RFC 5321 section 4.1.1.1: the first line of the reply to EHLO names the server, the others keywords.
    if work.state.session.answered() == Command::EHLO && work.state.session.greeted != 0 {
        let name = line.name();
        let offered = !first && name.high == CHUNKING.high && name.low == CHUNKING.low;
        work.state.session.offers = if first { 0 } else { work.state.session.offers | offered as u8 };
    }
    if separator != b'-' {
        work.state.session.reply = 0;
        reply::read::<H>(work, code);
    }
}
