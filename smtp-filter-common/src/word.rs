//! A verb or keyword, packed for comparison.

use crate::bounds::WORD;

/// A word of up to 16 characters in upper case, as one big-endian number in two halves: the last character is the
/// lowest byte of `low`, unused bytes are 0. An empty word is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    /// The eight characters before the last eight.
    pub high: u64,
    /// The last eight characters.
    pub low: u64,
}

impl Word {
    /// Packs a word; `None` if it is empty or longer than [`WORD`].
    pub const fn new(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > WORD {
            return None;
        }
        let mut word = Self { high: 0, low: 0 };
        let mut i = 0;
        while i < text.len() {
            word.high = (word.high << 8) | (word.low >> 56);
            word.low = (word.low << 8) | text[i].to_ascii_uppercase() as u64;
            i += 1;
        }
        Some(word)
    }

    /// A word that is known to fit; longer text gives the empty word, which matches no verb.
    pub const fn of(text: &str) -> Self {
        match Self::new(text.as_bytes()) {
            Some(word) => word,
            None => Self { high: 0, low: 0 },
        }
    }

    /// 1 if it does not sort after `other`, else 0. In arithmetic: see `branchless.rs`. `hide` returns a number
    /// without letting the compiler know it.
    #[inline(always)]
    pub fn at_most(self, other: Self, hide: impl Fn(u64) -> u64) -> u64 {
        let less = hide(below(self.high, other.high));
        let same = equal(self.high, other.high, &hide);
        less | same & (1 ^ hide(below(other.low, self.low)))
    }

    /// 1 if it equals `other`, else 0. In arithmetic, like [`Word::at_most`].
    #[inline(always)]
    pub fn is(self, other: Self, hide: impl Fn(u64) -> u64) -> u64 {
        let differs = (self.high ^ other.high) | (self.low ^ other.low);
        equal(differs, 0, hide)
    }

    /// The word without its last `count` characters (0 to 15).
    #[inline(always)]
    pub const fn without_last(self, count: u32) -> Self {
        let (high, low) = if count & 8 == 0 { (self.high, self.low) } else { (0, self.high) };
        let bits = (count & 7) * 8;
        Self { high: high >> bits, low: low >> bits | (high << 1) << (63 - bits) }
    }

    /// Its characters, right-aligned; unused bytes before them are 0.
    pub const fn bytes(self) -> [u8; WORD] {
        let (high, low) = (self.high.to_be_bytes(), self.low.to_be_bytes());
        let mut out = [0; WORD];
        let mut i = 0;
        while i < 8 {
            out[i] = high[i];
            out[i + 8] = low[i];
            i += 1;
        }
        out
    }
}

/// 1 if `a` is less than `b`: the borrow of their difference.
#[inline(always)]
const fn below(a: u64, b: u64) -> u64 {
    (!a & b | (!a | b) & a.wrapping_sub(b)) >> 63
}

/// 1 if `a` equals `b`.
#[inline(always)]
fn equal(a: u64, b: u64, hide: impl Fn(u64) -> u64) -> u64 {
    let differs = a ^ b;
    1 ^ hide((differs | hide(differs.wrapping_neg())) >> 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_shortened_from_its_end() {
        let word = Word::of("STARTTLSSTARTTLX");
        for length in 1..16 {
            let part = Word::new(&b"STARTTLSSTARTTLX"[..length]).unwrap();
            assert_eq!(word.without_last(16 - length as u32), part, "{length}");
        }
        assert_eq!(word.without_last(0), word);
    }
}
