//! What the datapath needs from its environment: the kernel, or a program in user space.

pub mod bytes;
pub mod step;
mod unknown;

use core::sync::atomic::AtomicU64;

pub use self::{
    bytes::{List, Patch, Piece, Ring, Slot, Wide, byte},
    step::Step,
};
use crate::{
    branchless::Opaque,
    entry::{Shared, State, Windows},
    event::Event,
    flow::{bloom::Block, gone::Gone, half_open::HalfOpen, key::Key},
    seq::Seq,
    work::Work,
};

/// [`Host::carried`]: nothing is known about the frame's checksums, as in captures.
pub const UNKNOWN: u8 = 0;

/// [`Host::carried`]: the device or the stack has verified the segment's checksum, or will compute it later.
pub const MADE: u8 = 1;

/// [`Host::carried`]: the frame carries the segment's checksum, and it has not been verified.
pub const FULL: u8 = 2;

/// The environment of the datapath.
pub trait Host: Opaque {
    /// A connection of the live table. It was looked up and found once, and remains usable as long as the segment is
    /// judged, even if another CPU removes it or gives it to another connection: [`Shared::id`] shows the latter.
    type Entry: Copy;

    /// Runs steps 0 to `count - 1`, or until one of them ends the loop.
    fn run_steps<S: Step>(count: u32, step: &mut S);

    /// Reads a word that others may write at the same time.
    fn load(word: &AtomicU64) -> u64;

    /// Writes a word that others may read at the same time.
    fn store(word: &AtomicU64, value: u64);

    /// Replaces `old` by `new`, atomically and fully ordered; `false` if the word has another value.
    ///
    /// The host provides the atomic operations, because `core` has none for the eBPF target, although the target has
    /// them; and the compiler does not translate plain atomic loads.
    fn compare_exchange(word: &AtomicU64, old: u64, new: u64) -> bool;

    /// Writes `value`, fully ordered: earlier writes are visible before it.
    fn publish(word: &AtomicU64, value: u64);

    /// Sets bits, atomically.
    fn set(word: &AtomicU64, bits: u64);

    /// Clears all other bits, atomically.
    fn retain(word: &AtomicU64, bits: u64);

    /// Fetches `length` bytes (1 to [`PIECE`](crate::bounds::PIECE)) of payload at `offset` into a piece, from word 1
    /// on. `false` if they cannot be fetched.
    fn fetch(&mut self, offset: u32, length: u32, piece: &mut Piece) -> bool;

    /// Fetches `length` bytes (1 to [`PATCH`](crate::bounds::PATCH)) of payload at `offset` into a patch. `false` if
    /// they cannot be fetched.
    fn fetch_patch(&mut self, offset: u32, length: u32, patch: &mut Patch) -> bool;

    /// Replaces `length` bytes (1 to [`PATCH`](crate::bounds::PATCH)) of payload at `offset`, which are in `old`, and
    /// corrects the TCP checksum by the difference. `offset` is a multiple of 4. After `length`, both patches are 0 up
    /// to the next multiple of 4. `false` if the segment cannot be written to.
    fn replace(&mut self, offset: u32, length: u32, old: &Patch, new: &Patch) -> bool;

    /// What is known of the frame's checksums: [`UNKNOWN`], [`MADE`] or [`FULL`].
    fn carried(&mut self) -> u8;

    /// The one's complement sum of the first `length` bytes from the TCP header on: a number in host byte order, from
    /// words in network byte order. Uses the piece. `None` if the bytes cannot be fetched.
    fn sum(&mut self, length: u32, piece: &mut Piece) -> Option<u16>;

    /// A random number.
    fn random(&mut self) -> u64;

    /// Adds to a counter (see [`crate::reason::counter`]).
    fn count(&mut self, counter: u32, segments: u32, bytes: u32);

    /// Hands an event to the readers.
    fn emit(&mut self, event: &Event);

    /// A connection was opened.
    fn opened(&mut self);

    /// A connection was closed.
    fn closed(&mut self);

    /// Copies a half-open connection; `false` if there is none.
    fn half_open(&mut self, key: &Key, half: &mut HalfOpen) -> bool;

    /// Stores a half-open connection; `false` if there is no room.
    fn keep_half_open(&mut self, key: &Key, half: &HalfOpen) -> bool;

    /// Forgets a half-open connection.
    fn forget_half_open(&mut self, key: &Key);

    /// Copies what is remembered of a connection that has left the live table; `false` if there is nothing.
    fn gone(&mut self, key: &Key, gone: &mut Gone) -> bool;

    /// Remembers a connection that is leaving the live table.
    fn bury(&mut self, key: &Key, gone: &Gone);

    /// Forgets a connection that has left the live table, because another one has its ports.
    fn unbury(&mut self, key: &Key);

    /// A block of the Bloom filter of handshakes: see [`crate::flow::handshakes_seen`].
    fn handshakes_seen(&mut self, block: u32) -> Option<&Block>;

    /// A random number for drawing entries of the live table.
    fn draw(&mut self) -> u32;

    /// Slots in the roster of the live table.
    fn slots(&self) -> u32;

    /// Copies the key in a slot of the roster. Its connection may be gone, or may have another slot by now.
    fn roster(&mut self, slot: u32, key: &mut Key) -> bool;

    /// Writes a key to a slot of the roster.
    fn enroll(&mut self, slot: u32, key: &Key);

    /// Removes a connection, whose lock is held, from the live table.
    fn remove(&mut self, key: &Key);

    /// Finds a live connection. From then on it is the found one.
    fn find(&mut self, key: &Key) -> Option<Self::Entry>;

    /// Makes an empty live connection with its lock held, unless there is one already; in both cases it is then the
    /// found one. `None` if there is no room; otherwise also whether it is new.
    fn create(&mut self, key: &Key) -> Option<(Self::Entry, bool)>;

    /// The found connection.
    fn found(&self) -> Option<Self::Entry>;

    /// The part of a connection that needs no lock.
    fn shared(&self, entry: Self::Entry) -> &Shared;

    /// Copies the state of a connection, whose lock is held.
    fn load_state(&mut self, entry: Self::Entry, state: &mut State);

    /// Writes the state of a connection, whose lock is held.
    fn save_state(&mut self, entry: Self::Entry, state: &State);

    /// The windows in the found connection, whose lock is held.
    fn windows(&mut self) -> Option<&mut Windows>;

    /// The owner's word of a slot of the shared pool: see [`crate::stream::pool`]. `None` if there is no such slot.
    fn owner(&self, slot: u32) -> Option<&AtomicU64>;

    /// A slot of the shared pool as a window. Only its owner may ask, with the connection's lock held.
    fn wide(&mut self, slot: u32) -> Option<&mut Wide>;

    /// The same slot as a list. The kind of use decides which of the two it is.
    fn list(&mut self, slot: u32) -> Option<&mut List>;

    // verifier: the functions below are parts of the datapath that many paths lead to. The kernel has a global function
    // for each, which is verified once, apart from its callers. A host calls what is named here, and does nothing else.

    /// Calls [`crate::flow::promote::promote`].
    fn promote(&mut self, work: &mut Work) -> u8;

    /// Calls [`crate::session::scan::run`].
    fn scan(&mut self, work: &mut Work);

    /// Calls [`crate::stream::boundaries::note`].
    fn note_boundary(&mut self, work: &mut Work, at: Seq, state: u8, spare: usize) -> bool;

    /// Calls [`crate::stream::boundaries::lookup::look`].
    fn look_at_boundary(&mut self, work: &mut Work, at: Seq, before: u32) -> u32;

    /// Calls [`crate::stream::boundaries::lookup::find`].
    fn list_boundaries(&mut self, work: &mut Work, from: Seq, to: Seq) -> u32;

    /// Calls [`crate::stream::sorted::sort`].
    fn sort(&mut self, work: &mut Work);
}
