//! What one segment's judgement needs to have at hand: too much for the kernel's stack of 512 bytes, so the shell lends
//! a place of its own to each CPU.

use crate::{
    action::Action,
    entry::State,
    event::Event,
    flow::{HalfOpen, Key},
    host::Piece,
    limits::{ARG_ROOM, PIECE},
    reason::Reason,
    wire::Segment,
};

/// How far a segment has been read, and what came of it.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Run {
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
    /// Place (sequence number) that a cut is reported at.
    pub place: u32,
    /// Commands judged in this segment.
    pub commands: u32,
    /// Bytes of the last command's line.
    pub line: u32,
    /// Bytes that differ from what passed first.
    pub differs: u32,
    /// Reason of the cut.
    pub reason: u16,
    /// [`Action`] of the cut; [`Action::Pass`] while there is none.
    pub cut: u8,
    /// 1: the reports of this pass go out.
    pub telling: u8,
    /// 1: something of the segment passed unread in mode `monitor`.
    pub gap: u8,
    /// 1: a command asked for the mark.
    pub mark: u8,
    /// Scanner state.
    pub text: u8,
    /// 1: the cut is a command's; the event in hand is its.
    pub line_cut: u8,
}

/// No place.
pub const NOWHERE: u32 = u32::MAX;

/// The working place.
#[repr(C, align(8))]
#[derive(Clone, Debug)]
pub struct Work {
    /// The segment's facts.
    pub segment: Segment,
    /// Its connection.
    pub key: Key,
    /// A half-open connection in hand.
    pub half: HalfOpen,
    /// A copy of the connection's state, written back if the segment passes.
    pub state: State,
    /// How far reading has come.
    pub run: Run,
    /// The event in hand; what all events of the segment share is filled in beforehand.
    pub event: Event,
    /// Where words of reply lines are not kept.
    pub discard: [u8; ARG_ROOM],
    /// Bytes of the segment.
    pub piece: Piece,
}

impl Work {
    /// A fresh one.
    pub const EMPTY: Self = Self {
        segment: Segment::EMPTY,
        key: Key { client: [0; 16], server: [0; 16], client_port: [0; 2], server_port: [0; 2] },
        half: HalfOpen::EMPTY,
        state: State::EMPTY,
        run: Run::EMPTY,
        event: Event::EMPTY,
        discard: [0; ARG_ROOM],
        piece: [0; 1 + PIECE / 8],
    };

    /// Ends the reading: what was decided, and at which place of the stream.
    #[inline(always)]
    pub fn cut(&mut self, reason: u16, action: Action, place: u32) {
        self.run.reason = reason;
        self.run.cut = action as u8;
        self.run.place = place;
    }

    /// The same, for what the stream forces.
    #[inline(always)]
    pub fn hold_back(&mut self, reason: Reason) {
        self.cut(reason.number(), Action::Drop, self.segment.sequence);
    }
}

impl Run {
    /// Nothing read yet.
    pub const EMPTY: Self = Self {
        at: 0,
        end: 0,
        piece_at: 0,
        piece_length: 0,
        from: 0,
        read: 0,
        found: NOWHERE,
        place: 0,
        commands: 0,
        line: 0,
        differs: 0,
        reason: 0,
        cut: 0,
        telling: 0,
        gap: 0,
        mark: 0,
        text: 0,
        line_cut: 0,
    };
}
