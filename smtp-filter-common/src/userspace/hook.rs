//! The datapath's host in user space.

use core::sync::atomic::{AtomicU64, Ordering};
use std::boxed::Box;

use super::{
    World, checksum,
    frame::{SliceFrame, run_steps},
    patch::{self, fill_words},
};
use crate::{
    bounds::WIDE_WINDOW,
    branchless::Opaque,
    entry::{Shared, State, Windows},
    event::Event,
    flow::{HalfOpen, Key, bloom::Block, gone::Gone},
    host::{Host, List, Patch, Piece, Step, Wide},
};

/// A frame at one of the world's hooks.
pub(super) struct Hook<'a> {
    /// Its tables.
    pub world: &'a mut World,
    /// Its bytes.
    pub frame: SliceFrame<'a>,
    /// Offset of the payload from the network header.
    pub payload: u32,
    /// Offset of the TCP header from there.
    pub header: u32,
    /// The connection that was found.
    pub entry: Option<Entry>,
}

/// Index of a connection: none is removed while a frame is judged.
#[derive(Clone, Copy)]
pub(super) struct Entry(usize);

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

impl Opaque for Hook<'_> {
    fn opaque(value: u32) -> u32 {
        value
    }
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
        let check = self.header as usize + checksum::OFFSET;
        patch::replace(network, self.payload.wrapping_add(offset) as usize, length as usize, check, old, new)
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
        let (at, made) = self.world.create(key)?;
        self.entry = Some(Entry(at));
        Some((Entry(at), made))
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

    crate::direct_parts!();
}
