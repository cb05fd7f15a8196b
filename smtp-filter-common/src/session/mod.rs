//! The SMTP automaton: bytes in, facts out.

mod auth;
pub mod bdat;
pub mod begins;
pub mod client;
mod command;
pub mod data;
pub mod effect;
mod keyword;
pub mod line;
pub mod monitor;
pub mod pending;
pub mod proxy;
pub mod reading;
pub mod reply;
pub mod reply_line;
pub mod scan;
pub mod server;
pub mod several;
pub mod state;
mod unfinished;
pub mod verb;
mod wait;

pub use self::state::Mode;
