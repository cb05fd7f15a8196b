//! The maps. Their names and contents: `smtp_filter_common::abi`.

use aya_ebpf::{
    btf_maps::{ArrayOfMaps, LpmTrie, RingBuf},
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray},
};
use smtp_filter_common::{
    abi::{Control, Lost, Replayed, STEPS},
    bounds::{
        self, CONNECTIONS, HALF_OPEN, HANDSHAKE_BLOCKS, POLICY_SLOTS, POOL as SLOTS_OF_POOL, PREFIXES as MOST_PREFIXES,
        READERS as READER_SLOTS, SCOPES,
    },
    entry::Connection,
    event::Event,
    flow::{HalfOpen, Key, bloom::Block, gone::Gone},
    host::Slot,
    policy::Policy,
    reason::{COUNTERS_PER_REASON, Counter, REASONS},
    scope::Pairs,
    work::Work,
};

#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

#[map]
pub static POLICIES: Array<Policy> = Array::with_max_entries(POLICY_SLOTS * SCOPES as u32, 0);

#[map]
pub static PAIRS: Array<Pairs> = Array::with_max_entries(POLICY_SLOTS, 0);

/// One trie for each generation that has scopes; its keys are `smtp_filter_common::scope::Prefix`. Only the type of the
/// inner definition counts: the loader supplies a trie of the size that it needs.
#[btf_map]
pub static PREFIXES: ArrayOfMaps<LpmTrie<[u8; 20], u32, { MOST_PREFIXES as usize }>, { POLICY_SLOTS as usize }> =
    ArrayOfMaps::new();

/// Not an LRU map: the datapath decides which entry is evicted.
#[map]
pub static LIVE: HashMap<Key, Connection> = HashMap::with_max_entries(CONNECTIONS, 0);

/// Keys of the live connections, for random draws.
#[map]
pub static ROSTER: Array<Key> = Array::with_max_entries(bounds::roster(CONNECTIONS), 0);

#[map]
pub static GONE: LruHashMap<Key, Gone> = LruHashMap::with_max_entries(bounds::GONE, 0);

#[map]
pub static HANDSHAKES: Array<Block> = Array::with_max_entries(HANDSHAKE_BLOCKS, 0);

#[map]
pub static HALF: LruHashMap<Key, HalfOpen> = LruHashMap::with_max_entries(HALF_OPEN, 0);

#[map]
pub static POOL: Array<Slot> = Array::with_max_entries(SLOTS_OF_POOL, 0);

#[map]
pub static COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(REASONS * COUNTERS_PER_REASON, 0);

#[map]
pub static LOST: PerCpuArray<Lost> = PerCpuArray::with_max_entries(1, 0);

/// One ring buffer for each reader. Only the type of the inner definition counts: a reader supplies a ring of any size.
#[btf_map]
pub static READERS: ArrayOfMaps<RingBuf<Event, 4096>, { READER_SLOTS as usize }> = ArrayOfMaps::new();

/// The programs after those at the hooks, by `smtp_filter_common::abi::STEPS`.
#[map]
pub static CHAIN: ProgramArray = ProgramArray::with_max_entries(STEPS.len() as u32, 0);

/// The working area of each CPU. No segment interrupts another one on the same CPU: the hooks run with softirqs off,
/// and the only nested run (egress, for our own RST) returns at once.
#[map]
pub static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// What the loader says about the frame being replayed.
#[map]
pub static REPLAYED: Array<Replayed> = Array::with_max_entries(1, 0);

/// 1 while this CPU sends one of the filter's own RSTs.
#[map]
pub static SENDING: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// An empty connection, to be copied into the table.
#[map]
pub static FRESH: Array<Connection> = Array::with_max_entries(1, 0);

/// Copies a map's value word by word. The kernel aligns values to 8 bytes, which the compiler cannot know; it would
/// copy byte by byte.
///
/// # Safety
///
/// Both addresses hold a `T`, do not overlap, and are multiples of 8.
#[inline(always)]
pub unsafe fn copy_words<T: Copy>(from: *const T, to: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    let (from, to) = (from.cast::<u64>(), to.cast::<u64>());
    let mut i = 0;
    while i < size_of::<T>() / 8 {
        // SAFETY: within the T, as the caller says.
        let word = unsafe { from.add(i).read() };
        // SAFETY: as above.
        unsafe { to.add(i).write(word) };
        i += 1;
    }
}
