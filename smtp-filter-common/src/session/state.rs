//! The state of the dialogue, in [`crate::entry::Session`].
//!
//! **What the client's next byte belongs to** ([`Mode`]). Replies of the server move it, and so does the end of what
//! the client sends; a command alone does not (I3), except BDAT, whose chunk follows at once (RFC 3030 section 2).
//!
//! ```text
//!                                 +---------------+
//!                                 | AUTH_EXCHANGE |
//!                                 +---------------+
//!              334 to AUTH, or to a    ^      |
//!              command like it         |      |  one line
//!                                      |      v
//!  +-----------+   354 to DATA    +---------------+   BDAT n           +--------------+
//!  |           | <--------------- |               | -----------------> |    CHUNK     |
//!  | MAIL_DATA |                  |               | <----------------- +--------------+
//!  |           | ---------------> |    COMMAND    |   n octets
//!  +-----------+   CRLF.CRLF      |               |   masked BDAT n    +--------------+
//!                                 |               | -----------------> | MASKED_CHUNK |
//!                                 |               | <----------------- +--------------+
//!                                 +---------------+   n octets
//!                                         |
//!                                         |  220 to STARTTLS
//!                                         v
//!                                 +---------------+
//!                                 |      TLS      |  to the connection's end
//!                                 +---------------+
//! ```
//!
//! **Whether it may be read at all** (`Session::hold`). Between a command that may change the mode and its reply,
//! nobody but the server knows what the client's bytes are, so they are held back:
//!
//! ```text
//!              DATA, STARTTLS, AUTH, an answer in the exchange,
//!              a BDAT that is not known to have a chunk
//!   NONE  ------------------------------------------------------>  that command
//!         <------------------------------------------------------
//!              its reply: see [`super::effect`]
//! ```
//!
//! A reply that answers nothing, but says what comes next (354, 334), holds them back, too. In mode `monitor` they are
//! read nevertheless, as what is most likely: see [`super::monitor`].
//!
//! **Which session it is** ([`Hello`]): none until the server accepts HELO or EHLO; each accepted one begins another.
//!
//! **What is waiting for a reply**: see [`super::pending`]. What the reply does is the table of [`super::effect`].

use core::ops::{BitOr, BitOrAssign};

use crate::{event::Ended, open::open_enum};

open_enum! {
    /// What the client's next byte belongs to; and what the bytes of a region are (see [`crate::stream::regions`]).
    pub struct Mode: u8 {
        /// A command.
        COMMAND = 0;
        /// Mail data, between 354 and CRLF.CRLF.
        MAIL_DATA = 1;
        /// A BDAT chunk.
        CHUNK = 2;
        /// An answer in an AUTH exchange.
        AUTH_EXCHANGE = 3;
        /// TLS.
        TLS = 4;
        /// The chunk of a masked BDAT, which becomes the rest of its line.
        MASKED_CHUNK = 5;
        /// Of a region alone: BDAT lines and their chunks (see [`crate::stream::chunks`]).
        CHUNKS = 6;
    }
}

impl Mode {
    /// What a dialogue begins with.
    pub const FIRST: Self = Self::COMMAND;
}

open_enum! {
    /// How the session began: by the last greeting of the client that the server accepted.
    pub struct Hello: u8 {
        /// Not yet.
        NONE = 0;
        /// HELO.
        HELO = 1;
        /// EHLO.
        EHLO = 2;
    }
}

open_enum! {
    /// How the server ends the session. Added to [`Ended::Fin`] it gives the [`Ended`] of a connection that both sides
    /// then close.
    pub struct End: u8 {
        /// Not at all.
        NONE = 0;
        /// It has answered QUIT.
        BY_QUIT = 1;
        /// It has said 421 (RFC 5321 section 3.8).
        BY_SERVER = 2;
    }
}

const _: () = {
    assert!(Ended::Fin as u8 + End::BY_QUIT.0 == Ended::Quit as u8);
    assert!(Ended::Fin as u8 + End::BY_SERVER.0 == Ended::Refused as u8);
};

open_enum! {
    /// In mode `monitor`: how unreliable the client's next line is. A set of the values below.
    pub struct Doubt: u8 {
        /// Not at all.
        NONE = 0;
        /// The line may be the rest of one that began in a gap.
        LINE = 1;
        /// The next bytes may belong to a chunk, so a segment is read only if it begins with a command.
        SEGMENT = 2;
        /// Lines of a mail that was refused after it had been sent get replies, and there may be any number of them.
        REPLIES = 4;
    }
}

impl Doubt {
    /// Whether all of `other` is in it.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in both.
    #[inline(always)]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is not in `other`.
    #[inline(always)]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// This one if `condition` is 1, [`Self::NONE`] if it is 0.
    // verifier: without a branch, because it would walk both sides to the end.
    #[inline(always)]
    pub const fn when(self, condition: u8) -> Self {
        Self(self.0 * condition)
    }
}

impl BitOr for Doubt {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Doubt {
    #[inline(always)]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
