//! From a segment's facts to a verdict: the steps of every segment, in the kernel and in user space.
//!
//!     begin                 is anything filtered now? who sends it, by the ports?          flow/begin.rs
//!       |
//!       v
//!     find  <------------.  which connection? what needs no reading?          flow/find.rs, flow/live.rs
//!       |       |        |
//!       |       v        |
//!       |   handshake ---'  it begins a connection, or belongs to none                 flow/handshake.rs
//!       |
//!       v  the connection's lock is held
//!     read                  which bytes are new, and what do they say?                    stream/read.rs
//!       |
//!       v
//!     decide                saves the state, sets flags, releases the lock              stream/commit.rs
//!       |
//!       v
//!     leave                 counts a segment that passes: the end of most of them
//!       |
//!       v
//!     finish                guards, what is held back, the end of a connection
//!
//! Each step says in `Work::outcome` which one is next; from each, the way may lead to `leave` at once. In user space
//! [`judge`] runs them one after the other. In the kernel they are a chain of programs: [`begin`] is part of the two at
//! the hooks; [`handshake()`], the three for the client, the three for the server, and [`finish`] are one program each.
//! Everything that they pass on is in the working area.

use crate::{
    action::Action,
    direction::{Client, Direction, Server},
    flow::{self, end},
    guards::act::guard,
    host::Host,
    met::Met,
    outcome::{Next, Outcome},
    policy::Policy,
    reason::{Reason, counter},
    scope::Policies,
    stream::{commit, read},
    verdict::Verdict,
    wire::Kind,
    work::Work,
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
    let Some(policy) = policies.of_scope(work.scope as u32) else {
        return Some(unjudged(host, work));
    };
    Some(leave(host, work).unwrap_or_else(|| finish(host, policy, work)))
}

/// The steps that belong to one sender, if they are next.
#[inline(always)]
fn follow<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    match work.outcome.next {
        Next::FIND_CLIENT => follow_side::<Client, H, P>(host, policies, work),
        Next::FIND_SERVER => follow_side::<Server, H, P>(host, policies, work),
        Next::SETTLED | Next::PASSES | Next::GUARDED | Next::HELD_BACK | Next::HANDSHAKE => {}
        // No step leads here: `finish` drops the segment.
        Next::READ | Next(Next::UNNAMED..) => {}
    }
}

#[inline(always)]
fn follow_side<D: Direction, H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    find::<D, H, P>(host, policies, work);
    if work.outcome.next == Next::READ
        && let Some(policy) = policies.of_scope(work.scope as u32)
    {
        read::<D, H>(host, policy, work);
        decide::<D, H>(host, policy, work);
    }
}

/// First step: who sends the segment, by the ports alone.
#[inline(always)]
pub fn begin(whole: &Policy, work: &mut Work, kind: Kind, met: Met) {
    flow::begin::begin(whole, work, kind, met);
}

/// Second step, after [`Next::FIND_CLIENT`] or [`Next::FIND_SERVER`]: finds the connection, and judges what can be
/// judged without reading the payload. Before [`Next::READ`] it takes the connection's lock. From here on `Work::scope`
/// says whose policy applies. [`Next::HANDSHAKE`] follows if no connection is known, or a new one may begin.
#[inline(always)]
pub fn find<D: Direction, H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.outcome = flow::find::find::<D, H, P>(host, policies, work);
}

/// Step after [`Next::HANDSHAKE`]: segments that begin a connection, or belong to none. If the segment turns out to
/// belong to one after all, [`Next::FIND_CLIENT`] or [`Next::FIND_SERVER`] follows, but not this step again.
#[inline(always)]
pub fn handshake<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.greeted = 1;
    work.outcome = flow::handshake::greet(host, policies, work);
}

/// Third step, after [`Next::READ`]. The longest call chains begin here, so it keeps nothing for later.
#[inline(always)]
pub fn read<D: Direction, H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    read::read::<D, H>(host, policy, work);
}

/// Fourth step, after [`read()`].
#[inline(always)]
pub fn decide<D: Direction, H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.outcome = commit::decide::<D, H>(host, policy, work);
}

/// The last step of most segments: counts one that passes. `None` if more has to be done, which [`finish`] does.
#[inline(always)]
pub fn leave<H: Host>(host: &mut H, work: &Work) -> Option<Verdict> {
    let Outcome { next, reason, verdict } = work.outcome;
    if work.ends | work.closing != 0 {
        return None;
    }
    if next == Next::PASSES {
        host.count(counter(reason, Action::Pass as u8, true), 1, work.segment.length);
        return Some(Verdict::Pass);
    }
    if next == Next::SETTLED && verdict <= Verdict::Drop as u8 { Some(Verdict::from_u8(verdict)) } else { None }
}

/// Last step: counts and reports what is still outstanding, and ends a connection.
#[inline(always)]
pub fn finish<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> Verdict {
    let Outcome { next, reason, verdict } = work.outcome;
    let verdict = match next {
        Next::SETTLED => Verdict::from_u8(verdict),
        Next::PASSES => {
            host.count(counter(reason, Action::Pass as u8, true), 1, work.segment.length);
            Verdict::Pass
        }
        Next::GUARDED => guard(host, policy, work, reason),
        Next::HELD_BACK => {
            let enforces = policy.enforces();
            host.count(counter(reason, Action::Drop as u8, enforces), 1, work.segment.length);
            if enforces { Verdict::from_u8(verdict) } else { Verdict::Pass }
        }
        // A step that should have come before did not: nothing passes unread.
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

/// The segment cannot be judged: the policy of its scope was replaced by a newer one in the meantime, or a step is
/// missing. It is held back, and its sender retransmits it.
#[inline(always)]
pub fn unjudged<H: Host>(host: &mut H, work: &Work) -> Verdict {
    host.count(counter(Reason::Busy.number(), Action::Drop as u8, true), 1, work.segment.length);
    Verdict::Drop
}
