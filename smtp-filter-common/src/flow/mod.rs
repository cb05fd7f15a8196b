//! Which connection a segment belongs to, and what becomes of that connection.

pub mod after_reset;
pub mod begin;
pub mod bloom;
pub mod end;
pub mod evict;
pub mod find;
pub mod gone;
pub mod half_open;
pub mod handshake;
pub mod handshakes_seen;
pub mod key;
pub mod late;
pub mod lifecycle;
pub mod live;
pub mod lock;
pub mod owner;
pub mod peer;
pub mod ports;
pub mod promote;
pub mod stranger;
pub mod tls;

pub use half_open::{HalfOpen, WINDOW};
pub use key::Key;

pub use crate::wire::NO_SCALE;
