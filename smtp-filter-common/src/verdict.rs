//! What is to be done with a segment.

/// What the shell carries out.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is forwarded; with the policy's skb mark if [`crate::work::Work::marked`] is set.
    Pass,
    /// It is dropped.
    Drop,
    /// It is dropped, and both ends get a RST.
    Reset,
    /// It is dropped, and its sender gets a RST made from its own acknowledgement.
    ResetSender,
}

impl Verdict {
    /// The verdict with this number.
    #[inline(always)]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Pass,
            2 => Self::Reset,
            3 => Self::ResetSender,
            _ => Self::Drop,
        }
    }
}
