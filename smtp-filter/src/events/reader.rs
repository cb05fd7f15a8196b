//! A reader of events: a ring buffer of its own in one of the slots.
//!
//! Every reader sees every event, and where nobody reads, the datapath finds no ring buffer and writes nothing. A slot
//! belongs to who holds the lock on its folder among the pins; the lock goes with its process, however that ends, and
//! the next command empties the slot.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use aya::maps::{MapData, RingBuf};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use smtp_filter_common::{bounds::READERS, event::Event};

use crate::{
    pins::{Attempt, DirLock, PinDir},
    tables::Tables,
};

/// A reader. On drop its slot is empty again.
pub struct EventReader {
    ring: RingBuf<MapData>,
    tables: Tables,
    slot: u32,
    lost: u64,
    /// Of a filter that is pinned: the lock on the slot's folder.
    lock: Option<DirLock>,
}

impl EventReader {
    /// A reader of a filter that lives in this process alone.
    pub(crate) fn of_unpinned(tables: Tables) -> Result<Self> {
        for slot in 0..READERS {
            if !tables.has_ring(slot)? {
                return Self::in_slot(tables, slot, None);
            }
        }
        all_taken()
    }

    /// A reader of a pinned filter.
    pub(crate) fn of_pinned(tables: Tables, pins: &PinDir) -> Result<Self> {
        for slot in 0..READERS {
            if let Attempt::Locked(lock) = DirLock::try_on(&pins.reader(slot))? {
                return Self::in_slot(tables, slot, Some(lock));
            }
        }
        all_taken()
    }

    fn in_slot(mut tables: Tables, slot: u32, lock: Option<DirLock>) -> Result<Self> {
        let ring = tables.put_ring(slot)?;
        let mut reader = Self { ring, tables, slot, lost: 0, lock };
        reader.lost = reader.lost_so_far()?;
        Ok(reader)
    }

    /// The next event, waited for so long.
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Event>> {
        let event = self.next();
        if event.is_some() {
            return Ok(event);
        }
        self.wait(patience)?;
        Ok(self.next())
    }

    fn wait(&self, patience: Duration) -> Result<()> {
        let mut ring = [PollFd::new(&self.ring, PollFlags::IN)];
        let patience = Timespec::try_from(patience).context("a time to wait")?;
        match poll(&mut ring, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("wait for events"),
        }
    }

    /// How many events found no room in the ring buffer since this was last asked.
    pub fn lost(&mut self) -> Result<u64> {
        let now = self.lost_so_far()?;
        Ok(now.saturating_sub(std::mem::replace(&mut self.lost, now)))
    }

    fn lost_so_far(&self) -> Result<u64> {
        Ok(self.tables.lost()?.events.get(self.slot as usize).copied().unwrap_or_default())
    }

    /// Whether the filter is still there.
    pub fn is_connected(&self) -> bool {
        self.lock.as_ref().is_none_or(DirLock::is_there)
    }
}

/// What is there. The end is only the end for now.
impl Iterator for EventReader {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            let item = self.ring.next()?;
            if let Some(event) = read_event(&item) {
                return Some(event);
            }
        }
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        if let Err(error) = self.tables.remove_ring(self.slot) {
            log::info!("the next command empties reader's slot {}: {error:#}", self.slot);
        }
    }
}

impl AsFd for EventReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for EventReader {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// Empties the slots of readers that are no more.
pub(crate) fn reclaim(tables: &mut Tables, pins: &PinDir) -> Result<()> {
    for slot in 0..READERS {
        if tables.has_ring(slot)?
            && let Attempt::Locked(_lock) = DirLock::try_on(&pins.reader(slot))?
        {
            tables.remove_ring(slot)?;
        }
    }
    Ok(())
}

fn all_taken<T>() -> Result<T> {
    bail!("all {READERS} places for readers of events are taken: end one of the others first")
}

/// An event from the bytes of the ring buffer.
fn read_event(bytes: &[u8]) -> Option<Event> {
    if bytes.len() < Event::SIZE {
        return None;
    }
    // SAFETY: `Event` is repr(C) of integers, so every pattern of bytes is one; there are at least `SIZE` bytes, and
    // the read asks for no alignment.
    Some(unsafe { bytes.as_ptr().cast::<Event>().read_unaligned() })
}
