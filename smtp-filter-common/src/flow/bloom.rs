//! The Bloom filter of handshakes: which bits belong to a connection.
//!
//! A blocked one (Putze, Sanders, Singler 2007): four bits in one block of 512.

use core::sync::atomic::AtomicU64;

use super::Key;
use crate::bounds::HANDSHAKE_BLOCKS;

/// Bits of a block, in words.
pub type Block = [AtomicU64; WORDS];

const WORDS: usize = 8;

/// Bits set per connection.
pub const BITS: u32 = 4;

/// Bits of an index into a block.
const INDEX: u32 = 9;

// Odd factors: the fractional parts of the golden ratio and of pi.
const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0x243f_6a88_85a3_08d3;

/// A connection's hash. It depends on all bits of the key, and is the same if the two ends are exchanged: if both ports
/// are the policy's, not every segment shows which end is the client.
#[inline(always)]
pub fn hash(key: &Key) -> u64 {
    let hash = end(&key.client, key.client_port).wrapping_add(end(&key.server, key.server_port));
    let hash = (hash ^ hash >> 29).wrapping_mul(SECOND);
    hash ^ hash >> 32
}

#[inline(always)]
fn end(address: &[u8; 16], port: [u8; 2]) -> u64 {
    let address = u128::from_ne_bytes(*address);
    let hash = (u16::from_ne_bytes(port) as u64 ^ address as u64).wrapping_mul(FIRST);
    let hash = (hash ^ hash >> 32 ^ (address >> 64) as u64).wrapping_mul(SECOND);
    let hash = (hash ^ hash >> 29).wrapping_mul(FIRST);
    hash ^ hash >> 32
}

/// The word that has bit `index` of a connection, and that bit.
#[inline(always)]
pub fn bit(hash: u64, index: u32) -> (usize, u64) {
    // The lowest bits select the block.
    let at = hash >> (64 - INDEX * BITS + INDEX * index);
    ((at >> 6) as usize & (WORDS - 1), 1 << (at & 63))
}

/// The number of its block.
#[inline(always)]
pub fn block(hash: u64) -> u32 {
    hash as u32 & (HANDSHAKE_BLOCKS - 1)
}

const _: () = assert!(HANDSHAKE_BLOCKS.is_power_of_two() && HANDSHAKE_BLOCKS.ilog2() + INDEX * BITS <= 64);
