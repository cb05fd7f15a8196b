//! One direction of a dialogue, and the comparison with the model.

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    commands::Cut,
    stream::Model,
    transport::{Cuts, Receiver, Segment, Sender, Wire},
};
use crate::{Random, dialogue::Side};

/// What became of a segment's payload.
#[derive(Debug)]
pub enum Passage {
    /// It came out as this.
    Passed(Vec<u8>),
    /// Nothing came out.
    Dropped,
    /// The connection was reset.
    Reset,
}

/// What follows from it for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It goes on.
    GoesOn,
    /// It is reset.
    Reset,
}

/// A direction, from a sender to the other side's receiver.
#[derive(Debug)]
pub struct Flow {
    from: Side,
    /// The sender's TCP.
    pub sender: Sender,
    /// In front of the filter.
    pub before: Wire,
    /// Behind it.
    pub after: Wire,
    /// The receiver's TCP.
    pub receiver: Receiver,
    /// What the model says of the bytes that have passed in their order.
    pub expected: Vec<u8>,
    /// Where the segments ended that brought something new.
    ends: Vec<usize>,
    /// Segments that passed in front of a gap.
    early: Vec<(usize, usize)>,
    /// Bytes whose acknowledgement has met the filter: no receiver takes another copy of them.
    pub acknowledged: usize,
    /// Segments that were held back though they came in their order and the policy allows them.
    pub held: usize,
    /// Sequence number of the first byte.
    pub start: u32,
}

impl Flow {
    /// Nothing said yet.
    pub fn new(from: Side, start: u32, random: &mut Random) -> Self {
        // `docs/limitations.md`: of segments with less than four bytes at most 16 go unacknowledged.
        let (cuts, flight) = match random.below(6) {
            0 => (Cuts::Bytes, 16),
            1 => (Cuts::UpTo(3), 16),
            2 => (Cuts::UpTo(20), 200),
            3 => (Cuts::UpTo(200), 4000),
            _ => (Cuts::Whole, 4000),
        };
        let longest = random.of(&[536, 1400]);
        Self {
            from,
            sender: Sender::new(cuts, longest, flight),
            before: Wire::default(),
            after: Wire::default(),
            receiver: Receiver::default(),
            expected: Vec::new(),
            ends: Vec::new(),
            early: Vec::new(),
            acknowledged: 0,
            held: 0,
            start,
        }
    }

    /// Compares what became of a segment with what the model says; what passed is put on the line behind the filter.
    pub fn judge(&mut self, model: &mut Model, segment: Segment, passage: Passage) -> Result<Judged> {
        let (next, begin, end) = (self.expected.len(), segment.from, segment.from + segment.payload.len());
        // A chunk's line says where it ends: what is missing of it is passed over, and comes as a retransmission.
        let jumps = begin > next && model.in_chunk(self.from, begin - next);
        if begin > next && !jumps || end <= next {
            return self.judge_out_of_order(model, segment, passage);
        }
        let mut advanced = model.clone();
        let says = advanced.forward(self.from, &self.sender.stream[next..end]);
        match (says, passage) {
            (Err(Cut::Reset), Passage::Reset) => return Ok(Judged::Reset),
            (Err(Cut::Drop), Passage::Dropped) => {}
            // What cannot be judged yet may be held back: whether it ever gets through is seen later.
            (Ok(_), Passage::Dropped) => self.held += 1,
            (Ok(out), Passage::Passed(payload)) => {
                *model = advanced;
                self.expected.extend(out);
                self.ends.push(end);
                self.follow(model)?;
                self.compare(segment, payload)?;
            }
            (Ok(out), Passage::Reset) => bail!("a reset where the model says that it passes as {}", out.escape_ascii()),
            (Err(cut), passage) => bail!("it was {passage}, and the model says {cut:?}"),
        }
        Ok(Judged::GoesOn)
    }

    /// A repeat, an acknowledgement, or what comes in front of a gap.
    fn judge_out_of_order(&mut self, model: &Model, segment: Segment, passage: Passage) -> Result<Judged> {
        let (next, begin, end) = (self.expected.len(), segment.from, segment.from + segment.payload.len());
        match passage {
            Passage::Reset => bail!("a reset for a repeat, or for what is early: {next} was to come next"),
            Passage::Dropped => {}
            Passage::Passed(payload) => {
                if begin > next && end > begin {
                    ensure!(model.opaque(self.from, end - next), "it passed unread: {next} was to come next");
                    self.early.push((begin, end));
                }
                self.compare(segment, payload)?;
            }
        }
        Ok(Judged::GoesOn)
    }

    /// A repeat of what is not acknowledged. In mail data none ends at a line's end where no segment ended before:
    /// `docs/limitations.md` says that such repeats are dropped, and where they are not, what follows them is.
    pub fn again(&mut self, random: &mut Random) -> Option<(usize, usize)> {
        let (from, to) = self.sender.again(random)?;
        let known = self.ends.iter().chain(self.early.iter().map(|(_, end)| end));
        if to >= self.expected.len() || !self.sender.is_beside_line_end(to) {
            return Some((from, to));
        }
        Some((from, known.copied().filter(|end| *end >= to).min().unwrap_or(to)))
    }

    /// Whether the policy drops something that has been sent and has not passed.
    pub fn is_blocked(&self, model: &Model) -> bool {
        let open = &self.sender.stream[self.expected.len()..self.sender.sent];
        model.clone().forward(self.from, open) == Err(Cut::Drop)
    }

    /// What passed early follows, now that the gap is filled.
    fn follow(&mut self, model: &mut Model) -> Result<()> {
        loop {
            let next = self.expected.len();
            let Some((_, end)) = self.early.iter().find(|(begin, end)| *begin <= next && *end > next) else {
                self.early.retain(|(begin, _)| *begin > next);
                return Ok(());
            };
            match model.forward(self.from, &self.sender.stream[next..*end]) {
                Ok(out) => self.expected.extend(out),
                Err(cut) => bail!("the model says {cut:?} of what passed early"),
            }
        }
    }

    fn compare(&mut self, segment: Segment, payload: Vec<u8>) -> Result<()> {
        let (begin, end) = (segment.from, segment.from + segment.payload.len());
        ensure!(payload.len() == end - begin, "{} bytes came out of {}", payload.len(), end - begin);
        for (at, byte) in (begin..).zip(&payload) {
            let right = self.expected.get(at).or(self.sender.stream.get(at)).copied().context("a byte")?;
            let expected = || &self.expected[begin.min(self.expected.len())..end.min(self.expected.len())];
            // `docs/limitations.md`: a repeat of what is acknowledged may come as `*`.
            ensure!(
                *byte == right || at < self.acknowledged && *byte == b'*',
                "byte {at} came out as {:?} and not as {:?}; expected {}",
                char::from(*byte),
                char::from(right),
                expected().escape_ascii()
            );
        }
        self.after.put(Segment { payload, ..segment });
        Ok(())
    }
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(payload) => write!(f, "passed as {}", payload.escape_ascii()),
            Self::Dropped => f.write_str("dropped"),
            Self::Reset => f.write_str("reset"),
        }
    }
}
