//! Which entry of the sample goes first.

use core::marker::PhantomData;

use super::{
    rank::{BUSY, IDLE, SENDING, TIME},
    sample::{NOBODY, SAMPLE, Sample},
};
use crate::{
    flow::owner::owner,
    host::{Host, Step},
    work::Work,
};

/// Counts the entries of one address.
struct Count<'a> {
    sample: &'a mut Sample,
    owner: u64,
}

impl Step for Count<'_> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        if self.sample.owner[index as usize & (SAMPLE - 1)] == self.owner {
            self.sample.count += 1;
        }
        false
    }
}

/// Looks for the entry that goes first.
struct Choose<'a, H> {
    work: &'a mut Work,
    /// `false` in the first pass: the shares of other addresses do not matter while some entry has ended, is silent or
    /// idle.
    shares: bool,
    host: PhantomData<H>,
}

impl<H: Host> Step for Choose<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let newcomer = owner(&self.work.key);
        let sample = &mut self.work.sample;
        let at = index as usize & (SAMPLE - 1);
        let (owner, score) = (sample.owner[at], sample.score[at]);
        let rank = score >> TIME;
        if owner == 0 || rank >= SENDING || (rank > IDLE) != self.shares {
            return false;
        }
        let own = owner == newcomer;
        if !own && has_share(sample.own, sample.all) {
            return false;
        }
        let mut score = score;
        if self.shares {
            sample.count = 0;
            H::run_steps(SAMPLE as u32, &mut Count { sample, owner });
            let over = !own && has_share(sample.count, sample.all);
            if rank == BUSY {
                if !over || !has_little(sample.own, sample.all) {
                    return false;
                }
                score -= 1 << TIME;
            }
            if over && rank < BUSY {
                score = score & ((1 << TIME) - 1) | IDLE << TIME;
            }
        }
        if score < sample.best {
            sample.best = score;
            sample.best_at = index;
        }
        false
    }
}

/// Whether an address has more than its share of the table: a quarter.
#[inline(always)]
const fn has_share(count: u32, all: u32) -> bool {
    count * 4 > all
}

/// Whether an address has so little (at most a sixteenth) that it may evict a transaction of one that has too much.
#[inline(always)]
const fn has_little(count: u32, all: u32) -> bool {
    count * 16 <= all
}

/// Chooses the entry that gives way to the newcomer: [`Sample::best_at`], or none if [`Sample::best`] is [`NOBODY`].
#[inline(always)]
pub fn choose<H: Host>(work: &mut Work) {
    work.sample.best = NOBODY;
    H::run_steps(SAMPLE as u32, &mut Choose::<H> { work, shares: false, host: PhantomData });
    if work.sample.best == NOBODY {
        H::run_steps(SAMPLE as u32, &mut Choose::<H> { work, shares: true, host: PhantomData });
    }
}
