//! State, counters and events in user space.

use core::sync::atomic::AtomicU64;
use std::{
    boxed::Box,
    collections::{HashMap, hash_map::Entry},
    vec::Vec,
};

use crate::{
    bounds::{self, CLIENT_WINDOW, HANDSHAKE_BLOCKS, POOL, SERVER_WINDOW},
    entry::{Connection, Shared, State, Windows},
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

    /// Makes an empty connection with its lock held, unless there is one. Returns its index, and whether it is new.
    pub(super) fn create(&mut self, key: &Key) -> Option<(usize, bool)> {
        let full = self.room != 0 && self.live.len() >= self.room;
        let vacancy = match self.live.entry(*key) {
            Entry::Occupied(entry) => return Some((*entry.get(), false)),
            Entry::Vacant(_) if full => return None,
            Entry::Vacant(vacancy) => vacancy,
        };
        let shared = Shared { lock: AtomicU64::new(1), ..Shared::default() };
        let windows = Windows { client: [0; CLIENT_WINDOW], server: [0; SERVER_WINDOW] };
        let fresh = Connection { shared, state: State::EMPTY, windows };
        // Without a bound, departed connections are kept for inspection: a replay has an end.
        let vacant = if self.room == 0 { None } else { self.vacant.pop().map(|(_, at)| at) };
        match vacant.and_then(|at| self.connections.get_mut(at)) {
            Some(place) => *place = fresh,
            None => self.connections.push(fresh),
        }
        Some((*vacancy.insert(vacant.unwrap_or(self.connections.len() - 1)), true))
    }
}
