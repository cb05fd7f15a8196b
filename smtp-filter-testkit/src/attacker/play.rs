//! Runs by their seeds; scripts played again and cut down.

use super::{
    choices::{self, Attacker},
    run::{Filter, Run, Tally, Violation},
    script::{Op, Setup},
};
use crate::{Random, mix};

/// A run that broke a claim.
#[derive(Clone)]
pub struct Failure {
    /// What it was drawn from.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
    /// How it began.
    pub setup: Setup,
    /// What happened in it.
    pub ops: Vec<Op>,
}

/// What runs are like.
#[derive(Clone, Copy)]
pub struct Style {
    /// Things that happen in a run, at most.
    pub steps: u32,
    /// The policy changes within a run.
    pub changes: bool,
    /// Regions that began long ago.
    pub ages: bool,
    /// Frames with tags in their data.
    pub tags: bool,
    /// Of what was merged a part may be lost.
    pub pieces: bool,
    /// Servers that say more than one reply to a command.
    pub replies: bool,
    /// Handshakes that end in odd ways.
    pub handshakes: bool,
}

/// One run after the other on the same filter.
pub struct Player<'a, F> {
    run: Run<'a, F>,
    ops: Vec<Op>,
}

impl<'a, F: Filter> Player<'a, F> {
    /// Before the first run.
    pub fn new(filter: &'a mut F, setup: Setup) -> Self {
        Self { run: Run::new(filter, setup), ops: Vec::new() }
    }

    /// What filters.
    pub const fn filter(&mut self) -> &mut F {
        self.run.filter
    }

    /// The sums of all runs so far.
    pub const fn tally(&self) -> &Tally {
        &self.run.tally
    }

    /// The run with this seed.
    pub fn seed(&mut self, seed: u64, style: Style, policy: Option<u8>) -> Result<(), Box<Failure>> {
        let mut dice = Random::new(mix(seed));
        let policies = self.run.filter.policies().len() as u32;
        let mut setup = choices::setup(&mut dice, policies, style);
        setup.policy = policy.unwrap_or(setup.policy);
        self.ops.clear();
        let played = self.attack(dice, setup, style, policies);
        self.run.end();
        played.map_err(|violation| Box::new(Failure { seed, violation, setup, ops: self.ops.clone() }))
    }

    fn attack(&mut self, mut dice: Random, setup: Setup, style: Style, policies: u32) -> Result<(), Violation> {
        let steps = style.steps / 3 + dice.below(style.steps * 2 / 3);
        let mut attacker = Attacker::new(dice, policies, style);
        self.run.begin(setup)?;
        for _ in 0..steps {
            if self.run.over {
                break;
            }
            let op = attacker.next(&self.run);
            self.ops.push(op);
            self.run.apply(&op)?;
        }
        Ok(())
    }

    /// The last run, as a script.
    pub fn last(&self) -> (Setup, Vec<Op>) {
        (self.run.setup, self.ops.clone())
    }

    /// Where both ends and the filter are.
    pub fn state(&self) -> String {
        let Run { receiver, server, next, sent, client, .. } = &self.run;
        format!(
            "server: {:?}, waits for {}; filter: {} and {}; client: {} of {sent}",
            server.mode, receiver.next, next[0], next[1], client.next
        )
    }

    /// Plays a script.
    pub fn script(&mut self, setup: Setup, ops: &[Op]) -> Result<(), Violation> {
        self.run.begin(setup)?;
        ops.iter().try_for_each(|op| self.run.apply(op))
    }

    /// Leaves out of a script whatever is not needed to break the same claim.
    pub fn shrink(&mut self, failure: &Failure) -> Failure {
        let mut best = failure.clone();
        let kind = failure.violation.kind;
        for round in 0..8 {
            let before = (best.setup, best.ops.clone());
            let mut size = if round == 0 { (best.ops.len() / 2).max(1) } else { 1 };
            while size > 0 {
                let mut at = 0;
                while at < best.ops.len() {
                    let mut ops = best.ops.clone();
                    ops.drain(at..(at + size).min(best.ops.len()));
                    if !self.still(&mut best, kind, ops) {
                        at += size;
                    }
                }
                size /= 2;
            }
            for at in 0..best.ops.len() {
                for simpler in simpler(best.ops[at]) {
                    let mut ops = best.ops.clone();
                    ops[at] = simpler;
                    self.still(&mut best, kind, ops);
                }
            }
            if before == (best.setup, best.ops.clone()) {
                break;
            }
        }
        best
    }

    /// Whether the claim breaks with these ops, too; then they are the best.
    fn still(&mut self, best: &mut Failure, kind: &str, ops: Vec<Op>) -> bool {
        match self.script(best.setup, &ops) {
            Err(violation) if violation.kind == kind => {
                (best.violation, best.ops) = (violation, ops);
                true
            }
            _ => false,
        }
    }
}

/// The same with less in it.
fn simpler(op: Op) -> Vec<Op> {
    let Op::Client(segment) = op else { return Vec::new() };
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut super::script::Segment)| {
        let mut simple = segment;
        change(&mut simple);
        if simple != segment {
            all.push(Op::Client(simple));
        }
    };
    add(&|segment| segment.takes &= 1);
    add(&|segment| segment.takes = 0);
    add(&|segment| segment.piece = 0);
    add(&|segment| segment.tags = 0);
    add(&|segment| segment.padding = 0);
    add(&|segment| segment.options = 0);
    add(&|segment| segment.salt = 0);
    add(&|segment| segment.bytes.lead = 0);
    add(&|segment| segment.flags = 24);
    for length in 1..segment.bytes.literal().len() {
        add(&|segment| segment.bytes.truncate(length));
    }
    for at in 0..segment.bytes.literal().len() {
        add(&|segment| segment.bytes.literal_mut()[at] = b'a');
    }
    all
}
