//! The SMTP automaton: bytes in, facts out.

pub mod bdat;
pub mod begins;
pub mod client;
mod command;
pub mod data;
mod keyword;
pub mod line;
pub mod monitor;
pub mod pending;
pub mod proxy;
pub mod reading;
pub mod replies;
pub mod reply;
pub mod reply_line;
pub mod scan;
pub mod server;
mod unfinished;
pub mod verb;
mod wait;

use crate::open::open_enum;

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
