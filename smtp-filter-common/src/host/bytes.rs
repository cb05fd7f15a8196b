//! Bytes of a segment, and of what is kept of a stream.

use core::sync::atomic::AtomicU64;

use crate::{
    bounds::{PATCH, PIECE, WIDE_WINDOW},
    seq::Seq,
};

/// Bytes of a segment, after one word for the bytes before them.
///
/// The first byte fetched is the lowest byte of word 1. Word 0's highest byte is the byte before.
pub type Piece = [u64; 1 + PIECE / 8];

/// The byte `at` of a fetched piece.
#[inline(always)]
pub const fn byte(piece: &Piece, at: u32) -> u8 {
    (piece[1 + ((at >> 3) as usize & (PIECE / 8 - 1))] >> ((at & 7) * 8)) as u8
}

/// Bytes of a segment that are to be rewritten, or their replacement. The first one is the lowest byte of word 0.
pub type Patch = [u64; PATCH / 8];

/// The last bytes of a stream: byte `s` of it lies at `s` modulo the ring's size, a power of two.
pub trait Ring {
    /// Its size in bytes.
    const SIZE: usize;

    /// The byte with this sequence number.
    fn byte(&self, sequence: Seq) -> u8;

    /// The same, to be written.
    fn byte_mut(&mut self, sequence: Seq) -> &mut u8;
}

impl<const N: usize> Ring for [u8; N] {
    const SIZE: usize = N;

    #[inline(always)]
    fn byte(&self, sequence: Seq) -> u8 {
        self[sequence.0 as usize & (N - 1)]
    }

    #[inline(always)]
    fn byte_mut(&mut self, sequence: Seq) -> &mut u8 {
        &mut self[sequence.0 as usize & (N - 1)]
    }
}

/// A window of the shared pool.
pub type Wide = [u8; WIDE_WINDOW];

/// A slot of the shared pool, as a list.
pub type List = [u64; WIDE_WINDOW / 8];

/// A slot of the shared pool, as it is laid out in its table.
#[repr(C)]
#[derive(Debug)]
pub struct Slot {
    /// Its owner, and when it was last used: see [`crate::stream::pool`].
    pub owner: AtomicU64,
    /// Its contents.
    pub list: List,
}
