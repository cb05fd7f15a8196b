//! Numbers by chance, the same ones in each run.

/// splitmix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

/// A number that has nothing visible in common with the one it is made of.
pub const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

impl Random {
    /// The numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Other numbers that follow from the same seed, told apart by a word. These ones stay as they are.
    pub const fn aside(&self, word: u64) -> Self {
        Self(mix(self.0 ^ word))
    }

    /// The next number.
    #[inline]
    pub const fn next(&mut self) -> u64 {
        let number = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        number
    }

    /// A number below `limit`, which has at most 32 bits; 0 where the limit is 0.
    #[inline]
    pub fn below<N: TryInto<u64> + TryFrom<u64>>(&mut self, limit: N) -> N {
        let limit = limit.try_into().unwrap_or(0);
        let number = ((self.next() >> 32) * limit) >> 32;
        N::try_from(number).unwrap_or_else(|_| unreachable!("it is below a number of this type"))
    }

    /// True once in so many times.
    #[inline]
    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, share: u32) -> bool {
        self.below(100) < share
    }

    /// One of a list.
    #[inline]
    pub fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Another source of numbers.
    pub const fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// A word with each letter in a case of its own choice.
    pub fn cased(&mut self, word: &str) -> String {
        match self.below(3) {
            0 => word.to_ascii_lowercase(),
            1 => word.to_owned(),
            _ => word.chars().map(|letter| if self.one_in(2) { letter.to_ascii_lowercase() } else { letter }).collect(),
        }
    }
}
