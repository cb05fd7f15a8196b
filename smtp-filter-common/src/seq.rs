//! Sequence numbers (RFC 9293 section 3.4).

/// A sequence number of TCP, or a timestamp that wraps in the same way (RFC 7323 section 5.2). Wraps at 2^32, so it has
/// no order of its own: two numbers can be compared if they are less than 2^31 apart.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seq(pub u32);

impl Seq {
    /// The number so many bytes later.
    #[inline(always)]
    pub const fn plus(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// The number so many bytes earlier.
    #[inline(always)]
    pub const fn minus(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }

    /// The number of bytes from `start` to this number. If this one is before `start`, that wraps to a value far beyond
    /// every length.
    #[inline(always)]
    pub const fn since(self, start: Self) -> u32 {
        self.0.wrapping_sub(start.0)
    }

    /// How far this number is after `other`; negative: before.
    #[inline(always)]
    pub const fn ahead_of(self, other: Self) -> i32 {
        self.since(other) as i32
    }

    /// Whether it is after `other`.
    #[inline(always)]
    pub const fn is_after(self, other: Self) -> bool {
        self.ahead_of(other) > 0
    }

    /// Whether it is before `other`.
    #[inline(always)]
    pub const fn is_before(self, other: Self) -> bool {
        self.ahead_of(other) < 0
    }

    /// The later of two numbers.
    #[inline(always)]
    pub const fn later(self, other: Self) -> Self {
        if self.is_after(other) { self } else { other }
    }

    /// The earlier of two numbers.
    #[inline(always)]
    pub const fn earlier(self, other: Self) -> Self {
        if self.is_before(other) { self } else { other }
    }

    /// Its bytes, as on the wire.
    #[inline(always)]
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::Seq;

    #[test]
    fn numbers_compare_across_the_wrap() {
        for base in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 2, u32::MAX] {
            for distance in [1, 2, 1000, (1 << 31) - 1] {
                let (a, b) = (Seq(base), Seq(base).plus(distance));
                assert!(b.is_after(a) && a.is_before(b) && !a.is_after(b) && !b.is_before(a), "{base} {distance}");
                assert_eq!((b.since(a), b.ahead_of(a), a.ahead_of(b)), (distance, distance as i32, -(distance as i32)));
                assert_eq!((a.later(b), b.later(a), a.earlier(b), b.earlier(a)), (b, b, a, a));
                assert_eq!(b.minus(distance), a);
            }
            assert!(!Seq(base).is_after(Seq(base)) && !Seq(base).is_before(Seq(base)));
        }
    }
}
