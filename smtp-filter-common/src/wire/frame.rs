//! Where a frame's bytes come from.

use crate::host::step::Step;

/// Bytes of a header, aligned so that fields are read in one load.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Raw<const N: usize>(pub [u8; N]);

impl<const N: usize> Raw<N> {
    /// The big-endian 16 bits at `AT`.
    #[inline(always)]
    pub(super) const fn u16<const AT: usize>(&self) -> u16 {
        u16::from_be_bytes([self.0[AT], self.0[AT + 1]])
    }

    /// The big-endian 32 bits at `AT`.
    #[inline(always)]
    pub(super) const fn u32<const AT: usize>(&self) -> u32 {
        u32::from_be_bytes([self.0[AT], self.0[AT + 1], self.0[AT + 2], self.0[AT + 3]])
    }
}

/// Where a frame's bytes come from. Offsets count from the network header: where the link layer's own header (if the
/// interface has one) ends.
pub trait Frame {
    /// EtherType at the network header, host byte order.
    fn protocol(&self) -> u16;
    /// Bytes from the network header to the frame's end, padding included.
    fn length(&self) -> u32;
    /// Whether several segments were merged into this one, so that its length may not fit the IP header's field.
    fn merged(&self) -> bool;
    /// Bytes of payload in each of the merged segments; 0: it was not merged, or that is not known.
    fn piece(&self) -> u16 {
        0
    }
    /// Runs steps, as [`crate::host::Host::run_steps`] does.
    fn run_steps<S: Step>(count: u32, step: &mut S);
    /// Returns `value`, as [`crate::branchless::Opaque::opaque`] does.
    fn opaque(value: u32) -> u32 {
        value
    }
    /// `N` bytes at an offset; `None` if the frame ends before.
    fn read<const N: usize>(&self, offset: u32) -> Option<Raw<N>>;
    /// The same for bytes before others that were read.
    fn read_before<const N: usize>(&self, offset: u32) -> Option<Raw<N>> {
        self.read(offset)
    }
}
