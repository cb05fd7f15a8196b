//! State, counters and events, and the path of a frame through the datapath.

use core::sync::atomic::{AtomicU64, Ordering};
use std::{
    boxed::Box,
    collections::{HashMap, hash_map},
    vec::Vec,
};

use super::{
    checksum,
    frame::{SliceFrame, run_steps},
};
use crate::{
    action::Action,
    bounds::{self, CLIENT_WINDOW, HANDSHAKE_BLOCKS, POOL, SERVER_WINDOW, WIDE_WINDOW},
    entry::{Connection, Shared, State, Windows},
    event::Event,
    flow::{HalfOpen, Key, bloom::Block, gone::Gone, promote},
    host::{Host, List, Patch, Piece, Step, Wide},
    judge,
    met::Met,
    reason::{COUNTERS_PER_REASON, Counter, REASONS, counter},
    scope::Policies,
    seq::Seq,
    session::data,
    stream::{
        boundaries::{self, lookup},
        sorted,
    },
    verdict::Verdict,
    wire,
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
    rewritten: Option<Vec<u8>>,
    live: HashMap<Key, usize>,
    connections: Vec<Connection>,
    /// Slots of `connections` whose connection has left.
    vacant: Vec<(Key, usize)>,
    /// Connections for which there is room; 0: for any number.
    room: usize,
    roster: Vec<Key>,
    gone: HashMap<Key, Gone>,
    handshakes_seen: Vec<Block>,
    dice: u64,
    half: HashMap<Key, HalfOpen>,
    /// The shared pool: the owners of its slots, and their contents.
    owners: Vec<AtomicU64>,
    wide: HashMap<u32, Box<Wide>>,
    lists: HashMap<u32, Box<List>>,
    counters: Vec<Counter>,
    connection: u64,
    work: Box<Work>,
    /// Replaces `work` while that is in use.
    spare: Option<Box<Work>>,
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

    /// Judges a frame, as the program at the hook does.
    pub fn frame<P: Policies>(&mut self, policies: &P, frame: SliceFrame<'_>, met: Met) -> Verdict {
        // Nothing is filtered before there is a policy.
        let Some(whole) = policies.of_scope(0) else { return Verdict::Pass };
        let spare = self.spare.take().unwrap_or_else(|| Box::new(Work::new()));
        let mut work = core::mem::replace(&mut self.work, spare);
        let kind = wire::read(&frame, whole, &mut work.segment);
        let (payload, header) = (work.segment.payload, work.segment.header);
        self.rewritten = None;
        let verdict = judge::judge(
            &mut Hook { world: self, frame, payload, header, entry: None },
            policies,
            &mut work,
            kind,
            met,
        )
        .unwrap_or(Verdict::Drop);
        self.marked = verdict == Verdict::Pass && work.marked != 0;
        self.spare = Some(core::mem::replace(&mut self.work, work));
        verdict
    }

    /// The last frame from its network header on, if it was rewritten.
    pub fn rewritten(&self) -> Option<&[u8]> {
        self.rewritten.as_deref()
    }

    /// The last judgement: the facts of the segment and the state of its connection, from which a RST is made.
    pub const fn last(&self) -> &Work {
        &self.work
    }

    /// The counter of a reason and an action, enforced or not.
    pub fn counter(&self, reason: u16, action: Action, enforced: bool) -> Counter {
        self.counters.get(counter(reason, action as u8, enforced) as usize).copied().unwrap_or_default()
    }

    /// Everything that was counted for a reason.
    pub fn counted(&self, reason: u16) -> Counter {
        let mut sum = Counter::default();
        for action in Action::ALL {
            for enforced in [false, true] {
                let one = self.counter(reason, action, enforced);
                sum.segments += one.segments;
                sum.bytes += one.bytes;
            }
        }
        sum
    }

    /// A live connection.
    pub fn connection(&self, key: &Key) -> Option<&Connection> {
        self.live.get(key).and_then(|at| self.connections.get(*at))
    }

    /// Connections that have left the table, in that order, as they were then.
    pub fn left(&self) -> impl Iterator<Item = (&Key, &Connection)> {
        self.vacant.iter().filter_map(|(key, at)| Some((key, self.connections.get(*at)?)))
    }

    /// Sets the owner's word of all slots of the shared pool: 0 means free.
    pub fn fill_pool(&mut self, owner: u64) {
        for place in &self.owners {
            place.store(owner, Ordering::Relaxed);
        }
    }

    /// A live connection, for a test that begins in the middle of one.
    pub fn connection_mut(&mut self, key: &Key) -> Option<&mut Connection> {
        self.live.get(key).copied().and_then(|at| self.connections.get_mut(at))
    }

    /// Forgets all connections and events, but not which connections began. Counters are kept.
    pub fn forget(&mut self) {
        self.events.clear();
        self.live.clear();
        self.connections.clear();
        self.vacant.clear();
        self.gone.clear();
        self.half.clear();
        self.fill_pool(0);
        self.wide.clear();
        self.lists.clear();
    }

    /// Live connections.
    pub fn connections(&self) -> impl Iterator<Item = (&Key, &Connection)> {
        self.live.iter().filter_map(|(key, at)| Some((key, self.connections.get(*at)?)))
    }

    /// Whether a live connection is in its slot of the roster.
    pub fn is_enrolled(&self, key: &Key) -> bool {
        let slot = self.connection(key).map(|connection| connection.shared.slot.load(Ordering::Relaxed));
        slot.and_then(|slot| self.roster.get(slot as usize)) == Some(key)
    }

    /// What is remembered of a connection that has left the live table.
    pub fn gone(&self, key: &Key) -> Option<&Gone> {
        self.gone.get(key)
    }

    /// Forgets the connections that have left the live table, as if their table had been reused.
    pub fn forget_gone(&mut self) {
        self.gone.clear();
    }

    /// Forgets the half-open connections, as if their table had been reused.
    pub fn forget_half_open(&mut self) {
        self.half.clear();
    }

    /// A connection before it is live.
    pub fn half_open(&self, key: &Key) -> Option<&HalfOpen> {
        self.half.get(key)
    }
}

/// A frame at one of the world's hooks.
struct Hook<'a> {
    world: &'a mut World,
    frame: SliceFrame<'a>,
    /// Offset of the payload from the network header.
    payload: u32,
    /// Offset of the TCP header from there.
    header: u32,
    /// The connection that was found.
    entry: Option<Entry>,
}

/// Index of a connection: none is removed while a frame is judged.
#[derive(Clone, Copy)]
struct Entry(usize);

impl Hook<'_> {
    /// Payload in its present form.
    fn bytes(&self, offset: u32, length: u32) -> Option<&[u8]> {
        let at = self.payload.checked_add(offset)?;
        match &self.world.rewritten {
            Some(network) => network.get(at as usize..at.checked_add(length)? as usize),
            None => self.frame.bytes(at, length),
        }
    }
}

/// Copies bytes into words; `false` if there is no room.
fn fill_words(words: &mut [u64], bytes: &[u8]) -> bool {
    if bytes.len() > words.len() * 8 {
        return false;
    }
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = word.to_le_bytes();
        for (place, byte) in whole.iter_mut().zip(bytes) {
            *place = *byte;
        }
        *word = u64::from_le_bytes(whole);
    }
    true
}

impl Host for Hook<'_> {
    type Entry = Entry;

    fn run_steps<S: Step>(count: u32, step: &mut S) {
        run_steps(count, step);
    }

    fn load(place: &AtomicU64) -> u64 {
        place.load(Ordering::Acquire)
    }

    fn store(place: &AtomicU64, value: u64) {
        place.store(value, Ordering::Release);
    }

    fn compare_exchange(place: &AtomicU64, old: u64, new: u64) -> bool {
        place.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn publish(place: &AtomicU64, value: u64) {
        place.store(value, Ordering::Release);
    }

    fn set(place: &AtomicU64, bits: u64) {
        place.fetch_or(bits, Ordering::AcqRel);
    }

    fn retain(place: &AtomicU64, bits: u64) {
        place.fetch_and(bits, Ordering::AcqRel);
    }

    fn opaque(value: u32) -> u32 {
        value
    }

    fn fetch(&mut self, offset: u32, length: u32, piece: &mut Piece) -> bool {
        let Some(bytes) = self.bytes(offset, length) else { return false };
        let (_, room) = piece.split_at_mut(1);
        fill_words(room, bytes)
    }

    fn fetch_patch(&mut self, offset: u32, length: u32, patch: &mut Patch) -> bool {
        let Some(bytes) = self.bytes(offset, length) else { return false };
        fill_words(patch, bytes)
    }

    fn replace(&mut self, offset: u32, length: u32, old: &Patch, new: &Patch) -> bool {
        let network = self.world.rewritten.get_or_insert_with(|| self.frame.network().to_vec());
        let at = self.payload.wrapping_add(offset) as usize;
        let Some(place) = network.get_mut(at..at + length as usize) else { return false };
        for (byte, new) in place.iter_mut().zip(new.iter().flat_map(|word| word.to_le_bytes())) {
            *byte = new;
        }
        let check = self.header as usize + checksum::OFFSET;
        let Some([high, low]) = network.get_mut(check..check + 2) else { return false };
        let words = length.div_ceil(8) as usize;
        let corrected = checksum::correct(u16::from_be_bytes([*high, *low]), old.iter().zip(new).take(words));
        [*high, *low] = corrected.to_be_bytes();
        true
    }

    fn carried(&mut self) -> u8 {
        self.frame.carried()
    }

    fn sum(&mut self, length: u32, _: &mut Piece) -> Option<u16> {
        self.frame.bytes(self.header, length).map(checksum::sum)
    }

    /// Numbers the connections: a replay gives the same output each time.
    fn random(&mut self) -> u64 {
        self.world.connection += 1;
        self.world.connection
    }

    fn count(&mut self, counter: u32, segments: u32, bytes: u32) {
        if let Some(counter) = self.world.counters.get_mut(counter as usize) {
            counter.segments += u64::from(segments);
            counter.bytes += u64::from(bytes);
        }
    }

    fn emit(&mut self, event: &Event) {
        self.world.events.push(*event);
    }

    fn opened(&mut self) {
        self.world.opened += 1;
    }

    fn closed(&mut self) {
        self.world.closed += 1;
    }

    fn half_open(&mut self, key: &Key, half: &mut HalfOpen) -> bool {
        let Some(found) = self.world.half.get(key) else { return false };
        *half = *found;
        true
    }

    fn keep_half_open(&mut self, key: &Key, half: &HalfOpen) -> bool {
        self.world.half.insert(*key, *half);
        true
    }

    fn forget_half_open(&mut self, key: &Key) {
        self.world.half.remove(key);
    }

    fn find(&mut self, key: &Key) -> Option<Entry> {
        let found = self.world.live.get(key).copied().map(Entry);
        self.entry = found.or(self.entry);
        found
    }

    fn gone(&mut self, key: &Key, gone: &mut Gone) -> bool {
        let Some(found) = self.world.gone.get(key) else { return false };
        *gone = *found;
        true
    }

    fn bury(&mut self, key: &Key, gone: &Gone) {
        self.world.gone.insert(*key, *gone);
    }

    fn unbury(&mut self, key: &Key) {
        self.world.gone.remove(key);
    }

    fn handshakes_seen(&mut self, block: u32) -> Option<&Block> {
        self.world.handshakes_seen.get(block as usize)
    }

    fn draw(&mut self) -> u32 {
        // Xorshift (Marsaglia 2003), for the same numbers each time.
        let dice = &mut self.world.dice;
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        (*dice >> 32) as u32
    }

    fn slots(&self) -> u32 {
        self.world.roster.len() as u32
    }

    fn roster(&mut self, slot: u32, key: &mut Key) -> bool {
        let Some(found) = self.world.roster.get(slot as usize) else { return false };
        *key = *found;
        true
    }

    fn enroll(&mut self, slot: u32, key: &Key) {
        if self.world.room != 0
            && let Some(place) = self.world.roster.get_mut(slot as usize)
        {
            *place = *key;
        }
    }

    fn remove(&mut self, key: &Key) {
        self.world.vacant.extend(self.world.live.remove(key).map(|at| (*key, at)));
        self.entry = None;
    }

    fn create(&mut self, key: &Key) -> Option<(Entry, bool)> {
        let full = self.world.room != 0 && self.world.live.len() >= self.world.room;
        let shared = Shared { lock: AtomicU64::new(1), ..Shared::default() };
        let windows = Windows { client: [0; CLIENT_WINDOW], server: [0; SERVER_WINDOW] };
        let made = match self.world.live.entry(*key) {
            hash_map::Entry::Occupied(entry) => {
                let found = Entry(*entry.get());
                self.entry = Some(found);
                return Some((found, false));
            }
            hash_map::Entry::Vacant(_) if full => return None,
            hash_map::Entry::Vacant(entry) => {
                let fresh = Connection { shared, state: State::EMPTY, windows };
                // Without a bound, departed connections are kept for inspection: a replay has an end.
                let vacant = if self.world.room == 0 { None } else { self.world.vacant.pop().map(|(_, at)| at) };
                match vacant.and_then(|at| self.world.connections.get_mut(at)) {
                    Some(place) => *place = fresh,
                    None => self.world.connections.push(fresh),
                }
                Entry(*entry.insert(vacant.unwrap_or(self.world.connections.len() - 1)))
            }
        };
        self.entry = Some(made);
        Some((made, true))
    }

    fn found(&self) -> Option<Entry> {
        self.entry
    }

    fn shared(&self, Entry(at): Entry) -> &Shared {
        &self.world.connections[at].shared
    }

    fn load_state(&mut self, Entry(at): Entry, state: &mut State) {
        *state = self.world.connections[at].state;
    }

    fn save_state(&mut self, Entry(at): Entry, state: &State) {
        self.world.connections[at].state = *state;
    }

    fn windows(&mut self) -> Option<&mut Windows> {
        let Entry(at) = self.entry?;
        Some(&mut self.world.connections[at].windows)
    }

    fn owner(&self, slot: u32) -> Option<&AtomicU64> {
        self.world.owners.get(slot as usize)
    }

    fn wide(&mut self, slot: u32) -> Option<&mut Wide> {
        ((slot as usize) < self.world.owners.len())
            .then(|| self.world.wide.entry(slot).or_insert_with(|| Box::new([0; WIDE_WINDOW])).as_mut())
    }

    fn list(&mut self, slot: u32) -> Option<&mut List> {
        ((slot as usize) < self.world.owners.len())
            .then(|| self.world.lists.entry(slot).or_insert_with(|| Box::new([0; WIDE_WINDOW / 8])).as_mut())
    }

    fn promote(&mut self, work: &mut Work) -> u8 {
        promote::promote(self, work)
    }

    fn scan(&mut self, work: &mut Work) {
        data::run(self, work);
    }

    fn note_boundary(&mut self, work: &mut Work, at: Seq, state: u8, spare: usize) -> bool {
        boundaries::note(self, work, at, state, spare)
    }

    fn look_at_boundary(&mut self, work: &mut Work, at: Seq, before: u32) -> u32 {
        lookup::look(self, work, at, before)
    }

    fn list_boundaries(&mut self, work: &mut Work, from: Seq, to: Seq) -> u32 {
        lookup::find(self, work, from, to)
    }

    fn sort(&mut self, work: &mut Work) {
        sorted::sort(self, work);
    }
}
