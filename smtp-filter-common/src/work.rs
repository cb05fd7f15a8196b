//! The working area of one segment: too much for the kernel's stack of 512 bytes, so the shell provides one for each
//! CPU.

use core::sync::atomic::AtomicU64;

use crate::{
    block::Block,
    bounds::{ARG_ROOM, PATCH, PIECE},
    entry::{Line, State},
    event::Event,
    flow::{HalfOpen, Key, evict::sample::Sample, gone::Gone},
    host::bytes::{Patch, Piece},
    met::Met,
    outcome::{Next, Outcome},
    report::tally::Tally,
    rewrite::Change,
    seq::Seq,
    session::{
        reading::{Progress, Reading},
        state::Doubt,
        verb::Command,
    },
    stream::in_segment::{Data, InStream, Replies},
    wire::Segment,
};

/// `Work::uncertain`: bytes that reading needs are missing.
pub const MISSING: u8 = 2;

/// What mode `monitor` passed over in a segment: the first verdict that enforcement would have reached.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// See [`Block::sequence`].
    pub sequence: Seq,
    /// See [`Block::reason`].
    pub reason: u16,
    /// [`crate::action::Action`]; [`Pass`](crate::action::Action::Pass) if there is none.
    pub action: u8,
}

impl Passed {
    /// Nothing.
    pub const NOTHING: Self = Self { sequence: Seq(0), reason: 0, action: 0 };
}

/// The client's dialogue after a gap, put aside while the gap is read: see [`crate::stream::gap`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Aside {
    /// The current line.
    pub line: Line,
    /// Its argument.
    pub arg: [u8; ARG_ROOM],
    /// [`crate::entry::Session::hold`].
    pub hold: Command,
    /// [`crate::entry::Session::doubt`].
    pub doubt: Doubt,
}

/// The working area.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct Work {
    /// The segment's facts.
    pub segment: Segment,
    /// Its connection.
    pub key: Key,
    /// The half-open connection being handled.
    pub half_open: HalfOpen,
    /// The departed connection being handled.
    pub gone: Gone,
    /// The sample of a full table.
    pub sample: Sample,
    /// A copy of the connection's state, written back if the segment passes.
    pub state: State,
    /// An empty state to copy from: the compiler would fill the other one byte by byte.
    pub blank: State,
    /// How far the segment has been read.
    pub reading: Reading,
    /// How far its mail data has been scanned.
    pub scan: Progress,
    /// How it lies in the stream.
    pub stream: InStream,
    /// How its reply lines compare with identical ones.
    pub identical: Replies,
    /// The verdict against it.
    pub block: Block,
    /// Its commands, for counters and events.
    pub tally: Tally,
    /// The current event. The fields that all events of the segment share are filled in first.
    pub event: Event,
    /// Sink for the argument bytes of reply lines, which are not kept.
    pub discard: [u8; ARG_ROOM],
    /// Result of the last step.
    pub outcome: Outcome,
    /// Where and when the segment was met.
    pub met: Met,
    /// In the kernel: generation of the policies that apply.
    pub generation: u32,
    /// What the frame is: a [`crate::wire::Kind`] by number.
    pub kind: u8,
    /// 1: the handshake step has run.
    pub greeted: u8,
    /// Result of the reading: a reason's number, and whether the state changed.
    pub taken: u32,
    /// Bytes of the link layer's header.
    pub link: u32,
    /// In the kernel: the base of offsets in the frame.
    pub start: u32,
    /// 1: if the segment passes, it carries the policy's skb mark.
    pub marked: u8,
    /// [`crate::event::Ended`] by number if the connection ends with this segment; else 0.
    pub ends: u8,
    /// 1: both sides have closed, and this segment may carry the last acknowledgement.
    pub closing: u8,
    /// Number of the scope whose policy applies; 0: the whole's own.
    pub scope: u8,
    /// 1: the policy's mode is `monitor`.
    pub monitors: u8,
    /// Not 0: from this segment on the state may be wrong, because mode `monitor` has passed over something; see also
    /// [`MISSING`].
    pub uncertain: u8,
    /// See [`Passed`].
    pub passed: Passed,
    /// State put aside while late bytes of a gap are read.
    pub aside: Aside,
    /// See [`Work::unknown`].
    pub hidden: AtomicU64,
    /// The next change to be made.
    pub change: Change,
    /// Bytes whose pieces are examined.
    pub data: Data,
    /// Bytes before a change.
    pub old: Patch,
    /// The same bytes after it.
    pub new: Patch,
    /// Bytes of the segment.
    pub piece: Piece,
}

impl Work {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "as large as a page: nobody should make one without thinking")]
    pub const fn new() -> Self {
        Self {
            segment: Segment::EMPTY,
            key: Key::EMPTY,
            half_open: HalfOpen::EMPTY,
            gone: Gone { ends: [Seq(0); 2], how: 0, reserved: 0 },
            sample: Sample::EMPTY,
            state: State::EMPTY,
            blank: State::EMPTY,
            reading: Reading::NONE,
            scan: Progress::NONE,
            stream: InStream::NONE,
            identical: Replies::NONE,
            block: Block::NONE,
            tally: Tally::NONE,
            event: Event::EMPTY,
            discard: [0; ARG_ROOM],
            outcome: Outcome { reason: 0, next: Next::SETTLED, verdict: 0 },
            met: Met { now: 0, ifindex: 0, egress: false },
            generation: 0,
            kind: 0,
            greeted: 0,
            taken: 0,
            link: 0,
            start: 0,
            marked: 0,
            ends: 0,
            closing: 0,
            scope: 0,
            monitors: 0,
            uncertain: 0,
            passed: Passed::NOTHING,
            aside: Aside { line: State::EMPTY.line[0], arg: [0; ARG_ROOM], hold: Command::NONE, doubt: Doubt::NONE },
            hidden: AtomicU64::new(0),
            change: Change::NONE,
            data: Data::NONE,
            old: [0; PATCH / 8],
            new: [0; PATCH / 8],
            piece: [0; 1 + PIECE / 8],
        }
    }

    /// The sequence number that the segment's receiver expects: all bytes before it have been forwarded.
    #[inline(always)]
    pub const fn next(&self) -> Seq {
        self.state.side[self.event.direction as usize & 1].next
    }
}
