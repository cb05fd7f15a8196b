//! A model of what smtp-filter does to the bytes of both sides, written from RFC 5321 and `docs/policy.md`, which knows
//! nothing of the datapath; and dialogues that are led through the program and compared with it.
pub mod client;
pub mod commands;
pub mod conversation;
pub mod flow;
pub mod line;
pub mod middle;
pub mod policies;
pub mod replies;
pub mod rules;
pub mod server;
pub mod spoiled;
pub mod stream;
pub mod tally;
pub mod transport;
pub mod veth;
pub mod words;

use std::ops::Range;

/// The seeds of so many dialogues: another number by `DIALOGUES`, others by `SEED`.
pub fn seeds(usual: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let first: u64 = number("SEED").unwrap_or(0);
    first..first.saturating_add(number("DIALOGUES").unwrap_or(usual))
}
