//! What came of many dialogues.

use anyhow::{Result, ensure};

use super::conversation::{Conversation, Outcome};

/// Counts, to see that the dialogues were worth something.
#[derive(Debug, Default)]
pub struct Tally {
    whole: usize,
    dropped: usize,
    reset: usize,
    /// Segments with payload that met the filter.
    segments: usize,
    /// Bytes that arrived other than they were sent.
    changed: usize,
}

impl Tally {
    /// Counts a dialogue that has ended.
    pub fn count(&mut self, conversation: &Conversation) {
        match conversation.outcome() {
            Some(Outcome::Whole) => self.whole += 1,
            Some(Outcome::Dropped) => self.dropped += 1,
            Some(Outcome::Reset) => self.reset += 1,
            None => {}
        }
        self.segments += conversation.segments();
        self.changed += conversation.changed();
    }

    /// Every kind of end was there, and much was rewritten.
    pub fn was_worth_it(&self) -> Result<()> {
        println!("{self:?}");
        let all = self.whole + self.dropped + self.reset;
        let ends = self.whole > all / 2 && self.dropped > all / 100 && self.reset > all / 200;
        ensure!(ends && self.changed > 50 * all && self.segments > 20 * all, "{self:?}");
        Ok(())
    }
}
