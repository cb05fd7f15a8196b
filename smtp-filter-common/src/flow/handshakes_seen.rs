//! Whether a connection's handshake was seen during the grace period: if so, it is not older than the filter (I8).
//!
//! A blocked Bloom filter (Putze, Sanders, Singler 2007): four bits in one block of 512, set when the server answers a
//! SYN. It never forgets, so a client gains nothing by pushing its own entries out of the tables. After 60,000
//! handshakes about one in 100,000 older connections is mistaken for a newer one.

use super::{
    Key,
    bloom::{BITS, bit, block, hash},
};
use crate::host::Host;

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
