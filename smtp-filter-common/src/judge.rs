//! From a segment's facts to a verdict: the steps of every segment, in the kernel and in user space.
//!
//! ```text
//! begin                  is anything filtered now? who sends it, by the ports?
//!   |
//!   v
//! find <-----------.     which connection? what is judged without reading?
//!   |       |      |
//!   |       v      |
//!   |   handshake -'     it begins a connection, or belongs to none
//!   |
//!   |  the connection's lock is held
//!   v
//! read                   which bytes are new, and what do they say?
//!   |
//!   v
//! decide                 saves the state, sets flags, releases the lock
//!   |
//!   v
//! leave                  counts a segment that passes: the end of most
//!   |
//!   v
//! finish                 guards, what is held back, the end of a connection
//! ```
//!
//! Each step says in `Work::outcome` which one is next; each can lead to [`leave`] at once. In user space [`judge`]
//! runs them one after the other. In the kernel they are a chain of programs: [`begin`] is part of the two at the
//! hooks; [`handshake`], the three for each side, and [`finish`] are one program each. Everything that they pass on is
//! in the working area.

use crate::{
    action::Action,
    direction::{Client, Direction, Server},
    flow::{end, lock},
    guards::act::guard,
    host::Host,
    met::Met,
    outcome::{Next, Outcome},
    policy::Policy,
    reason::{Reason, counter},
    scope::Policies,
    verdict::Verdict,
    wire::Kind,
    work::Work,
};
pub use crate::{
    flow::{begin::begin, find::find, handshake::handshake},
    stream::{commit::decide, read::read},
};

/// Judges a frame whose headers have been read. `None` if there is no policy.
#[inline(always)]
pub fn judge<H: Host, P: Policies>(
    host: &mut H,
    policies: &P,
    work: &mut Work,
    kind: Kind,
    met: Met,
) -> Option<Verdict> {
    begin(policies.of_scope(0)?, work, kind, met);
    follow(host, policies, work);
    if work.outcome.next == Next::HANDSHAKE {
        handshake(host, policies, work);
        // This segment may be the first of its connection.
        follow(host, policies, work);
    }
    let Some(policy) = policies.of_scope(work.scope as u32) else { return Some(unjudged(host, work)) };
    Some(leave(host, work).unwrap_or_else(|| finish(host, policy, work)))
}

/// Runs the steps for the side that sends the segment, if they are next.
#[inline(always)]
fn follow<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    match work.outcome.next {
        Next::FIND_CLIENT => side::<Client, H, P>(host, policies, work),
        Next::FIND_SERVER => side::<Server, H, P>(host, policies, work),
        Next::SETTLED | Next::PASSES | Next::GUARDED | Next::HELD_BACK | Next::HANDSHAKE => {}
        // No step leads here: `finish` drops the segment.
        Next::READ | Next(Next::UNNAMED..) => {}
    }
}

#[inline(always)]
fn side<D: Direction, H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    find::<D, H, P>(host, policies, work);
    if work.outcome.next == Next::READ
        && let Some(policy) = policies.of_scope(work.scope as u32)
    {
        read::<D, H>(host, policy, work);
        decide::<D, H>(host, policy, work);
    }
}

/// The last step of most segments: counts one that passes. `None` if more has to be done, which [`finish`] does.
#[inline(always)]
pub fn leave<H: Host>(host: &mut H, work: &Work) -> Option<Verdict> {
    let Outcome { next, reason, verdict } = work.outcome;
    if work.ends | work.closing != 0 {
        return None;
    }
    match next {
        Next::SETTLED if verdict <= Verdict::Drop as u8 => Some(Verdict::from_u8(verdict)),
        Next::PASSES => Some(pass(host, work, reason)),
        Next::SETTLED | Next::GUARDED | Next::HELD_BACK => None,
        Next::READ | Next::HANDSHAKE | Next::FIND_CLIENT | Next::FIND_SERVER | Next(Next::UNNAMED..) => None,
    }
}

/// Last step: counts and reports what is still outstanding, and ends a connection.
#[inline(always)]
pub fn finish<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> Verdict {
    let Outcome { next, reason, verdict } = work.outcome;
    let verdict = match next {
        Next::SETTLED => Verdict::from_u8(verdict),
        Next::PASSES => pass(host, work, reason),
        Next::GUARDED => guard(host, policy, work, reason),
        Next::HELD_BACK => {
            let enforces = policy.enforces();
            host.count(counter(reason, Action::Drop as u8, enforces), 1, work.segment.length);
            if enforces { Verdict::from_u8(verdict) } else { Verdict::Pass }
        }
        // A step was left out: nothing passes unread.
        Next::READ | Next::HANDSHAKE | Next::FIND_CLIENT | Next::FIND_SERVER | Next(Next::UNNAMED..) => {
            unjudged(host, work)
        }
    };
    if work.ends | work.closing != 0
        && let Some(entry) = host.find(&work.key)
    {
        end::close(host, work, entry);
    }
    verdict
}

#[inline(always)]
fn pass<H: Host>(host: &mut H, work: &Work, reason: u16) -> Verdict {
    host.count(counter(reason, Action::Pass as u8, true), 1, work.segment.length);
    Verdict::Pass
}

/// The segment cannot be judged: a newer policy has replaced that of its scope meanwhile, or a step was left out. It is
/// dropped, and its sender retransmits it. If it was to be read, the connection's lock is released.
#[inline(always)]
pub fn unjudged<H: Host>(host: &mut H, work: &Work) -> Verdict {
    if work.outcome.next == Next::READ
        && let Some(entry) = host.found()
    {
        lock::release::<H>(&host.shared(entry).lock);
    }
    host.count(counter(Reason::Busy.number(), Action::Drop as u8, true), 1, work.segment.length);
    Verdict::Drop
}
