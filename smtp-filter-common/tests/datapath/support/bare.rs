//! A host for parts of the datapath that ask nearly nothing of it.

use std::sync::atomic::{AtomicU64, Ordering};

use smtp_filter_common::{
    bounds::WIDE_WINDOW,
    branchless::Opaque,
    entry::{Shared, State, Windows},
    event::Event,
    flow::{HalfOpen, Key, bloom::Block, gone::Gone},
    host::{Host, List, Patch, Piece, Step, Wide},
};

/// A host that has loops, and one slot of the pool, which is its connection's.
pub struct Bare {
    shared: Shared,
    owner: AtomicU64,
    pub list: Box<List>,
}

impl Bare {
    pub fn new() -> Self {
        Self { shared: Shared::default(), owner: AtomicU64::new(0), list: Box::new([0; WIDE_WINDOW / 8]) }
    }
}

impl Opaque for Bare {
    fn opaque(value: u32) -> u32 {
        value
    }
}

impl Host for Bare {
    type Entry = ();

    fn run_steps<S: Step>(count: u32, step: &mut S) {
        let _ = (0..count).find(|index| step.step(*index));
    }
    fn load(place: &AtomicU64) -> u64 {
        place.load(Ordering::Relaxed)
    }
    fn store(place: &AtomicU64, value: u64) {
        place.store(value, Ordering::Relaxed);
    }
    fn compare_exchange(place: &AtomicU64, old: u64, new: u64) -> bool {
        place.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
    fn publish(_: &AtomicU64, _: u64) {
        unreachable!()
    }
    fn set(_: &AtomicU64, _: u64) {
        unreachable!()
    }
    fn retain(_: &AtomicU64, _: u64) {
        unreachable!()
    }
    fn fetch(&mut self, _: u32, _: u32, _: &mut Piece) -> bool {
        unreachable!()
    }
    fn fetch_patch(&mut self, _: u32, _: u32, _: &mut Patch) -> bool {
        unreachable!()
    }
    fn replace(&mut self, _: u32, _: u32, _: &Patch, _: &Patch) -> bool {
        unreachable!()
    }
    fn carried(&mut self) -> u8 {
        unreachable!()
    }
    fn sum(&mut self, _: u32, _: &mut Piece) -> Option<u16> {
        unreachable!()
    }
    fn random(&mut self) -> u64 {
        unreachable!()
    }
    fn count(&mut self, _: u32, _: u32, _: u32) {
        unreachable!()
    }
    fn emit(&mut self, _: &Event) {
        unreachable!()
    }
    fn opened(&mut self) {
        unreachable!()
    }
    fn closed(&mut self) {
        unreachable!()
    }
    fn half_open(&mut self, _: &Key, _: &mut HalfOpen) -> bool {
        unreachable!()
    }
    fn keep_half_open(&mut self, _: &Key, _: &HalfOpen) -> bool {
        unreachable!()
    }
    fn forget_half_open(&mut self, _: &Key) {
        unreachable!()
    }
    fn gone(&mut self, _: &Key, _: &mut Gone) -> bool {
        unreachable!()
    }
    fn bury(&mut self, _: &Key, _: &Gone) {
        unreachable!()
    }
    fn unbury(&mut self, _: &Key) {
        unreachable!()
    }
    fn handshakes_seen(&mut self, _: u32) -> Option<&Block> {
        unreachable!()
    }
    fn draw(&mut self) -> u32 {
        unreachable!()
    }
    fn slots(&self) -> u32 {
        unreachable!()
    }
    fn roster(&mut self, _: u32, _: &mut Key) -> bool {
        unreachable!()
    }
    fn enroll(&mut self, _: u32, _: &Key) {
        unreachable!()
    }
    fn remove(&mut self, _: &Key) {
        unreachable!()
    }
    fn find(&mut self, _: &Key) -> Option<()> {
        unreachable!()
    }
    fn create(&mut self, _: &Key) -> Option<((), bool)> {
        unreachable!()
    }
    fn found(&self) -> Option<()> {
        Some(())
    }
    fn shared(&self, (): ()) -> &Shared {
        &self.shared
    }
    fn load_state(&mut self, (): (), _: &mut State) {
        unreachable!()
    }
    fn save_state(&mut self, (): (), _: &State) {
        unreachable!()
    }
    fn windows(&mut self) -> Option<&mut Windows> {
        unreachable!()
    }
    fn owner(&self, _: u32) -> Option<&AtomicU64> {
        Some(&self.owner)
    }
    fn wide(&mut self, _: u32) -> Option<&mut Wide> {
        unreachable!()
    }
    fn list(&mut self, _: u32) -> Option<&mut List> {
        Some(&mut self.list)
    }

    smtp_filter_common::direct_parts!();
}
