//! Numbers about which nothing is known.

use super::Host;
use crate::work::Work;

impl Work {
    /// Returns `value` as a number about which nothing is known.
    // verifier: it walks what follows a choice once for each known outcome; after this, once.
    #[inline(always)]
    pub fn unknown<H: Host>(&self, value: u8) -> u8 {
        H::store(&self.hidden, value as u64);
        H::load(&self.hidden) as u8
    }

    /// The same for a larger number.
    #[inline(always)]
    pub fn unknown_number<H: Host>(&self, value: u32) -> u32 {
        H::store(&self.hidden, value as u64);
        H::load(&self.hidden) as u32
    }
}
