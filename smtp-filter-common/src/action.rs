//! What may be done with a segment, in order of strictness.

/// An action, as a policy names it. The order is the order of strictness.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Forwarded.
    Pass = 0,
    /// Forwarded, with an event.
    Log = 1,
    /// Forwarded, with an event; this and all later segments of the connection carry the policy's skb mark.
    Mark = 2,
    /// EHLO becomes HELO in place.
    Downgrade = 3,
    /// The line is overwritten in place.
    Mask = 4,
    /// Dropped whole; the stream does not advance.
    Drop = 5,
    /// Dropped, and both ends get a RST.
    Reset = 6,
}

impl Action {
    /// Every action, in order of strictness.
    pub const ALL: [Self; 7] =
        [Self::Pass, Self::Log, Self::Mark, Self::Downgrade, Self::Mask, Self::Drop, Self::Reset];

    /// The action with this number. A number out of range gives `Drop`, the strictest action that sends nothing.
    #[inline(always)]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Pass,
            1 => Self::Log,
            2 => Self::Mark,
            3 => Self::Downgrade,
            4 => Self::Mask,
            6 => Self::Reset,
            _ => Self::Drop,
        }
    }

    /// Whether the segment is not forwarded.
    // verifier: by number, because a match would make seven paths, which it would walk one by one.
    #[inline(always)]
    pub const fn number_blocks(number: u8) -> bool {
        number >= Self::Drop as u8
    }

    /// Whether the segment is rewritten: downgrade or mask.
    #[inline(always)]
    pub const fn number_rewrites(number: u8) -> bool {
        number.wrapping_sub(Self::Downgrade as u8) < Self::Drop as u8 - Self::Downgrade as u8
    }

    /// Whether an event is emitted.
    #[inline(always)]
    pub const fn number_reports(number: u8) -> bool {
        number >= Self::Log as u8
    }

    /// Its name in the policy file and in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Log => "log",
            Self::Mark => "mark",
            Self::Downgrade => "downgrade",
            Self::Mask => "mask",
            Self::Drop => "drop",
            Self::Reset => "reset",
        }
    }
}
