//! The sequence discipline: which bytes of a segment are new, retransmitted, out of order or impossible.

pub mod acceptable;
pub mod backlog;
mod begin_region;
pub mod boundaries;
pub mod chunks;
pub mod client;
pub mod commit;
pub mod facts;
pub mod gap;
pub mod identical;
pub mod in_segment;
pub mod normalise;
pub mod out_of_order;
pub mod pieces;
pub mod pool;
pub mod read;
pub mod regions;
pub mod retransmission;
pub mod server;
pub mod slots;
pub mod sorted;
pub mod unread;
pub mod window;
