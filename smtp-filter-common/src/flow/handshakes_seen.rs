//! Whether a connection's handshake was seen during the grace period: if so, it is not older than the filter (I8).
//!
//! A blocked Bloom filter (Putze, Sanders, Singler 2007): four bits in one block of 512, set when the server answers a
//! SYN. It never forgets, so a client gains nothing by pushing its own entries out of the tables. After 60,000
//! handshakes about one in 100,000 older connections is mistaken for a newer one.

use core::sync::atomic::AtomicU64;

use super::Key;
use crate::{bounds::HANDSHAKE_BLOCKS, host::Host};

/// Bits of a block, in words.
pub type Block = [AtomicU64; WORDS];

const WORDS: usize = 8;
/// Bits set per connection.
const BITS: u32 = 4;
/// Bits of an index into a block.
const PLACE: u32 = 9;

// Odd factors: the fractional parts of the golden ratio and of pi.
const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0x243f_6a88_85a3_08d3;

/// Depends on all bits of the key, and is the same if the two ends are exchanged: if both ports are the policy's, not
/// every segment shows which end is the client.
#[inline(always)]
fn hash(key: &Key) -> u64 {
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
fn bit(hash: u64, index: u32) -> (usize, u64) {
    // The lowest bits select the block.
    let place = hash >> (64 - PLACE * BITS + PLACE * index);
    ((place >> 6) as usize & (WORDS - 1), 1 << (place & 63))
}

#[inline(always)]
fn block(hash: u64) -> u32 {
    hash as u32 & (HANDSHAKE_BLOCKS - 1)
}

const _: () = assert!(HANDSHAKE_BLOCKS.is_power_of_two() && HANDSHAKE_BLOCKS.ilog2() + PLACE * BITS <= 64);

/// Remembers that a handshake of this connection was seen.
#[inline(always)]
pub fn remember<H: Host>(host: &mut H, key: &Key) {
    let hash = hash(key);
    let Some(block) = host.handshakes_seen(block(hash)) else { return };
    let mut i = 0;
    while i < BITS {
        let (word, bit) = bit(hash, i);
        H::set(&block[word], bit);
        i += 1;
    }
}

/// Whether such a handshake was seen.
#[inline(always)]
pub fn remembers<H: Host>(host: &mut H, key: &Key) -> bool {
    let hash = hash(key);
    let Some(block) = host.handshakes_seen(block(hash)) else { return false };
    let mut lacks = 0;
    let mut i = 0;
    while i < BITS {
        let (word, bit) = bit(hash, i);
        lacks |= bit & !H::load(&block[word]);
        i += 1;
    }
    lacks == 0
}
