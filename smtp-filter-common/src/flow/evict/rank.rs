//! How soon an entry gives way, by what is known of it without its lock.

use crate::entry::{DEAD, FINISHED, HELLO, MAIL_DATA, REPLACED, RESET, SPOKE, TLS, TRANSACTION};

/// A connection that has been silent for so long has been given up, whatever its phase (RFC 5321 section 4.5.3.2: ten
/// minutes at most).
const LONG: u64 = 600 * 1_000_000_000;

/// Rank: it has ended.
const OVER: u64 = 0;

/// Rank: the client has said nothing.
const SILENT: u64 = 1;

/// Rank: silent for ten minutes.
pub const IDLE: u64 = 2;

/// Rank: the client has spoken, and the server has accepted no HELO.
const SPEAKING: u64 = 3;

/// Rank: the server has accepted HELO or EHLO.
const GREETED: u64 = 4;

/// Rank: in a transaction, or in TLS, where it cannot be known.
pub const BUSY: u64 = 5;

/// Rank: in mail data.
pub const SENDING: u64 = 6;

/// Bits of the time in a score; the rank is above them.
pub const TIME: u32 = 60;

/// How soon an entry gives way: the lowest score first.
#[inline(always)]
pub fn score(flags: u64, seen: u64, now: u64) -> u64 {
    // In TLS a FIN may be forged.
    let finished = flags & (FINISHED | TLS);
    let rank = if flags & (RESET | DEAD | REPLACED) != 0 || finished == FINISHED {
        OVER
    } else if flags & SPOKE == 0 {
        SILENT
    } else if now.saturating_sub(seen) > LONG || finished == FINISHED | TLS {
        IDLE
    } else if flags & MAIL_DATA != 0 {
        SENDING
    } else if flags & (TRANSACTION | TLS) != 0 {
        BUSY
    } else if flags & HELLO != 0 {
        GREETED
    } else {
        SPEAKING
    };
    rank << TIME | seen & ((1 << TIME) - 1)
}
