//! The lock of a connection: a word taken by compare-exchange, with a bounded wait. No kernel lock will do: no
//! helper may be called under one.

use core::sync::atomic::AtomicU64;

use crate::host::{Host, Step};

/// Tries before the segment is dropped: a millisecond or two, what a segment with nothing but lines of small chunks takes.
const TRIES: u32 = 1 << 17;

struct Try<'a, H> {
    lock: &'a AtomicU64,
    taken: &'a mut u32,
    host: core::marker::PhantomData<H>,
}

impl<H: Host> Step for Try<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        if H::compare_exchange(self.lock, 0, 1) {
            *self.taken = 1;
            return true;
        }
        false
    }
}

/// Takes the lock; `false` where it could not be had in the bounded wait.
#[inline(always)]
pub fn take<H: Host>(lock: &AtomicU64) -> bool {
    if H::compare_exchange(lock, 0, 1) {
        return true;
    }
    let mut taken = 0;
    H::repeat(TRIES, &mut Try::<H> { lock, taken: &mut taken, host: core::marker::PhantomData });
    taken != 0
}

/// Gives the lock back.
#[inline(always)]
pub fn release<H: Host>(lock: &AtomicU64) {
    H::publish(lock, 0);
}
