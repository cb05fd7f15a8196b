//! A receiver's TCP: which copies of which bytes it puts together.

use super::script::Taste;
use crate::mix;

/// Bytes of a run at most: beyond them nothing is taken.
pub const ROOM: usize = 1 << 17;

const PRESENT: u32 = 0x100;
/// What brought the byte, above it.
const SEGMENT: u32 = 9;

/// What one end has of the other's stream.
pub struct Receiver {
    taste: Taste,
    /// What it would deliver at each offset.
    cells: Vec<u32>,
    /// Segments taken so far.
    taken: u32,
    /// Offset of the next byte that it waits for: all before is delivered, and acknowledged.
    pub next: usize,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// One that nothing has reached.
    pub const fn new() -> Self {
        Self { taste: Taste::First, cells: Vec::new(), taken: 0, next: 0 }
    }

    /// A new connection, in which it prefers these copies.
    pub fn begin(&mut self, taste: Taste) {
        self.taste = taste;
        self.cells.clear();
        (self.taken, self.next) = (0, 0);
    }

    /// A delivered byte.
    pub fn delivered(&self, at: usize) -> u8 {
        self.cells[at] as u8
    }

    /// A segment that it accepts.
    pub fn take(&mut self, offset: i32, bytes: &[u8], salt: u64) {
        self.taken = (self.taken + 1) & 0xffff;
        for (i, byte) in bytes.iter().enumerate() {
            let at = i64::from(offset) + i as i64;
            if at < self.next as i64 || at >= ROOM as i64 {
                continue;
            }
            let at = at as usize;
            if self.cells.len() <= at {
                self.cells.resize(at + 1, 0);
            }
            let cell = self.cells[at];
            let stays = cell & PRESENT != 0
                && match self.taste {
                    Taste::First => true,
                    Taste::Last => false,
                    // One choice for each of two segments that overlap.
                    Taste::Overlap => mix(salt << 20 ^ u64::from(cell >> SEGMENT)) & 1 != 0,
                    Taste::Byte => mix(salt << 20 ^ at as u64) & 1 != 0,
                };
            if !stays {
                self.cells[at] = self.taken << SEGMENT | PRESENT | u32::from(*byte);
            }
        }
        while self.cells.get(self.next).is_some_and(|cell| cell & PRESENT != 0) {
            self.next += 1;
        }
    }

    /// Forgets what is out of order.
    pub fn prune(&mut self) {
        self.cells.truncate(self.next);
    }
}
