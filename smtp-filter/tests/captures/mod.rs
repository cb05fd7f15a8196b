//! Dialogues as captures: frames, and the files that they are kept in.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod files;
mod talk;

pub use files::{Endian, LinkType, Ng, Pcap};
pub use talk::{Frame, Talk, dialogue, reassembled};
