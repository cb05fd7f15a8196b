//! Replay: the frames of a capture through the datapath, in user space, without root.
//!
//! `source` (bytes of a file) -> `capture` (frames with their times) -> `link` (where IP begins, which way it went) ->
//! [`Replay`] (the datapath, in user space or elsewhere, and the words for its events) -> `write` (what came out, in a
//! file).
//!
//! A capture tells what happened without the filter, and is judged as if the filter had been there: what it drops never
//! reaches the other side's state, as in the kernel. What the two would have said to one another afterwards nobody
//! knows; the rest of the capture is judged all the same.

pub mod capture;
mod format;
mod judge;
pub mod kernel;
mod link;
mod merged;
mod post;
pub mod progress;
mod source;
mod tap;
mod veth;
pub mod write;

use std::{collections::HashSet, fmt::Write as _};

use anyhow::Result;
use smtp_filter_common::{
    met::Met,
    userspace::World,
    verdict::Verdict,
    wire::{self, Kind, Segment},
};

use self::{capture::Packet, judge::Out, link::Found, merged::Merged};
pub use self::{
    judge::Judge,
    link::{Link, Way},
    source::Source,
};
use crate::{
    clock::WallClock,
    events::view::{EventView, Lookup},
    policy::{self, Compiled, Document, Names},
    tables::CounterRow,
};

/// Interface index of frames of which the capture does not say where they were met. All of them come one way, so that
/// nothing is concluded from it: which side a segment came from is known to the hook alone, and its addresses, which a
/// forger chooses, are no evidence.
const SOMEWHERE: u32 = 1;
/// Interface index of a capture's first interface, where it says which way frames went.
const FIRST: u32 = 2;

/// What was seen of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Frames.
    pub frames: u64,
    /// Their bytes, as captured.
    pub bytes: u64,
    /// Frames of the ports that were captured cut short, so that nothing can be said of them.
    pub cut_short: u64,
    /// Frames of link types that are not read.
    pub foreign: u64,
    /// Frames that would not have gone on.
    pub stopped: u64,
    /// Times of the first frame and the last one: nanoseconds after 1970.
    pub span: Option<(u64, u64)>,
}

/// The filter that judges a capture.
pub struct Replay<J = World> {
    judge: J,
    policy: Compiled,
    words: Words,
    seen: Seen,
    reset: HashSet<Ends>,
    merged: Merged,
}

/// A connection: addresses and ports, the lower ones first.
type Ends = [([u8; 16], u16); 2];

fn ends(segment: &Segment) -> Ends {
    let mut ends = [(segment.source, segment.source_port), (segment.destination, segment.destination_port)];
    ends.sort_unstable();
    ends
}

impl Replay {
    /// The filter in user space.
    pub fn new(document: &Document) -> Result<Self> {
        Self::before(World::new(), document)
    }

    /// The state of the datapath.
    pub fn world(&self) -> &World {
        &self.judge
    }
}

impl<J: Judge> Replay<J> {
    /// The filter with a policy, judged by `judge`. It is put on when the first frame comes: the grace for connections
    /// whose beginning the capture does not have counts from there.
    pub fn before(judge: J, document: &Document) -> Result<Self> {
        let mut names = Names::default();
        let policy = policy::compile(document, &mut names, 1, 0)?;
        let words = Words { names, interface: String::new() };
        Ok(Self { judge, policy, words, seen: Seen::default(), reset: HashSet::new(), merged: Merged::default() })
    }

    /// Judges a frame. `None`: nothing can be said of it.
    pub fn frame(&mut self, packet: &Packet<'_>) -> Result<Option<Verdict>> {
        let Packet { time, link, interface, way, bytes, length: _ } = *packet;
        self.seen.frames += 1;
        self.seen.bytes += bytes.len() as u64;
        let first = match self.seen.span {
            Some((first, _)) => first,
            None => {
                self.policy.grace_from(time);
                time
            }
        };
        self.seen.span = Some((first, time));
        let Some(link) = link else {
            self.seen.foreign += 1;
            return Ok(None);
        };
        let Found { frame, way: told, interface: told_interface } = link.find(bytes);
        let mut segment = Segment::EMPTY;
        let kind = wire::read(&frame, self.policy.whole(), &mut segment);
        if !packet.is_whole() && kind == Kind::Unreadable {
            self.seen.cut_short += 1;
            return Ok(None);
        }
        let piece = if kind == Kind::Segment { self.merged.piece(&frame, &segment, ends(&segment)) } else { 0 };
        self.words.interface.clear();
        match told_interface {
            Some(index) => write!(self.words.interface, "#{index}")?,
            None => self.words.interface.push_str(&interface.name),
        }
        let met = met(time, told_interface.unwrap_or(interface.index), told.or(way));
        let verdict = self.judge.judge(&self.policy, frame.merged_of(piece), met)?;
        match verdict {
            Verdict::Pass => {}
            Verdict::Reset => {
                self.reset.insert(ends(&segment));
                self.seen.stopped += 1;
            }
            Verdict::Drop | Verdict::ResetSender => self.seen.stopped += 1,
        }
        Ok(Some(verdict))
    }

    /// What came out for the frame that was judged last, frames of its own link type: bytes, and how many of them there
    /// were on the wire. What nothing can be said of is left as it is.
    pub fn out(
        &self,
        packet: &Packet<'_>,
        verdict: Option<Verdict>,
        mut each: impl FnMut(&[u8], u32) -> Result<()>,
    ) -> Result<()> {
        let (Some(link), Some(verdict)) = (packet.link, verdict) else { return each(packet.bytes, packet.length) };
        let Found { frame, .. } = link.find(packet.bytes);
        let header = &packet.bytes[..packet.bytes.len() - frame.network().len()];
        let Out { back, on } = self.judge.out(frame, verdict);
        if let Some(back) = back {
            let whole = [link.turned(header), back].concat();
            each(&whole, whole.len() as u32)?;
        }
        match on {
            // The same length, of which not all may have been captured.
            Some(on) if verdict == Verdict::Pass => each(&[header, &on].concat(), packet.length),
            Some(on) => {
                let whole = [header, &on].concat();
                each(&whole, whole.len() as u32)
            }
            None => Ok(()),
        }
    }

    /// The events of the last frame, which are taken.
    pub fn events(&mut self) -> Result<Vec<EventView>> {
        let events = self.judge.events()?;
        Ok(events.iter().map(|event| EventView::new(event, &mut self.words)).collect())
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Connections that were reset.
    pub fn resets(&self) -> usize {
        self.reset.len()
    }

    /// Connections that were opened.
    pub fn opened(&self) -> Result<u64> {
        self.judge.opened()
    }

    /// Every counter that is not zero.
    pub fn counters(&self) -> Result<Vec<CounterRow>> {
        self.judge.counters()
    }

    /// Which verb has which counter.
    pub fn names(&self) -> &Names {
        &self.words.names
    }
}

/// When and where. The datapath takes 0 for no time at all.
fn met(time: u64, interface: u32, way: Option<Way>) -> Met {
    let now = time.max(1);
    match way {
        None => Met { now, ifindex: SOMEWHERE, egress: false },
        Some(way) => Met { now, ifindex: FIRST.saturating_add(interface), egress: way == Way::Out },
    }
}

/// The words for an event's numbers.
struct Words {
    names: Names,
    interface: String,
}

impl Lookup for Words {
    fn reason(&mut self, number: u16) -> String {
        self.names.reason(number)
    }

    fn scope(&mut self, number: u16) -> Option<String> {
        self.names.scope(number).map(str::to_owned)
    }

    fn interface(&mut self, _index: u32) -> String {
        self.interface.clone()
    }

    /// The datapath's clock is the capture's, which counts from 1970.
    fn clock(&self) -> WallClock {
        WallClock::booted(0)
    }
}
