//! Loops over the ring of a window.

use crate::{
    bounds::PIECE,
    host::{Piece, Ring, Step, byte},
    seq::Seq,
};

/// Bytes that one step handles.
pub(super) const GROUP: u32 = 8;

/// 0xff for a byte within the length, 0 for one after it.
#[inline(always)]
const fn mask(at: u32, length: u32) -> u8 {
    0_u8.wrapping_sub((at.wrapping_sub(length) >> 31) as u8)
}

pub(super) struct Record<'a, R> {
    pub(super) ring: &'a mut R,
    pub(super) piece: &'a Piece,
    pub(super) sequence: Seq,
    pub(super) length: u32,
}

impl<R: Ring> Step for Record<'_, R> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        let mut i = 0;
        while i < GROUP {
            let at = first + i;
            let kept = self.ring.byte_mut(self.sequence.plus(at));
            *kept ^= (*kept ^ byte(self.piece, at)) & mask(at, self.length);
            i += 1;
        }
        first + GROUP >= self.length
    }
}

pub(super) struct Compare<'a, R> {
    pub(super) ring: &'a R,
    pub(super) piece: &'a Piece,
    pub(super) differs: &'a mut u32,
    pub(super) sequence: Seq,
    pub(super) length: u32,
}

impl<R: Ring> Step for Compare<'_, R> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let first = index * GROUP;
        let (mut differs, mut i) = (0, 0);
        while i < GROUP {
            let at = first + i;
            let kept = self.ring.byte(self.sequence.plus(at));
            differs |= (kept ^ byte(self.piece, at)) & mask(at, self.length);
            i += 1;
        }
        *self.differs |= differs as u32;
        first + GROUP >= self.length
    }
}

/// Copies from a ring to the piece.
pub(super) struct Collect<'a, R> {
    pub(super) ring: &'a R,
    pub(super) piece: &'a mut Piece,
    pub(super) sequence: Seq,
}

impl<R: Ring> Step for Collect<'_, R> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let mut word = 0_u64;
        let mut i = 0;
        while i < GROUP {
            let kept = self.ring.byte(self.sequence.plus(index * GROUP + i));
            word |= (kept as u64) << (i * 8);
            i += 1;
        }
        self.piece[1 + (index as usize & (PIECE / 8 - 1))] = word;
        false
    }
}
