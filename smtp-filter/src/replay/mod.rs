//! Replay: the frames of a capture through the datapath, in user space, without root.
//!
//! `source` (bytes of a file) -> `capture` (frames with their times) -> `link` (where IP begins, which way it went) ->
//! [`Replay`] (the datapath, and the words for its events).
//!
//! A capture tells what happened without the filter, and is judged as if the filter had been there: what it drops never
//! reaches the other side's state, as in the kernel. What the two would have said to one another afterwards nobody
//! knows; the rest of the capture is judged all the same.

pub mod capture;
mod link;
pub mod progress;
mod source;

use std::collections::HashSet;

use anyhow::Result;
use smtp_filter_common::{
    action::Action,
    datapath::Met,
    event::Event,
    flow::Key,
    policy::Policy,
    reason::{Counter, REASONS},
    userspace::{SliceFrame, World},
    verdict::Verdict,
    wire::{self, Kind, Segment},
};

use self::{capture::Packet, link::Found};
pub use self::{
    link::{Link, Way},
    source::Source,
};
use crate::{
    clock::WallClock,
    events::view::{EventView, Lookup},
    policy::{self, Document, Names},
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

/// The filter in front of a capture.
pub struct Replay {
    world: World,
    policy: Box<Policy>,
    words: Words,
    seen: Seen,
    reset: HashSet<Key>,
}

impl Replay {
    /// The filter with a policy. It is put on when the first frame comes: the grace for connections whose beginning
    /// the capture does not have counts from there.
    pub fn new(document: &Document) -> Result<Self> {
        let mut names = Names::default();
        let policy = policy::compile(document, &mut names, 1, 0)?;
        let words = Words { names, interface: String::new() };
        Ok(Self { world: World::new(), policy, words, seen: Seen::default(), reset: HashSet::new() })
    }

    /// Judges a frame. `None`: nothing can be said of it.
    pub fn frame(&mut self, packet: &Packet<'_>) -> Option<Verdict> {
        let Packet { time, link, interface, way, bytes, whole } = *packet;
        self.seen.frames += 1;
        self.seen.bytes += bytes.len() as u64;
        let first = match self.seen.span {
            Some((first, _)) => first,
            None => {
                self.policy.grace_until = self.policy.grace_until.saturating_add(time);
                time
            }
        };
        self.seen.span = Some((first, time));
        let Some(link) = link else {
            self.seen.foreign += 1;
            return None;
        };
        let Found { frame, way: told, interface: told_interface } = link.find(bytes);
        if !whole && wire::read(&frame, &self.policy, &mut Segment::EMPTY.clone()) == Kind::Unreadable {
            self.seen.cut_short += 1;
            return None;
        }
        let met = met(time, told_interface.unwrap_or(interface.index), told.or(way));
        let verdict = self.judge(frame, met);
        if !self.world.events.is_empty() {
            self.words.interface = match told_interface {
                Some(index) => format!("#{index}"),
                None => interface.name.clone(),
            };
        }
        Some(verdict)
    }

    fn judge(&mut self, frame: SliceFrame<'_>, met: Met) -> Verdict {
        let verdict = self.world.frame(&self.policy, frame, met);
        match verdict {
            Verdict::Pass => {}
            Verdict::Reset => {
                self.reset.insert(self.world.last().key);
                self.seen.stopped += 1;
            }
            Verdict::Drop | Verdict::ResetSender => self.seen.stopped += 1,
        }
        verdict
    }

    /// The events of the last frame, which are taken.
    pub fn events(&mut self) -> Vec<EventView> {
        let events: Vec<Event> = self.world.events.drain(..).collect();
        events.iter().map(|event| EventView::new(event, &mut self.words)).collect()
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Connections that were reset.
    pub fn resets(&self) -> usize {
        self.reset.len()
    }

    /// Every counter that is not zero.
    pub fn counters(&self) -> Vec<CounterRow> {
        let mut rows = Vec::new();
        for reason in 0..REASONS as u16 {
            for action in Action::ALL {
                for enforced in [true, false] {
                    let counter = self.world.counter(reason, action, enforced);
                    if counter != Counter::default() {
                        rows.push(CounterRow { reason, action, enforced, counter });
                    }
                }
            }
        }
        rows
    }

    /// Which verb has which counter.
    pub fn names(&self) -> &Names {
        &self.words.names
    }

    /// The state of the datapath.
    pub fn world(&self) -> &World {
        &self.world
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

    fn interface(&mut self, _index: u32) -> String {
        self.interface.clone()
    }

    /// The datapath's clock is the capture's, which counts from 1970.
    fn clock(&self) -> WallClock {
        WallClock::booted(0)
    }
}
