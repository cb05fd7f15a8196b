//! The lock of a connection: a word taken by compare-exchange, with a bounded wait. No kernel lock will do: they are
//! refused in LRU tables, and no helper may be called under one.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::host::{Host, Step};

/// Tries before the segment is dropped: some hundred microseconds, several times what the longest segment takes.
const TRIES: u32 = 1 << 15;

struct Try<'a> {
    lock: &'a AtomicU32,
    taken: &'a mut u32,
}

impl Step for Try<'_> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        if self.lock.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            *self.taken = 1;
            return true;
        }
        false
    }
}

/// Takes the lock; `false` where it could not be had in the bounded wait.
#[inline(always)]
pub fn take<H: Host>(lock: &AtomicU32) -> bool {
    if lock.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        return true;
    }
    let mut taken = 0;
    H::repeat(TRIES, &mut Try { lock, taken: &mut taken });
    taken != 0
}

/// Gives the lock back.
#[inline(always)]
pub fn release(lock: &AtomicU32) {
    // An exchange orders what was written before it on every machine that runs eBPF; a plain store would not.
    lock.swap(0, Ordering::SeqCst);
}
