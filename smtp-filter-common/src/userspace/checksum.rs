//! The TCP checksum, corrected for changed bytes (RFC 1624 section 3).

/// Offset of the checksum in the TCP header.
pub const OFFSET: usize = 16;

/// The checksum after words of payload, which begin at an even offset, have been replaced. Both are as they were
/// fetched: the first byte is the lowest.
pub fn correct<'a>(checksum: u16, changes: impl Iterator<Item = (&'a u64, &'a u64)>) -> u16 {
    // HC' = ~(~HC + ~m + m')
    let mut sum = u64::from(!checksum);
    for (old, new) in changes {
        for (old, new) in halves(*old).into_iter().zip(halves(*new)) {
            sum += u64::from(!old) + u64::from(new);
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The one's complement sum of bytes (RFC 1071).
pub fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| match word {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        [high] => u64::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u64 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn halves(word: u64) -> [u16; 4] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [[a, b], [c, d], [e, f], [g, h]].map(u16::from_be_bytes)
}
