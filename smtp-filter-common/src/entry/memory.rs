//! What is remembered of the client's unacknowledged and out-of-order bytes.

use crate::{
    bounds::{ENTRY_BOUNDARIES, ENTRY_RANGES, REGIONS},
    seq::Seq,
    session::{data::State, state::Mode},
};

/// Out-of-order ranges, boundaries and regions of the client's stream. 212 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Starts of the out-of-order ranges.
    pub range_start: [Seq; ENTRY_RANGES],
    /// Ends of the out-of-order ranges.
    pub range_end: [Seq; ENTRY_RANGES],
    /// Scanner state at the end of each, and the state barred before it; bit 7: in use.
    pub range_state: [u8; ENTRY_RANGES],
    /// Boundaries: positions in mail data where it matters what comes before: see [`crate::stream::boundaries`].
    pub boundary_at: [Seq; ENTRY_BOUNDARIES],
    /// Scanner state there; bit 7: in use.
    pub boundary_state: [u8; ENTRY_BOUNDARIES],
    /// Index in the ring of the first of `ranges`.
    pub first_range: u16,
    /// Regions in use.
    pub regions: u8,
    /// Scanner state at `Side::next`, in mail data.
    pub data_state: State,
    /// Where the regions begin, oldest first.
    pub region_at: [Seq; REGIONS],
    /// What kind of bytes each has.
    pub region_kind: [Mode; REGIONS],
    /// Sequence numbers after the last two ends of data.
    pub end_of_data: [Seq; 2],
    /// Slot of the shared pool with the ranges and boundaries that do not fit here, its number plus 1; 0: none.
    pub slot: u32,
    /// Out-of-order ranges in the slot, sorted in a ring: see [`crate::stream::sorted`].
    pub ranges: u16,
    /// Boundaries in the slot, in another ring.
    pub boundaries: u16,
    /// Index in the ring of the first of `boundaries`.
    pub first_boundary: u16,
    /// Words of chunks in flight, in a ring in a slot of their own.
    pub chunks: u16,
    /// The highest end of one of `ranges`.
    pub top_range: Seq,
    /// The slot with the chunks, its number plus 1; 0: none.
    pub chunk_slot: u32,
    /// Index in the ring of the first of `chunks`.
    pub first_chunk: u16,
    /// 1: bytes of a chunk before `missing_to` may be missing. 2: in addition, the server has replied as if it did not
    /// wait for them.
    pub missing: u16,
    /// See `missing`.
    pub missing_to: Seq,
    /// Octets and flags of the newest of the chunks, as in its word: see [`crate::stream::chunks`].
    pub of_size: u32,
    /// How many equal chunks follow the first one in the newest word.
    pub equal_chunks: u16,
    /// How many of `boundaries`, at the end, are not merged yet.
    pub fresh: u16,
    /// A gap in the commands after which mode `monitor` continued, its start and its end; both are equal if there is
    /// none: see [`crate::stream::gap`].
    pub gap: [Seq; 2],
}

impl Memory {
    /// An empty one.
    pub const EMPTY: Self = Self {
        range_start: [Seq(0); ENTRY_RANGES],
        range_end: [Seq(0); ENTRY_RANGES],
        range_state: [0; ENTRY_RANGES],
        boundary_at: [Seq(0); ENTRY_BOUNDARIES],
        boundary_state: [0; ENTRY_BOUNDARIES],
        first_range: 0,
        regions: 0,
        data_state: State::MIDDLE,
        region_at: [Seq(0); REGIONS],
        region_kind: [Mode::COMMAND; REGIONS],
        end_of_data: [Seq(0); 2],
        slot: 0,
        ranges: 0,
        boundaries: 0,
        first_boundary: 0,
        chunks: 0,
        top_range: Seq(0),
        chunk_slot: 0,
        first_chunk: 0,
        missing: 0,
        missing_to: Seq(0),
        of_size: 0,
        equal_chunks: 0,
        fresh: 0,
        gap: [Seq(0); 2],
    };
}

const _: () = assert!(size_of::<Memory>() == 212);
