//! Draws the sample of a full table.

use super::{
    rank::score,
    roster::{self, random_slot},
    sample::{NOBODY, SAMPLE},
};
use crate::{
    flow::owner::owner,
    host::{Host, Step},
    work::Work,
};

/// Draws one entry in each step.
struct Draw<'a, H> {
    host: &'a mut H,
    work: &'a mut Work,
    now: u64,
}

impl<H: Host> Step for Draw<'_, H> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, sample) = (&mut *self.host, &mut self.work.sample);
        let at = index as usize & (SAMPLE - 1);
        let slot = random_slot(host);
        sample.owner[at] = 0;
        sample.score[at] = NOBODY;
        sample.slot[at] = slot;
        if !host.roster(slot, &mut sample.key) {
            return false;
        }
        let Some(entry) = roster::at(host, &sample.key, slot) else { return false };
        let shared = host.shared(entry);
        // An entry that is still being made has no number.
        if H::load(&shared.id) == 0 {
            return false;
        }
        sample.owner[at] = owner(&sample.key);
        sample.score[at] = score(H::load(&shared.flags), H::load(&shared.seen), self.now);
        sample.all += 1;
        sample.own += (sample.owner[at] == owner(&self.work.key)) as u32;
        false
    }
}

/// Draws a sample, for the newcomer whose key is in the working area.
#[inline(always)]
pub fn draw<H: Host>(host: &mut H, work: &mut Work, now: u64) {
    work.sample.all = 0;
    work.sample.own = 0;
    H::run_steps(SAMPLE as u32, &mut Draw { host, work, now });
}
