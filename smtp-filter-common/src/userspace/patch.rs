//! Bytes of a frame in words, and their replacement.

use super::checksum;
use crate::host::Patch;

/// Copies bytes into words; `false` if there is no room.
pub(super) fn fill_words(words: &mut [u64], bytes: &[u8]) -> bool {
    if bytes.len() > words.len() * 8 {
        return false;
    }
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = word.to_le_bytes();
        for (place, byte) in whole.iter_mut().zip(bytes) {
            *place = *byte;
        }
        *word = u64::from_le_bytes(whole);
    }
    true
}

/// Replaces `length` bytes at `at`, and corrects the checksum at `check`; `false` if they lie outside the frame.
pub(super) fn replace(network: &mut [u8], at: usize, length: usize, check: usize, old: &Patch, new: &Patch) -> bool {
    let Some(bytes) = network.get_mut(at..at + length) else { return false };
    for (byte, new) in bytes.iter_mut().zip(new.iter().flat_map(|word| word.to_le_bytes())) {
        *byte = new;
    }
    let Some([high, low]) = network.get_mut(check..check + 2) else { return false };
    let words = length.div_ceil(8);
    let corrected = checksum::correct(u16::from_be_bytes([*high, *low]), old.iter().zip(new).take(words));
    [*high, *low] = corrected.to_be_bytes();
    true
}
