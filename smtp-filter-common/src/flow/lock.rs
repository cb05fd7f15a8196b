//! The lock of a connection: a word taken by compare-exchange, with a bounded wait. The kernel's spin lock is no use
//! here: no helper may be called while it is held.

use core::sync::atomic::AtomicU64;

use crate::{
    entry::Shared,
    host::{Host, Step},
};

/// Attempts before the segment is dropped: one or two milliseconds, the time for a segment full of small BDAT lines.
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

/// Takes the lock; `false` if it could not be taken within the bounded wait.
#[inline(always)]
pub fn take<H: Host>(lock: &AtomicU64) -> bool {
    if H::compare_exchange(lock, 0, 1) {
        return true;
    }
    let mut taken = 0;
    H::run_steps(TRIES, &mut Try::<H> { lock, taken: &mut taken, host: core::marker::PhantomData });
    taken != 0
}

/// Takes the lock of the connection with this number; `false` if it could not be taken, or the entry was given to
/// another connection meanwhile. An entry that is still being made has number 0.
#[inline(always)]
pub fn take_for<H: Host>(shared: &Shared, id: u64) -> bool {
    if id == 0 || !take::<H>(&shared.lock) {
        return false;
    }
    if H::load(&shared.id) != id {
        release::<H>(&shared.lock);
        return false;
    }
    true
}

/// Releases the lock.
#[inline(always)]
pub fn release<H: Host>(lock: &AtomicU64) {
    H::publish(lock, 0);
}
