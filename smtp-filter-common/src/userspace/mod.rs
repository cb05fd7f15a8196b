//! The datapath's environment in user space: bytes from a slice, state in hash tables. Tests and replays run on it the
//! code that the kernel runs on its maps.

mod checksum;
mod frame;
mod hook;
mod inspect;
mod judge;
mod parts;
mod patch;
mod reset;
mod world;

pub use frame::SliceFrame;
pub use reset::{Resets, resets};
pub use world::World;
