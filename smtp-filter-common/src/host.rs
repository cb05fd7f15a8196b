//! What the datapath asks of the world it runs in: the kernel, or a program in user space.

use core::sync::atomic::AtomicU64;

use crate::{
    bounds::{PATCH, PIECE, WIDE_WINDOW},
    entry::{Shared, State, Windows},
    event::Event,
    flow::{HalfOpen, Key, begun::Block, gone::Gone, handshake},
    session::data,
    stream::{boundaries, sorted},
    work::Work,
};

/// A step of a loop. The verifier looks at it once, however often it runs, so loops over a segment are made of these.
pub trait Step {
    /// Does the `index`th step; `true` ends the loop.
    ///
    /// Places in memory are to be derived from `index`: a number that grows from step to step in the loop's own
    /// memory is followed by the verifier of 6.12 and later until it gives up.
    fn step(&mut self, index: u32) -> bool;
}

/// Bytes of a segment, with one word in front for the bytes before them.
///
/// The first byte fetched is the lowest byte of word 1. Word 0's highest byte is the byte before.
pub type Piece = [u64; 1 + PIECE / 8];

/// The byte `at` of a fetched piece.
#[inline(always)]
pub const fn byte(piece: &Piece, at: u32) -> u8 {
    (piece[1 + ((at >> 3) as usize & (PIECE / 8 - 1))] >> ((at & 7) * 8)) as u8
}

/// Bytes of a segment that are to be rewritten, or that come in their place. The first one is the lowest byte of word 0.
pub type Patch = [u64; PATCH / 8];

/// A window of the shared pool.
pub type Wide = [u8; WIDE_WINDOW];

/// [`Host::carried`]: nothing is known of the frame's checksums, as in captures.
pub const UNKNOWN: u8 = 0;
/// [`Host::carried`]: the segment's checksum was found right by the device or the stack, or is made later.
pub const MADE: u8 = 1;
/// [`Host::carried`]: the frame carries the segment's checksum, and nobody has looked at it.
pub const FULL: u8 = 2;

/// A slot of the shared pool, as a list.
pub type List = [u64; WIDE_WINDOW / 8];

/// A slot of the shared pool, as it lies in its table.
#[repr(C)]
#[derive(Debug)]
pub struct Slot {
    /// Whose it is, and when it was used last: see [`crate::stream::pool`].
    pub owner: AtomicU64,
    /// What is in it.
    pub list: List,
}

/// What the datapath runs in.
pub trait Host {
    /// Runs steps 0 to `count - 1`, or until one of them ends the loop.
    fn repeat<S: Step>(count: u32, step: &mut S);

    /// Reads a place that others may write at the same time.
    fn load(place: &AtomicU64) -> u64;

    /// Writes a place that others may read at the same time.
    fn store(place: &AtomicU64, value: u64);

    /// Writes `new` where `old` stands, as one step in the order of all CPUs; `false` where something else stands there.
    ///
    /// The atomic operations are asked of the host because `core` has none for the eBPF target, which does have them, and plain
    /// atomic loads the compiler does not translate.
    fn compare_exchange(place: &AtomicU64, old: u64, new: u64) -> bool;

    /// Writes `value`, as one step in the order of all CPUs: what was written before is seen before.
    fn publish(place: &AtomicU64, value: u64);

    /// Sets bits, as one step.
    fn set(place: &AtomicU64, bits: u64);

    /// Leaves only these bits, as one step.
    fn retain(place: &AtomicU64, bits: u64);

    /// Returns `value`, without letting the compiler know its bounds: it would drop a mask that the verifier needs.
    fn opaque(value: u32) -> u32;

    /// The same of 64 bits.
    #[inline(always)]
    fn opaque_word(value: u64) -> u64 {
        Self::opaque(value as u32) as u64 | (Self::opaque((value >> 32) as u32) as u64) << 32
    }

    /// Fetches `length` bytes (1 to [`PIECE`]) of payload at `offset` into a piece, from word 1 on. `false` where the
    /// segment does not give them.
    fn fetch(&mut self, offset: u32, length: u32, piece: &mut Piece) -> bool;

    /// Fetches `length` bytes (1 to [`PATCH`]) of payload at `offset` into a patch. `false` where the segment does not
    /// give them.
    fn fetch_patch(&mut self, offset: u32, length: u32, patch: &mut Patch) -> bool;

    /// Puts `length` bytes (1 to [`PATCH`]) in the place of those that stand at `offset` of the payload, which `old` holds,
    /// and corrects the TCP checksum by their difference. `offset` is a multiple of 4; behind `length` both patches hold 0
    /// up to the next multiple of 4. `false` where the segment cannot be written to.
    fn replace(&mut self, offset: u32, length: u32, old: &Patch, new: &Patch) -> bool;

    /// What is known of the frame's checksums: [`UNKNOWN`], [`MADE`] or [`FULL`].
    fn carried(&mut self) -> u8;

    /// The one's complement sum of the first `length` bytes from the TCP header on, as a number in host byte order of words
    /// in network byte order. Uses the piece. `None` where the segment does not give them.
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

    /// Copies a half-open connection; `false` where there is none.
    fn half_open(&mut self, key: &Key, half: &mut HalfOpen) -> bool;

    /// Keeps a half-open connection; `false` where there is no room.
    fn keep_half_open(&mut self, key: &Key, half: &HalfOpen) -> bool;

    /// Forgets a half-open connection.
    fn forget_half_open(&mut self, key: &Key);

    /// Copies what is remembered of a connection that has left the live table; `false` where there is nothing.
    fn gone(&mut self, key: &Key, gone: &mut Gone) -> bool;

    /// Remembers a connection that leaves the live table.
    fn bury(&mut self, key: &Key, gone: &Gone);

    /// Forgets a connection that has left the live table: another one has its ports.
    fn unbury(&mut self, key: &Key);

    /// A block of what remembers whose handshake was seen: see [`crate::flow::begun`].
    fn begun(&mut self, block: u32) -> Option<&Block>;

    /// A random number to draw entries of the live table with.
    fn draw(&mut self) -> u32;

    /// Places in the roster of the live table.
    fn slots(&self) -> u32;

    /// Copies the key at a place of the roster. It may be of a connection that is gone, or that has another place by now.
    fn roster(&mut self, slot: u32, key: &mut Key) -> bool;

    /// Writes a key into a place of the roster.
    fn enroll(&mut self, slot: u32, key: &Key);

    /// Takes a connection, whose lock is held, out of the live table.
    fn remove(&mut self, key: &Key);

    /// Finds a live connection, which [`Self::shared`] and the others then speak of.
    fn find(&mut self, key: &Key) -> bool;

    /// Makes an empty live connection with its lock held, unless there is one already; then finds it as it is. `None`
    /// where there is no room; otherwise whether it is new.
    fn create(&mut self, key: &Key) -> Option<bool>;

    /// The part of the found connection that needs no lock.
    fn shared(&self) -> Option<&Shared>;

    /// Copies the state of the found connection, whose lock is held; `false` where there is none.
    fn load_state(&mut self, state: &mut State) -> bool;

    /// Writes the state of the found connection, whose lock is held.
    fn save_state(&mut self, state: &State);

    /// The windows in the found connection, whose lock is held.
    fn windows(&mut self) -> Option<&mut Windows>;

    /// Whose a slot of the shared pool is: see [`crate::stream::pool`]. `None` where there is no such slot.
    fn owner(&self, slot: u32) -> Option<&AtomicU64>;

    /// A slot of the shared pool as a window. Only its owner may ask, with the connection's lock held.
    fn wide(&mut self, slot: u32) -> Option<&mut Wide>;

    /// The same as a list. Which of both it is depends on the kind of use.
    fn list(&mut self, slot: u32) -> Option<&mut List>;

    // verifier: what follows are parts of the datapath that many ways lead to. The kernel has a function of its own for each,
    // which is verified once and apart from those that call it.

    /// [`handshake::promote`].
    #[inline(always)]
    fn promote(&mut self, work: &mut Work) -> u8
    where
        Self: Sized,
    {
        handshake::promote(self, work)
    }

    /// [`data::run`].
    #[inline(always)]
    fn scan(&mut self, work: &mut Work)
    where
        Self: Sized,
    {
        data::run(self, work);
    }

    /// [`boundaries::note`].
    #[inline(always)]
    fn note_place(&mut self, work: &mut Work, at: u32, state: u8, spare: usize) -> bool
    where
        Self: Sized,
    {
        boundaries::note(self, work, at, state, spare)
    }

    /// [`boundaries::look`].
    #[inline(always)]
    fn look_at_place(&mut self, work: &mut Work, at: u32, before: u32) -> u32
    where
        Self: Sized,
    {
        boundaries::look(self, work, at, before)
    }

    /// [`boundaries::find`].
    #[inline(always)]
    fn find_places(&mut self, work: &mut Work, from: u32, to: u32) -> u32
    where
        Self: Sized,
    {
        boundaries::find(self, work, from, to)
    }

    /// [`sorted::sort`].
    #[inline(always)]
    fn sort(&mut self, work: &mut Work)
    where
        Self: Sized,
    {
        sorted::sort(self, work);
    }
}
