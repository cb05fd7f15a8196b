//! Dialogues as captures: frames, and the files that they are kept in.

mod files;
mod recording;
mod streams;

pub use files::{Endian, LinkType, Ng, Pcap};
pub use recording::{Frame, Recording, dialogue};
pub use streams::reassembled;
