//! A random sample of a full table.

use crate::flow::Key;

/// Entries that are drawn. A power of two.
pub const SAMPLE: usize = 64;

/// No slot of the roster.
pub const NOWHERE: u32 = u32::MAX;

/// The score of no entry.
pub const NOBODY: u64 = u64::MAX;

/// The sample that was drawn.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The [`owner`](crate::flow::owner::owner) of each entry; 0: none was drawn.
    pub owner: [u64; SAMPLE],
    /// Rank and time: the lowest score goes first.
    pub score: [u64; SAMPLE],
    /// Slot in the roster.
    pub slot: [u32; SAMPLE],
    /// The key being looked at.
    pub key: Key,
    /// A slot of the roster that is free.
    pub free: u32,
    /// The lowest score so far.
    pub best: u64,
    /// Its index.
    pub best_at: u32,
    /// Entries drawn.
    pub all: u32,
    /// Those of the newcomer's address.
    pub own: u32,
    /// Those of the address being looked at.
    pub count: u32,
}

impl Sample {
    /// Nothing drawn.
    pub const EMPTY: Self = Self {
        owner: [0; SAMPLE],
        score: [0; SAMPLE],
        slot: [0; SAMPLE],
        key: Key::EMPTY,
        free: NOWHERE,
        best: NOBODY,
        best_at: 0,
        all: 0,
        own: 0,
        count: 0,
    };
}
