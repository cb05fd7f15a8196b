//! What is to be done with a segment.

/// What the shell carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It goes on and carries the policy's mark.
    PassMarked,
    /// It is dropped.
    Drop,
    /// It is dropped, and both ends get a RST.
    Reset,
    /// It is dropped, and its sender gets a RST made from its own acknowledgement.
    ResetSender,
}
