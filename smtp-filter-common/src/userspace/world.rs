//! State, counters and events in user space.

use core::sync::atomic::AtomicU64;
use std::{boxed::Box, collections::HashMap, vec::Vec};

use crate::{
    bounds::{self, HANDSHAKE_BLOCKS, POOL},
    entry::Connection,
    event::Event,
    flow::{HalfOpen, Key, bloom::Block, gone::Gone},
    host::{List, Wide},
    reason::{COUNTERS_PER_REASON, Counter, REASONS},
    work::Work,
};

/// What the kernel keeps in maps. Nothing is evicted, because a replay has an end, unless it was made with
/// [`World::with_room`].
#[derive(Debug)]
pub struct World {
    /// Events that have not been taken yet, oldest first.
    pub events: Vec<Event>,
    /// Connections made live.
    pub opened: u64,
    /// Connections seen to end.
    pub closed: u64,
    /// Whether the last frame, if it passed, carries the policy's skb mark.
    pub marked: bool,
    /// The last frame from its network header on, if it was rewritten.
    pub(super) rewritten: Option<Vec<u8>>,
    pub(super) live: HashMap<Key, usize>,
    pub(super) connections: Vec<Connection>,
    /// Slots of `connections` whose connection has left.
    pub(super) vacant: Vec<(Key, usize)>,
    /// Connections for which there is room; 0: for any number.
    pub(super) room: usize,
    pub(super) roster: Vec<Key>,
    pub(super) gone: HashMap<Key, Gone>,
    pub(super) handshakes_seen: Vec<Block>,
    pub(super) dice: u64,
    pub(super) half: HashMap<Key, HalfOpen>,
    /// The shared pool: the owners of its slots, and their contents.
    pub(super) owners: Vec<AtomicU64>,
    pub(super) wide: HashMap<u32, Box<Wide>>,
    pub(super) lists: HashMap<u32, Box<List>>,
    pub(super) counters: Vec<Counter>,
    pub(super) connection: u64,
    pub(super) work: Box<Work>,
    /// Replaces `work` while that is in use.
    pub(super) spare: Option<Box<Work>>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Empty.
    pub fn new() -> Self {
        Self {
            events: Vec::new(),
            opened: 0,
            closed: 0,
            marked: false,
            rewritten: None,
            live: HashMap::new(),
            connections: Vec::new(),
            vacant: Vec::new(),
            room: 0,
            // One slot that is never taken: without eviction no others are needed.
            roster: std::vec![Key::default()],
            gone: HashMap::new(),
            handshakes_seen: (0..HANDSHAKE_BLOCKS).map(|_| Block::default()).collect(),
            dice: 0x9e37_79b9_7f4a_7c15,
            half: HashMap::new(),
            owners: (0..POOL).map(|_| AtomicU64::new(0)).collect(),
            wide: HashMap::new(),
            lists: HashMap::new(),
            counters: std::vec![Counter::default(); (REASONS * COUNTERS_PER_REASON) as usize],
            connection: 0,
            work: Box::new(Work::new()),
            spare: None,
        }
    }

    /// Empty, with room for so many live connections.
    pub fn with_room(connections: u32) -> Self {
        let roster = bounds::roster(connections) as usize;
        Self { room: connections as usize, roster: std::vec![Key::default(); roster], ..Self::new() }
    }
}
