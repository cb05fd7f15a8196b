//! What is counted of a segment's commands.

/// The commands of the current segment, as they are counted and reported.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// Commands judged.
    pub commands: u32,
    /// Bytes in the line of the last one.
    pub last_line: u32,
    /// Bytes in the lines of all.
    pub lines: u32,
    /// How the first one is counted.
    pub counter: u32,
    /// 1: they are not all counted in the same way, or one needs an event.
    pub several: u8,
    /// 1: this pass reports.
    pub reporting: u8,
    /// 1: the current event has not been reported.
    pub unreported: u8,
    /// 1: bytes are to be rewritten; the pass that reports does it.
    pub rewrites: u8,
    /// 1: a command requested the skb mark.
    pub mark: u8,
    /// 1: a reply answers no command.
    pub unmatched: u8,
}

impl Tally {
    /// No command.
    pub const NONE: Self = Self {
        commands: 0,
        last_line: 0,
        lines: 0,
        counter: 0,
        several: 0,
        reporting: 0,
        unreported: 0,
        rewrites: 0,
        mark: 0,
        unmatched: 0,
    };
}
