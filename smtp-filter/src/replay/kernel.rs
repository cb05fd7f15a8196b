//! The filter in the kernel that judges a capture: a private instance of the programs, which judges each frame.
//!
//! It lives in a network namespace of its own, for the RSTs that it sends are really sent: they end there.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs, io,
    marker::PhantomData,
};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::UnshareFlags;
use smtp_filter_common::{
    abi::REPLAYED, event::Event, met::Met, userspace::SliceFrame, verdict::Verdict, wire::Frame as _,
};

use super::{
    judge::{Judge, Out},
    post::{Came, Post, State},
};
use crate::{
    events::reader::EventReader,
    loader::{Filter, LoadOptions},
    policy::Compiled,
    tables::CounterRow,
};

/// An Ethernet header's addresses; which ones does not matter.
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// EtherTypes of tags.
const TAGS: [[u8; 2]; 3] = [[0x81, 0], [0x88, 0xa8], [0x91, 0]];
/// Bytes of a tag.
const TAG: usize = 4;

/// The programs in the kernel.
pub struct Kernel {
    filter: Filter,
    reader: EventReader,
    state: State,
    /// Generation of the policy that they have.
    generation: Option<u32>,
    /// The posts, for each interface and direction.
    posts: HashMap<(u32, bool), Post>,
    /// The frame as it goes in.
    frame: Vec<u8>,
    /// What became of it.
    came: Came,
    /// The namespace is the thread's that made it.
    here: PhantomData<*const ()>,
}

impl Kernel {
    /// Moves the calling thread into a network namespace of its own, and loads the programs there.
    pub fn new() -> Result<Self> {
        // SAFETY: only the network namespace is left, and only by this thread; file descriptors stay shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
            .context("make a network namespace, which needs root (CAP_SYS_ADMIN)")?;
        // No interface says anything by itself. Where there is no IPv6, there is nothing to silence.
        match fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context("write /proc/sys/net/ipv6/conf/default/disable_ipv6");
            }
            _ => {}
        }
        let mut filter = Filter::load(&LoadOptions { replay: true, ..LoadOptions::default() })?;
        let reader = filter.reader()?;
        let map = filter.ebpf().take_map(REPLAYED).with_context(|| format!("the eBPF object has no map {REPLAYED}"))?;
        Ok(Self {
            filter,
            reader,
            state: State::new(map.try_into()?),
            generation: None,
            posts: HashMap::new(),
            frame: Vec::new(),
            came: Came { verdict: Verdict::Pass, on: Vec::new(), back: None },
            here: PhantomData,
        })
    }
}

impl Judge for Kernel {
    fn judge(&mut self, policy: &Compiled, frame: SliceFrame<'_>, met: Met) -> Result<Verdict> {
        self.frame.clear();
        self.frame.extend(ADDRESSES);
        self.frame.extend(frame.protocol().to_be_bytes());
        self.frame.extend(frame.network());
        if frame.network().is_empty() {
            // There is no such frame on a wire.
            self.came = Came { verdict: Verdict::Pass, on: self.frame.clone(), back: None };
            return Ok(Verdict::Pass);
        }
        if self.generation != Some(policy.generation()) {
            self.filter.set_policy(policy)?;
            self.generation = Some(policy.generation());
        }
        self.state.next(met.now, frame.piece())?;
        let (number, side) = (self.posts.len(), (met.ifindex, met.egress));
        let post = match self.posts.entry(side) {
            Entry::Occupied(post) => post.into_mut(),
            Entry::Vacant(place) => place.insert(Post::new(number, met.egress)?),
        };
        self.came = post.judge(&mut self.filter, &mut self.state, &self.frame, header(&self.frame))?;
        Ok(self.came.verdict)
    }

    fn out(&self, _: SliceFrame<'_>, verdict: Verdict) -> Out {
        let network = |frame: &Vec<u8>| frame.get(ETHERNET..).unwrap_or_default().to_vec();
        let goes_on = matches!(verdict, Verdict::Pass | Verdict::Reset);
        Out { back: self.came.back.as_ref().map(network), on: goes_on.then(|| network(&self.came.on)) }
    }

    fn events(&mut self) -> Result<Vec<Event>> {
        let events: Vec<Event> = self.reader.by_ref().collect();
        if !events.is_empty() {
            let lost = self.reader.lost()?;
            ensure!(lost == 0, "{lost} events found no room");
        }
        Ok(events)
    }

    fn counters(&self) -> Result<Vec<CounterRow>> {
        self.filter.counters()
    }

    fn opened(&self) -> Result<u64> {
        Ok(self.filter.tables().lost()?.opened)
    }
}

/// Bytes of a frame's Ethernet header, tags included.
fn header(frame: &[u8]) -> usize {
    let mut header = ETHERNET;
    while frame.len() > header + TAG && TAGS.iter().any(|tag| frame[header - 2..header] == *tag) {
        header += TAG;
    }
    header
}
