//! The first step: whether a segment is judged at all, and who sends it.

use super::{Key, ports::Ports};
use crate::{
    met::Met,
    outcome::Outcome,
    policy::Policy,
    reason::Reason,
    verdict::Verdict,
    wire::{Kind, SYN},
    work::Work,
};

/// First step: who sends the segment, by the ports alone.
#[inline(always)]
pub fn begin(whole: &Policy, work: &mut Work, kind: Kind, met: Met) {
    work.marked = 0;
    work.ends = 0;
    work.closing = 0;
    work.scope = 0;
    work.greeted = 0;
    work.kind = kind as u8;
    work.met = met;
    work.outcome = next(whole, work, kind, met);
}

#[inline(always)]
fn next(whole: &Policy, work: &mut Work, kind: Kind, met: Met) -> Outcome {
    if whole.is_off(met.now) {
        return Outcome::settled(Verdict::Pass);
    }
    match kind {
        Kind::Other => return Outcome::settled(Verdict::Pass),
        Kind::LaterFragment => return Outcome::passes(Reason::LaterFragment),
        Kind::FirstFragment | Kind::Unreadable | Kind::Segment => {}
    }
    let from_client = Ports::of(whole, &work.segment).is_clients();
    work.key = Key::of(&work.segment, from_client);
    if kind != Kind::Segment || work.segment.has(SYN) {
        return Outcome::handshake();
    }
    if from_client { Outcome::find_client() } else { Outcome::find_server() }
}
