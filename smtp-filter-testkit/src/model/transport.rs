//! One direction of a connection: a sender's TCP, two bad lines with the filter between them, and a receiver's TCP.

use std::{collections::VecDeque, ops::Range};

use anyhow::{Result, ensure};

use crate::Random;

/// A segment under way.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Offset of its first byte.
    pub from: usize,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Bytes of the other direction that it acknowledges.
    pub acknowledged: usize,
}

/// What is bad about a dialogue's lines, of a hundred segments.
#[derive(Clone, Copy, Debug)]
pub struct Badness {
    /// Never arrive.
    pub lost: u32,
    /// Arrive two times.
    pub twice: u32,
    /// Are overtaken by later ones.
    pub overtaken: u32,
    /// Sent again without need.
    pub again: u32,
}

impl Badness {
    /// Nothing is bad about them.
    pub fn is_none(self) -> bool {
        self.lost + self.twice + self.overtaken + self.again == 0
    }
}

/// A line on which segments are lost, doubled and overtaken.
#[derive(Debug, Default)]
pub struct Wire(VecDeque<Segment>);

impl Wire {
    /// Nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A segment sets out.
    pub fn put(&mut self, segment: Segment) {
        self.0.push_back(segment);
    }

    /// The next segment that comes out of it.
    pub fn take(&mut self, random: &mut Random, badness: Badness) -> Option<Segment> {
        let at = if random.percent(badness.overtaken) { random.below(self.0.len()) } else { 0 };
        let segment = self.0.remove(at)?;
        if random.percent(badness.lost) {
            return None;
        }
        if random.percent(badness.twice) {
            self.0.push_back(segment.clone());
        }
        Some(segment)
    }
}

/// How a sender cuts its stream.
#[derive(Clone, Copy, Debug)]
pub enum Cuts {
    /// Each byte is a segment.
    Bytes,
    /// Up to so many bytes.
    UpTo(usize),
    /// As much as there is.
    Whole,
}

/// A sender.
#[derive(Debug)]
pub struct Sender {
    /// All that it has to say so far.
    pub stream: Vec<u8>,
    /// What has been sent.
    pub sent: usize,
    /// What has been acknowledged.
    pub acknowledged: usize,
    /// Where the segments of the first transmission begin and end.
    pub segments: Vec<(usize, usize)>,
    /// Where mail texts lie, ends of data included.
    pub texts: Vec<Range<usize>>,
    cuts: Cuts,
    /// Longest segment.
    longest: usize,
    /// Most that is under way, in bytes.
    flight: usize,
}

impl Sender {
    /// With nothing to say yet.
    pub fn new(cuts: Cuts, longest: usize, flight: usize) -> Self {
        Self {
            stream: Vec::new(),
            sent: 0,
            acknowledged: 0,
            segments: Vec::new(),
            texts: Vec::new(),
            cuts,
            longest,
            flight,
        }
    }

    fn length(&self, random: &mut Random) -> usize {
        match self.cuts {
            Cuts::Bytes => 1,
            Cuts::UpTo(most) => 1 + random.below(most),
            Cuts::Whole => self.longest,
        }
    }

    /// The next new segment, if there is something to say and room for it. What follows an end of data goes on
    /// its own only when the text is there: `docs/limitations.md` says what becomes of commands that overtake
    /// an end of data.
    pub fn next(&mut self, random: &mut Random) -> Option<(usize, usize)> {
        let from = self.sent;
        if from == self.stream.len() || from - self.acknowledged >= self.flight {
            return None;
        }
        let mut to = (from + self.length(random)).min(self.stream.len());
        if let Some(text) = self.texts.iter().rfind(|text| text.end > self.acknowledged && text.end < to) {
            if from != self.acknowledged {
                if text.end <= from {
                    return None;
                }
                to = text.end;
            }
        }
        self.sent = to;
        self.segments.push((from, to));
        Some((from, to))
    }

    /// A segment that is sent again: as it was, or cut anew from the first byte that is not acknowledged.
    pub fn again(&mut self, random: &mut Random) -> Option<(usize, usize)> {
        let from = self.acknowledged;
        if from == self.sent {
            return None;
        }
        if random.one_in(3) {
            let open: Vec<_> = self.segments.iter().filter(|(_, to)| *to > from).collect();
            return open.get(random.below(open.len().min(4))).map(|segment| **segment);
        }
        let mut to = from + if random.one_in(2) { self.longest } else { self.length(random) };
        if random.one_in(3) {
            // Merged with what has not been sent yet.
            to = to.min(self.stream.len());
            if !self.texts.iter().any(|text| (from + 1..to).contains(&text.end)) && to > self.sent {
                self.segments.push((self.sent, to));
                self.sent = to;
            }
        }
        Some((from, to.min(self.sent)))
    }

    /// Whether a place in mail data is beside a CR or LF.
    pub fn is_beside_line_end(&self, at: usize) -> bool {
        let is_end = |at: usize| matches!(self.stream.get(at), Some(b'\r' | b'\n'));
        let in_text = self.texts.iter().any(|text| text.start < at && at <= text.end);
        in_text && (is_end(at - 1) || is_end(at))
    }
}

/// A receiver: it keeps the first copy of what comes early, and looks whether later ones differ.
#[derive(Debug, Default)]
pub struct Receiver {
    copies: Vec<Option<u8>>,
    /// What it has put together.
    pub delivered: Vec<u8>,
}

impl Receiver {
    /// Takes a segment.
    pub fn take(&mut self, segment: &Segment) -> Result<()> {
        let end = segment.from + segment.payload.len();
        if self.copies.len() < end {
            self.copies.resize(end, None);
        }
        let read = self.delivered.len();
        for (at, byte) in (segment.from..).zip(&segment.payload).filter(|(at, _)| *at >= read) {
            let first = *self.copies[at].get_or_insert(*byte);
            ensure!(first == *byte, "byte {at} came as {first:#04x}, and again as {byte:#04x}");
        }
        while let Some(Some(byte)) = self.copies.get(self.delivered.len()) {
            self.delivered.push(*byte);
        }
        Ok(())
    }
}
