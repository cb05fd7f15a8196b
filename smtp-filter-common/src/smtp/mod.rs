//! The SMTP automaton: bytes in, facts out.

pub mod banner;
pub mod bdat;
pub mod begins;
pub mod client;
pub mod line;
pub mod monitor;
pub mod pending;
pub mod proxy;
pub mod replies;
pub mod rewrite;
pub mod server;
pub mod text;
pub mod verb;

/// `Session::mode`: the client's next byte belongs to a command.
pub const COMMAND: u8 = 0;
/// `Session::mode`: to mail text, between 354 and CRLF.CRLF.
pub const TEXT: u8 = 1;
/// `Session::mode`: to a BDAT chunk.
pub const CHUNK: u8 = 2;
/// `Session::mode`: to an answer of an AUTH exchange.
pub const AUTH_LINE: u8 = 3;
/// `Session::mode`: to TLS.
pub const TLS: u8 = 4;
/// `Session::mode`: to the chunk of a masked BDAT, which becomes the rest of its line.
pub const MASKED_CHUNK: u8 = 5;
/// Kind of a region alone: BDAT lines and their chunks (see [`crate::tcp::chunks`]).
pub const CHUNKS: u8 = 6;
