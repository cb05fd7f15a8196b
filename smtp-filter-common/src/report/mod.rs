//! The output of a judgement: counters and events.

pub mod begin;
pub mod block;
pub mod command;
pub mod connection;
pub mod excerpt;
pub mod guard;
pub mod tally;

pub use self::{
    command::{banner, command, current_event, extension, report_all},
    connection::{close, connect},
    excerpt::{hide, offending, withhold},
    guard::guard,
    tally::Tally,
};
