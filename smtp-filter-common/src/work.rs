//! What one segment's judgement needs to have at hand: too much for the kernel's stack of 512 bytes, so the shell lends
//! a place of its own to each CPU.

use core::sync::atomic::AtomicU64;

use crate::{
    action::Action,
    bounds::{ARG_ROOM, PATCH, PIECE},
    datapath::Met,
    entry::{Line, State},
    event::Event,
    flow::{HalfOpen, Key, evict::Sample, gone::Gone},
    host::{Host, Patch, Piece},
    open::open_enum,
    reason::Reason,
    session::{Mode, rewrite::Change, verb::Command},
    stream::{boundaries, out_of_order, pieces, sorted},
    wire::Segment,
};

/// How far a segment has been read, and what came of it.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The argument of BDAT: see [`crate::session::bdat`].
    pub chunk: u64,
    /// Offset in the payload of the next byte.
    pub at: u32,
    /// Offset in the payload where reading ends.
    pub end: u32,
    /// Offset in the payload of the piece's first byte.
    pub piece_at: u32,
    /// Bytes in the piece; 0: none fetched.
    pub piece_length: u32,
    /// Place in the piece where the loop over a line began.
    pub from: u32,
    /// Bytes that the loop over a line has read.
    pub read: u32,
    /// Scanner's place behind an end of data, in the payload; [`NOWHERE`] where there was none.
    pub found: u32,
    /// Offset in the payload where the scan stands.
    pub scan_at: u32,
    /// Offset in the payload where it ends.
    pub scan_to: u32,
    /// Bytes from there that are read one by one.
    pub exact: u32,
    /// Bytes from there that lie in a field with dots.
    pub dotted: u32,
    /// What the receiver has acknowledged.
    pub acknowledged: u32,
    /// Sequence number that reading goes on with: what lies before it has passed.
    pub next: u32,
    /// Place (sequence number) that a cut is reported at.
    pub place: u32,
    /// Commands judged in this segment.
    pub commands: u32,
    /// Bytes of the last command's line.
    pub line: u32,
    /// Bytes of the lines of all of them.
    pub lines: u32,
    /// How the first one is counted.
    pub like: u32,
    /// Bytes that differ from what passed first, or [`FORGOTTEN`].
    pub differs: u32,
    /// Offset in the payload of the first new byte.
    pub first: u32,
    /// Offset in the payload up to which a word of the banner stays.
    pub kept: u32,
    /// Offset in the payload of the first whole reply line.
    pub reply_at: u32,
    /// Its length; 0: there is none.
    pub reply_length: u32,
    /// Offset in the payload from which it is compared with lines alike; its end: nowhere.
    pub alike_at: u32,
    /// Offset in the payload up to which it is them.
    pub alike_to: u32,
    /// Offset in the payload of the first byte that a window keeps.
    pub windowed: u32,
    /// What a look at the out-of-order ranges came to.
    pub ranges: out_of_order::Found,
    /// Where places are looked up in the pool.
    pub places: boundaries::Places,
    /// What is sorted into a list of the pool.
    pub sorting: sorted::Sorting,
    /// Reason of the cut.
    pub reason: u16,
    /// [`Action`] of the cut; [`Action::Pass`] while there is none.
    pub cut: u8,
    /// 1: the reports of this pass go out.
    pub reporting: u8,
    /// 1: something of the segment passed unread in mode `monitor`.
    pub gap: u8,
    /// 1: a command asked for the mark.
    pub mark: u8,
    /// Scanner state.
    pub text: u8,
    /// 1: the cut is a command's; the event in hand is its.
    pub line_blocked: u8,
    /// 1: bytes are to be rewritten, which the pass that tells does.
    pub rewrites: u8,
    /// 1: the event in hand has not been told.
    pub unreported: u8,
    /// 1: a verb that passes begins with the word in hand.
    pub begins: u8,
    /// 1: a reply answers nothing.
    pub unmatched: u8,
    /// 1: bytes of a gap that come late are read: see [`crate::stream::gap`].
    pub late: u8,
    /// 1: they are not all counted alike, or there is an event.
    pub several: u8,
    /// 1: the line in `Work::new` is kept when the state is: see [`crate::stream::alike`].
    pub keeps_line: u8,
    /// 1: what is no more in a window is known by lines alike, or acknowledged.
    pub covered: u8,
}

/// `Run::differs`: what passed first is not known any more, or the segment does not give its bytes.
pub const FORGOTTEN: u32 = 1 << 16;

/// `Run::differs`: bytes of a chunk that had not come when the server refused it.
pub const REFUSED: u32 = 1 << 17;

/// `Run::differs`: the kernel did not give the segment's bytes.
pub const UNFETCHED: u32 = 1 << 18;

/// `Work::uncertain`: bytes that reading needs are missing.
pub const MISSING: u8 = 2;

/// No place.
pub const NOWHERE: u32 = u32::MAX;

open_enum! {
    /// How the judgement of a segment goes on.
    pub struct Next: u8 {
        /// It is over: all is counted and reported.
        SETTLED = 0;
        /// The segment passes, for the reason.
        PASSES = 1;
        /// A guard's action is taken.
        GUARDED = 2;
        /// In mode `enforce` the verdict is carried out, whatever the policy says; otherwise the segment passes.
        HELD_BACK = 3;
        /// The client's bytes are to be read.
        READ_CLIENT = 4;
        /// The server's bytes are to be read.
        READ_SERVER = 5;
        /// It begins a connection, or belongs to none that is known.
        HANDSHAKE = 6;
        /// A client's segment, whose connection is to be found.
        FIND_CLIENT = 7;
        /// A server's segment, whose connection is to be found.
        FIND_SERVER = 8;
    }
}

/// What mode `monitor` passes over in a segment: the first thing that enforcement would have decided against it.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// See [`Run::place`].
    pub place: u32,
    /// See [`Run::reason`].
    pub reason: u16,
    /// [`Action`]; [`Action::Pass`] where there is nothing.
    pub action: u8,
}

impl Passed {
    const NOTHING: Self = Self { place: 0, reason: 0, action: 0 };
}

/// The client's dialogue as far as it was read beyond a gap: see [`crate::stream::gap`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Aside {
    /// The line in hand.
    pub line: Line,
    /// Its argument.
    pub arg: [u8; ARG_ROOM],
    /// Of the session.
    pub hold: Command,
    /// Of the session.
    pub doubt: u8,
}

/// What a step of the judgement came to. Every field is always filled.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Reason number.
    pub reason: u16,
    /// How the judgement goes on.
    pub next: Next,
    /// [`crate::verdict::Verdict`] by number.
    pub verdict: u8,
}

/// The working place.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct Work {
    /// The segment's facts.
    pub segment: Segment,
    /// Its connection.
    pub key: Key,
    /// A half-open connection in hand.
    pub half_open: HalfOpen,
    /// A connection that is gone, in hand.
    pub gone: Gone,
    /// Entries of a full table.
    pub sample: Sample,
    /// A copy of the connection's state, written back if the segment passes.
    pub state: State,
    /// An empty state, to copy: the compiler would fill the other byte by byte.
    pub blank: State,
    /// How far reading has come.
    pub run: Run,
    /// The event in hand; what all events of the segment share is filled in beforehand.
    pub event: Event,
    /// Where words of reply lines are not kept.
    pub discard: [u8; ARG_ROOM],
    /// What the last step came to.
    pub found: Found,
    /// Where and when the segment was met.
    pub met: Met,
    /// In the kernel: generation of the policies that judge it.
    pub generation: u32,
    /// What the frame is: a [`crate::wire::Kind`] by number.
    pub kind: u8,
    /// 1: the handshake was looked at.
    pub greeted: u8,
    /// What came of reading: a reason's number, and whether the state changed.
    pub taken: u32,
    /// Bytes of the link layer's header.
    pub link: u32,
    /// In the kernel: what offsets in the frame count from.
    pub start: u32,
    /// 1: a segment that passes carries the policy's mark.
    pub marked: u8,
    /// [`crate::event::Ended`] by number where the connection ends with this segment; else 0.
    pub ends: u8,
    /// 1: both sides have closed, and the last acknowledgement may have come with this segment.
    pub closing: u8,
    /// Number of the scope whose policy judges; 0: the whole's own.
    pub scope: u8,
    /// 1: the policy's mode is `monitor`.
    pub monitors: u8,
    /// Not 0: the state may be wrong from this segment on, for mode `monitor` has passed over something; [`MISSING`].
    pub uncertain: u8,
    /// See [`Passed`].
    pub passed: Passed,
    /// What is put aside while bytes of a gap are read that come late.
    pub aside: Aside,
    /// See [`Work::unknown`].
    pub hidden: AtomicU64,
    /// What is to be rewritten next.
    pub change: Change,
    /// Bytes whose pieces are looked through.
    pub data: pieces::Data,
    /// Bytes that are rewritten.
    pub old: Patch,
    /// What comes in their place.
    pub new: Patch,
    /// Bytes of the segment.
    pub piece: Piece,
}

impl Work {
    /// Gives `value` back as a number that nothing is known of. The verifier walks what follows a choice once for each
    /// known outcome; behind this, once.
    #[inline(always)]
    pub fn unknown<H: Host>(&self, value: u8) -> u8 {
        H::store(&self.hidden, value as u64);
        H::load(&self.hidden) as u8
    }

    /// The same of a greater number.
    #[inline(always)]
    pub fn unknown_number<H: Host>(&self, value: u32) -> u32 {
        H::store(&self.hidden, value as u64);
        H::load(&self.hidden) as u32
    }

    /// A fresh one.
    #[expect(clippy::new_without_default, reason = "as large as a page: nobody should make one without thinking")]
    pub const fn new() -> Self {
        Self {
            segment: Segment::EMPTY,
            key: Key { client: [0; 16], server: [0; 16], client_port: [0; 2], server_port: [0; 2] },
            half_open: HalfOpen::EMPTY,
            gone: Gone { ends: [0; 2], how: 0, reserved: 0 },
            sample: Sample::EMPTY,
            state: State::EMPTY,
            blank: State::EMPTY,
            run: Run::EMPTY,
            event: Event::EMPTY,
            discard: [0; ARG_ROOM],
            found: Found { reason: 0, next: Next::SETTLED, verdict: 0 },
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
            aside: Aside { line: State::EMPTY.line[0], arg: [0; ARG_ROOM], hold: Command::NONE, doubt: 0 },
            hidden: AtomicU64::new(0),
            change: Change::NONE,
            data: pieces::Data::NONE,
            old: [0; PATCH / 8],
            new: [0; PATCH / 8],
            piece: [0; 1 + PIECE / 8],
        }
    }

    /// The sequence number that the segment's receiver waits for: everything before has been forwarded.
    #[inline(always)]
    pub const fn next(&self) -> u32 {
        self.state.side[self.event.direction as usize & 1].next
    }

    /// Ends the reading: what was decided, and at which place of the stream.
    #[inline(always)]
    pub fn cut(&mut self, reason: u16, action: u8, place: u32) {
        self.run.reason = reason;
        self.run.cut = action;
        self.run.place = place;
    }

    /// The same, for what the stream forces.
    #[inline(always)]
    pub fn hold_back(&mut self, reason: Reason) {
        self.cut(reason.number(), Action::Drop as u8, self.segment.sequence);
    }

    /// Begins a judgement: nothing was passed over yet.
    #[inline(always)]
    pub const fn begin(&mut self, monitors: bool) {
        self.monitors = monitors as u8;
        self.uncertain = 0;
        self.passed = Passed::NOTHING;
    }

    /// In mode `monitor` reading goes on whatever was decided against the segment (I13): takes that back, and notes what
    /// enforcement would have done for a guard. `false` in mode `enforce`.
    #[inline(always)]
    pub fn passes_over(&mut self) -> bool {
        if self.monitors == 0 {
            return false;
        }
        self.pass_over()
    }

    // verifier: a function of its own.
    #[inline(never)]
    fn pass_over(&mut self) -> bool {
        self.uncertain |= 1;
        if self.run.reason < Reason::OutOfOrder.number() {
            self.note(self.run.reason, self.run.cut, self.run.place);
        } else {
            self.uncertain |= MISSING;
        }
        self.run.cut = 0;
        true
    }

    /// Notes what enforcement would have done, unless something was noted before.
    #[inline(always)]
    pub fn note(&mut self, reason: u16, action: u8, place: u32) {
        if self.passed.action == 0 {
            self.passed = Passed { place, reason, action };
        }
    }

    /// From `at` on the client's bytes are of another kind; `false` where that cannot be remembered, and the segment is held
    /// back. Mode `monitor` forgets what came before instead.
    #[inline(never)]
    pub fn begin_region(&mut self, kind: Mode, at: u32) -> bool {
        // The client may say nothing more until the reply has come that begins it: so what is acknowledged is forgotten here, too.
        let memory = &mut self.state.memory;
        if memory.begin_region(kind, at) || memory.forget_first(self.run.acknowledged) && memory.begin_region(kind, at)
        {
            return true;
        }
        self.hold_back(Reason::Backlog);
        if !self.passes_over() {
            return false;
        }
        self.state.memory.regions = 0;
        self.state.memory.begin_region(kind, at)
    }

    /// A command waits for its reply; `false` where no more are remembered, and the segment is held back. In mode `monitor` it
    /// counts as one more like the last.
    #[inline(always)]
    pub fn wait(&mut self, kind: Command) -> bool {
        if self.state.session.wait(kind) {
            return true;
        }
        self.hold_back(Reason::Backlog);
        if self.passes_over() {
            self.state.session.wait_like_the_last();
        }
        self.run.cut == 0
    }
}

impl Run {
    /// Nothing read yet.
    pub const EMPTY: Self = Self {
        chunk: 0,
        at: 0,
        end: 0,
        piece_at: 0,
        piece_length: 0,
        from: 0,
        read: 0,
        found: NOWHERE,
        scan_at: 0,
        scan_to: 0,
        exact: 0,
        dotted: 0,
        acknowledged: 0,
        next: 0,
        place: 0,
        commands: 0,
        line: 0,
        lines: 0,
        like: 0,
        differs: 0,
        first: 0,
        kept: 0,
        reply_at: 0,
        reply_length: 0,
        alike_at: 0,
        alike_to: 0,
        windowed: 0,
        ranges: out_of_order::Found::NONE,
        places: boundaries::Places::NONE,
        sorting: sorted::Sorting::NONE,
        reason: 0,
        cut: 0,
        reporting: 0,
        gap: 0,
        mark: 0,
        text: 0,
        line_blocked: 0,
        rewrites: 0,
        unreported: 0,
        begins: 0,
        unmatched: 0,
        late: 0,
        several: 0,
        covered: 0,
        keeps_line: 0,
    };
}
