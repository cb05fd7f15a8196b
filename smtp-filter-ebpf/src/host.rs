//! The datapath's environment in the kernel.

use core::{arch::asm, ffi::c_void, ptr::NonNull, sync::atomic::AtomicU64};

use aya_ebpf::{
    Global,
    bindings::{__sk_buff, BPF_NOEXIST},
    helpers::{
        bpf_csum_diff, bpf_get_prandom_u32, bpf_l4_csum_replace, bpf_loop, bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
};
use smtp_filter_common::{
    bounds::{PATCH, PIECE},
    branchless::Opaque,
    entry::{Connection, Shared, State, Windows},
    event::Event,
    flow::{HalfOpen, Key, bloom::Block, gone::Gone},
    host::{Host, List, Patch, Piece, Step, Wide},
    seq::Seq,
    work::Work,
};

use crate::{
    atomic, checksum, emit,
    maps::{COUNTERS, FRESH, GONE, HALF, HANDSHAKES, LIVE, LOST, POOL, ROSTER, copy_words},
    parts, replay,
};

/// Offset of the checksum in the TCP header.
const CHECK: u32 = 16;

/// Slots in the roster. `smtp_filter_common::abi::SLOTS`.
#[unsafe(no_mangle)]
static SLOTS: Global<u32> = Global::new(0);

/// One run of the program.
pub struct Kernel {
    /// The frame.
    pub skb: *mut __sk_buff,
    /// Offset of the payload from the frame's start.
    pub payload: u32,
    /// Offset of the TCP header, from the same base.
    pub header: u32,
    /// The connection that was found; null before.
    pub entry: *mut Connection,
}

/// A value of `LIVE`, which the verifier knows not to be null.
#[derive(Clone, Copy)]
pub struct Entry(NonNull<Connection>);

impl Kernel {
    /// For a segment whose headers have been read.
    #[inline(always)]
    pub fn new(skb: *mut __sk_buff, work: &Work, entry: *mut Connection) -> Self {
        let Work { link, segment, .. } = work;
        Self { skb, payload: link.wrapping_add(segment.payload), header: link.wrapping_add(segment.header), entry }
    }
}

/// The loop's call-back for steps of one kind.
unsafe extern "C" fn call_back<S: Step>(index: u64, step: *mut c_void) -> i64 {
    // SAFETY: `run_steps` passes its own step, which outlives the loop.
    let step = unsafe { &mut *step.cast::<S>() };
    step.step(index as u32) as i64
}

impl Opaque for Kernel {
    #[inline(always)]
    fn opaque(value: u32) -> u32 {
        let mut value = value as u64;
        // SAFETY: the register is returned unchanged.
        unsafe { asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
        value as u32
    }

    #[inline(always)]
    fn opaque_word(value: u64) -> u64 {
        let mut value = value;
        // SAFETY: the register is returned unchanged.
        unsafe { asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
        value
    }
}

impl Host for Kernel {
    type Entry = Entry;

    #[inline(always)]
    fn run_steps<S: Step>(count: u32, step: &mut S) {
        let call_back = call_back::<S> as unsafe extern "C" fn(u64, *mut c_void) -> i64;
        let step = core::ptr::from_mut(step).cast::<c_void>();
        // SAFETY: the call-back takes what is passed to it here.
        unsafe { bpf_loop(count, call_back as *mut c_void, step, 0) };
    }

    #[inline(always)]
    fn load(word: &AtomicU64) -> u64 {
        atomic::load(word)
    }

    #[inline(always)]
    fn store(word: &AtomicU64, value: u64) {
        atomic::store(word, value)
    }

    #[inline(always)]
    fn compare_exchange(word: &AtomicU64, old: u64, new: u64) -> bool {
        atomic::compare_exchange(word, old, new)
    }

    #[inline(always)]
    fn publish(word: &AtomicU64, value: u64) {
        atomic::publish(word, value)
    }

    #[inline(always)]
    fn set(word: &AtomicU64, bits: u64) {
        atomic::set(word, bits)
    }

    #[inline(always)]
    fn retain(word: &AtomicU64, bits: u64) {
        atomic::retain(word, bits)
    }

    #[inline(always)]
    fn fetch(&mut self, offset: u32, length: u32, piece: &mut Piece) -> bool {
        // verifier: in this form, every one since 6.1 sees that the length is 1 to PIECE.
        let less = Self::opaque(length.wrapping_sub(1)) & (PIECE as u32 - 1);
        // SAFETY: there is room for PIECE bytes from word 1 on; the length is at most that.
        unsafe {
            let to = piece.as_mut_ptr().add(1).cast::<c_void>();
            bpf_skb_load_bytes(self.skb.cast::<c_void>(), self.payload.wrapping_add(offset), to, less + 1) == 0
        }
    }

    #[inline(always)]
    fn fetch_patch(&mut self, offset: u32, length: u32, patch: &mut Patch) -> bool {
        let less = Self::opaque(length.wrapping_sub(1)) & (PATCH as u32 - 1);
        // SAFETY: there is room for PATCH bytes; the length is at most that.
        unsafe {
            let to = patch.as_mut_ptr().cast::<c_void>();
            bpf_skb_load_bytes(self.skb.cast::<c_void>(), self.payload.wrapping_add(offset), to, less + 1) == 0
        }
    }

    #[inline(always)]
    fn replace(&mut self, offset: u32, length: u32, old: &Patch, new: &Patch) -> bool {
        let less = Self::opaque(length.wrapping_sub(1)) & (PATCH as u32 - 1);
        // verifier: up to the next multiple of 4, where both hold 0. At most PATCH, as every one since 6.1 sees.
        let words = (less & !3) + 4;
        let skb = self.skb;
        // SAFETY: there are PATCH bytes in each; the length is at most that.
        unsafe {
            let from = new.as_ptr().cast_mut();
            let difference = bpf_csum_diff(old.as_ptr().cast_mut().cast::<u32>(), words, from.cast::<u32>(), words, 0);
            // The flag BPF_F_RECOMPUTE_CSUM would mistake a checksum that the device left complete for one of the old
            // bytes. The sum over bytes and field together does not change (kernel 6.18, net/core/filter.c).
            if bpf_skb_store_bytes(skb, self.payload.wrapping_add(offset), from.cast::<c_void>(), less + 1, 0) != 0 {
                return false;
            }
            bpf_l4_csum_replace(skb, self.header.wrapping_add(CHECK), 0, difference as u64, 0) == 0
        }
    }

    #[inline(always)]
    fn carried(&mut self) -> u8 {
        checksum::carried(self.skb)
    }

    #[inline(always)]
    fn sum(&mut self, length: u32, piece: &mut Piece) -> Option<u16> {
        checksum::sum(self.skb, self.header, length, piece)
    }

    #[inline(always)]
    fn random(&mut self) -> u64 {
        if let Some(number) = replay::number() {
            return number;
        }
        // SAFETY: the helper takes nothing.
        let high = unsafe { bpf_get_prandom_u32() };
        // SAFETY: as above.
        let low = unsafe { bpf_get_prandom_u32() };
        (high as u64) << 32 | low as u64
    }

    #[inline(always)]
    fn count(&mut self, counter: u32, segments: u32, bytes: u32) {
        // verifier: if the index were known, it would know that the element exists, and walk everything that follows
        // once for each.
        // SAFETY: the context is the kernel's.
        let mixed = unsafe { (*self.skb).len };
        let counter = Self::opaque(counter ^ mixed) ^ mixed;
        if let Some(counter) = COUNTERS.get_ptr_mut(counter) {
            // SAFETY: this CPU's own element, and no run interrupts another on one CPU.
            let counter = unsafe { &mut *counter };
            counter.segments = counter.segments.wrapping_add(segments as u64);
            counter.bytes = counter.bytes.wrapping_add(bytes as u64);
        }
    }

    #[inline(always)]
    fn emit(&mut self, event: &Event) {
        emit::emit(event);
    }

    #[inline(always)]
    fn opened(&mut self) {
        if let Some(lost) = LOST.get_ptr_mut(0) {
            // SAFETY: as in `count`.
            unsafe { (*lost).opened = (*lost).opened.wrapping_add(1) };
        }
    }

    #[inline(always)]
    fn closed(&mut self) {
        if let Some(lost) = LOST.get_ptr_mut(0) {
            // SAFETY: as in `count`.
            unsafe { (*lost).closed = (*lost).closed.wrapping_add(1) };
        }
    }

    #[inline(always)]
    fn half_open(&mut self, key: &Key, half: &mut HalfOpen) -> bool {
        let Some(found) = HALF.get_ptr(key) else { return false };
        // SAFETY: the table's own value. Another CPU may write it at the same time. Then the value is from a SYN or
        // SYN-ACK of the same moment, and a mixture completes no handshake.
        unsafe { copy_words(found, half) };
        true
    }

    #[inline(always)]
    fn keep_half_open(&mut self, key: &Key, half: &HalfOpen) -> bool {
        HALF.insert(key, half, 0).is_ok()
    }

    #[inline(always)]
    fn forget_half_open(&mut self, key: &Key) {
        // Not there: another CPU was faster.
        let _ = HALF.remove(key);
    }

    #[inline(always)]
    fn find(&mut self, key: &Key) -> Option<Entry> {
        let entry = Entry(NonNull::new(LIVE.get_ptr_mut(key)?)?);
        self.entry = entry.0.as_ptr();
        Some(entry)
    }

    #[inline(always)]
    fn gone(&mut self, key: &Key, gone: &mut Gone) -> bool {
        let Some(found) = GONE.get_ptr(key) else { return false };
        // SAFETY: the table's own value. It is written once, before it is found. If the table reuses it meanwhile, a
        // late segment is judged by another connection's numbers, and its receiver discards it anyway.
        unsafe { copy_words(found, gone) };
        true
    }

    #[inline(always)]
    fn bury(&mut self, key: &Key, gone: &Gone) {
        // If there is no room, only this connection suffers: its late segments are unknown.
        let _ = GONE.insert(key, gone, 0);
    }

    #[inline(always)]
    fn unbury(&mut self, key: &Key) {
        let _ = GONE.remove(key);
    }

    #[inline(always)]
    fn handshakes_seen(&mut self, block: u32) -> Option<&Block> {
        // SAFETY: an array's value stays where it is; it is accessed by atomic operations alone.
        HANDSHAKES.get_ptr(block).map(|block| unsafe { &*block })
    }

    #[inline(always)]
    fn draw(&mut self) -> u32 {
        // SAFETY: the helper takes nothing.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn slots(&self) -> u32 {
        SLOTS.load()
    }

    #[inline(always)]
    fn roster(&mut self, slot: u32, key: &mut Key) -> bool {
        let Some(found) = ROSTER.get_ptr(slot) else { return false };
        // SAFETY: the array's own value. If another CPU writes it at the same time, no connection has the mixed key, or
        // the one that has it has another slot.
        *key = unsafe { *found };
        true
    }

    #[inline(always)]
    fn enroll(&mut self, slot: u32, key: &Key) {
        if let Some(place) = ROSTER.get_ptr_mut(slot) {
            // SAFETY: as in `roster`.
            unsafe { *place = *key };
        }
    }

    #[inline(always)]
    fn remove(&mut self, key: &Key) {
        // It exists: only the holder of its lock removes it.
        let _ = LIVE.remove(key);
        self.entry = core::ptr::null_mut();
    }

    #[inline(always)]
    fn create(&mut self, key: &Key) -> Option<(Entry, bool)> {
        let fresh = FRESH.get_ptr_mut(0)?;
        // SAFETY: all CPUs write the same: an empty connection whose lock is held.
        let fresh = unsafe {
            (*fresh).shared.lock.as_ptr().write_volatile(1);
            &*fresh
        };
        let made = LIVE.insert(key, fresh, BPF_NOEXIST as u64).is_ok();
        self.find(key).map(|entry| (entry, made))
    }

    #[inline(always)]
    fn found(&self) -> Option<Entry> {
        NonNull::new(self.entry).map(Entry)
    }

    #[inline(always)]
    fn shared(&self, entry: Entry) -> &Shared {
        // SAFETY: the table's value, which is there as long as the program runs; this part is accessed by atomic
        // operations alone.
        unsafe { &(*entry.0.as_ptr()).shared }
    }

    #[inline(always)]
    fn load_state(&mut self, entry: Entry, state: &mut State) {
        // SAFETY: the table's value; the datapath asks only while it holds the connection's lock.
        unsafe { copy_words(&raw const (*entry.0.as_ptr()).state, state) };
    }

    #[inline(always)]
    fn save_state(&mut self, entry: Entry, state: &State) {
        // SAFETY: as in `load_state`.
        unsafe { copy_words(state, &raw mut (*entry.0.as_ptr()).state) };
    }

    #[inline(always)]
    fn windows(&mut self) -> Option<&mut Windows> {
        // SAFETY: null, or as in `load_state`.
        unsafe { self.entry.as_mut() }.map(|entry| &mut entry.windows)
    }

    #[inline(always)]
    fn owner(&self, slot: u32) -> Option<&AtomicU64> {
        let slot = POOL.get_ptr(slot)?;
        // SAFETY: the table's value; its owner is accessed by atomic operations alone.
        Some(unsafe { &(*slot).owner })
    }

    #[inline(always)]
    fn wide(&mut self, slot: u32) -> Option<&mut Wide> {
        let slot = POOL.get_ptr_mut(slot)?;
        // SAFETY: a slot belongs to one connection, whose lock is held; a list has the size of a window.
        Some(unsafe { &mut *(&raw mut (*slot).list).cast::<Wide>() })
    }

    #[inline(always)]
    fn list(&mut self, slot: u32) -> Option<&mut List> {
        let slot = POOL.get_ptr_mut(slot)?;
        // SAFETY: as in `wide`.
        Some(unsafe { &mut (*slot).list })
    }

    #[inline(always)]
    fn promote(&mut self, work: &mut Work) -> u8 {
        parts::promote(self.skb, work) as u8
    }

    #[inline(always)]
    fn scan(&mut self, work: &mut Work) {
        parts::scan(self.skb, work);
    }

    #[inline(always)]
    fn note_boundary(&mut self, work: &mut Work, at: Seq, state: u8, spare: usize) -> bool {
        parts::note_boundary(self.skb, work, self.entry, at.0, state as u32 | (spare as u32) << 8) != 0
    }

    #[inline(always)]
    fn look_at_boundary(&mut self, work: &mut Work, at: Seq, before: u32) -> u32 {
        parts::look_at_boundary(self.skb, work, self.entry, at.0, before)
    }

    #[inline(always)]
    fn list_boundaries(&mut self, work: &mut Work, from: Seq, to: Seq) -> u32 {
        parts::list_boundaries(work, from.0, to.0)
    }

    #[inline(always)]
    fn sort(&mut self, work: &mut Work) {
        parts::sort(work);
    }
}
