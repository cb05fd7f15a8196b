//! Whose share of a table or a pool a connection counts towards.

use super::Key;

/// Whose share a connection counts towards: the client's IPv4 address, or the /64 of an IPv6 address.
#[inline(always)]
pub fn owner(key: &Key) -> u64 {
    let address = u128::from_be_bytes(key.client);
    let prefix = (address >> 64) as u64;
    if prefix == 0 { address as u64 } else { prefix }
}
