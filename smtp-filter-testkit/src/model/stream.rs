//! Both directions of a connection: what each end is to get.

use std::collections::VecDeque;

use smtp_filter::policy::Document;

use super::{
    commands::{Asked, Commands, Cut},
    replies::Replies,
    rules::Rules,
};
use crate::dialogue::Side;

/// A connection, from its first byte on.
#[derive(Clone, Debug)]
pub struct Model {
    rules: Rules,
    client: Commands,
    server: Replies,
    /// Commands whose replies have not been forwarded, the oldest first.
    asked: VecDeque<Asked>,
}

impl Model {
    /// Under a policy.
    pub fn new(document: &Document) -> Self {
        Self { rules: Rules::new(document), client: Commands::new(), server: Replies::new(), asked: VecDeque::new() }
    }

    /// What becomes of the next bytes of a side, which end where a segment does. They count as forwarded where
    /// they are not cut.
    pub fn forward(&mut self, from: Side, bytes: &[u8]) -> Result<Vec<u8>, Cut> {
        let mut next = self.clone();
        let out = match from {
            Side::Client => next.client.segment(&next.rules, &mut next.asked, bytes)?,
            Side::Server => next.server.segment(&next.rules, &mut next.asked, &mut next.client, bytes),
        };
        *self = next;
        Ok(out)
    }

    /// Whether the next bytes, this many, are of a chunk: they may come in any order, and reading goes on after them.
    pub fn in_chunk(&self, from: Side, length: usize) -> bool {
        matches!(from, Side::Client) && self.client.in_chunk(length)
    }

    /// Whether bytes may go on though some in front of them are missing: `end` is where theirs do, counted from the
    /// first that is missing.
    pub fn opaque(&self, from: Side, end: usize) -> bool {
        !self.rules.enforce
            || match from {
                Side::Client => self.client.opaque(end),
                Side::Server => self.server.opaque(),
            }
    }
}
