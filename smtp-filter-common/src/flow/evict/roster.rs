//! The roster: an array with the keys of the live connections, each in a slot of its own.

use super::sample::NOWHERE;
use crate::{
    flow::Key,
    host::{Host, Step},
    work::Work,
};

/// Attempts to find a free slot of the roster.
const TRIES: u32 = 32;

/// A random slot of the roster.
#[inline(always)]
pub fn random_slot<H: Host>(host: &mut H) -> u32 {
    ((host.draw() as u64 * host.slots() as u64) >> 32) as u32
}

/// Finds a slot of the roster that no live connection has.
struct Free<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
}

impl<H: Host> Step for Free<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let (host, sample) = (&mut *self.host, &mut self.work.sample);
        let slot = random_slot(host);
        if !host.roster(slot, &mut sample.key) {
            return false;
        }
        if at(host, &sample.key, slot).is_some() {
            return false;
        }
        sample.free = slot;
        true
    }
}

/// Finds a connection, if it exists and has this slot of the roster.
#[inline(always)]
pub fn at<H: Host>(host: &mut H, key: &Key, slot: u32) -> Option<H::Entry> {
    // An unused slot: no connection comes from port 0.
    if key.client_port == [0; 2] {
        return None;
    }
    host.find(key).filter(|entry| H::load(&host.shared(*entry).slot) as u32 == slot)
}

/// A free slot of the roster; [`NOWHERE`] if none was found.
#[inline(always)]
pub fn free_slot<H: Host>(host: &mut H, work: &mut Work) -> u32 {
    work.sample.free = NOWHERE;
    H::run_steps(TRIES, &mut Free { host, work });
    work.sample.free
}
