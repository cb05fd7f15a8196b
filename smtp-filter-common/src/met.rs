//! Where and when a segment was met.

/// Where and when a segment was met.
#[derive(Clone, Copy, Debug)]
pub struct Met {
    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    pub now: u64,
    /// Interface index.
    pub ifindex: u32,
    /// At egress.
    pub egress: bool,
}

impl Met {
    /// Interface and hook in one number, never 0.
    #[inline(always)]
    pub(crate) const fn side(&self) -> u32 {
        self.ifindex << 1 | self.egress as u32
    }
}
