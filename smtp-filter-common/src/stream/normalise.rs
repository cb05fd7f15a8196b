//! What the receiver of a segment would discard is discarded here first (traffic normalisation: Handley, Paxson, Kreibich,
//! "Network Intrusion Detection: Evasion, Traffic Normalization, and End-to-End Protocol Semantics", 2001). Else whoever
//! sends it has the filter count bytes that the server never had, and sends others in their place.
//!
//! Stacks differ in detail. What one of them may discard and no honest one sends is discarded.

use super::{acceptable, ahead, later};
use crate::{
    action::Action,
    entry::{FIN_PASSED, NARROW, Shared, TLS, first, pair, second},
    event::CLIENT,
    flow::HalfOpen,
    host::{Host, MADE, UNKNOWN},
    policy::Policy,
    reason::Reason,
    reset::Reset,
    wire::{ACK, AUTHENTICATION, FIN, HEADER_SUM, IP_OPTION, RST, Segment, TIMESTAMP},
    work::Work,
};

const FROM_CLIENT: usize = CLIENT as usize;

/// How far an acknowledgement may lie before what was acknowledged last, as it does where segments overtake each other. A
/// receiver allows as much as the largest window that it has seen; of a client that has announced less than this, nothing.
pub const NARROW_WINDOW: u32 = 2048;
/// The same of the server, whose replies its acknowledgements of mail data overtake.
const WIDE_WINDOW: u32 = 1 << 16;
/// A segment that may go so many hops reaches the server, wherever it is; senders begin with 64 and more.
const FAR: u8 = 32;
/// After so long without a segment a receiver takes any timestamp (RFC 7323 section 5.5: 24 days).
const STALE: u64 = 24 * 24 * 3600 * 1_000_000_000;

/// In the second number of `Shared::ways`: hops that the SYN could still go, at most [`FAR`].
const HOPS: u32 = 16;
/// Both sides use timestamps.
const STAMPED: u32 = 24;
/// Both sides sign.
const SIGNED: u32 = 25;

/// What is known of a handshake that is complete, for the second number of `Shared::ways`. A server answers with a timestamp
/// only who sent one, so its SYN-ACK says it of both.
#[inline(always)]
pub fn agreed(half: &HalfOpen) -> u32 {
    let hops = if half.client_hops < FAR { half.client_hops } else { FAR };
    let stamped = (half.options & TIMESTAMP) as u32;
    let signed = ((half.options & AUTHENTICATION) / AUTHENTICATION) as u32;
    (hops as u32) << HOPS | stamped << STAMPED | signed << SIGNED
}

/// Why the segment's receiver would refuse it, if it would; `idle` is the time since the one before. Of TLS nothing is read, so nothing is looked at. A RST moves
/// nothing, and is taken without its acknowledgement being right.
#[inline(always)]
pub fn refused<H: Host, const FROM: usize>(
    policy: &Policy,
    shared: &Shared,
    segment: &Segment,
    flags: u64,
    idle: u64,
    egress: bool,
) -> Option<Reason> {
    if flags & TLS != 0 || segment.has(RST) {
        return None;
    }
    if segment.options & IP_OPTION != 0 {
        return Some(Reason::IpOption);
    }
    if idle > STALE {
        H::store(&shared.stamps, 0);
    }
    let agreed = second(H::load(&shared.ways));
    if ((segment.options & AUTHENTICATION) / AUTHENTICATION) as u32 != agreed >> SIGNED & 1 {
        return Some(Reason::AuthenticationOption);
    }
    if segment.has(ACK) && outside::<H, FROM>(policy, shared, segment, flags) {
        return Some(Reason::OutsideAcknowledgement);
    }
    if FROM != FROM_CLIENT || segment.length == 0 && !segment.has(FIN) {
        return None;
    }
    // At egress the hop over this machine is behind it.
    if segment.hops as u32 + (egress as u32) < agreed >> HOPS & 63 {
        return Some(Reason::HopLimit);
    }
    let last = first(H::load(&shared.stamps));
    let stamped = segment.options & TIMESTAMP != 0;
    // 0: there is none yet; some stacks begin with it.
    let old = last != 0 && ahead(segment.stamp, last) < 0;
    // An original that its retransmission overtook: the receiver takes nothing of it, whatever its timestamp, and nothing in it
    // is believed. But it says that it came twice (DSACK, RFC 2883), by which its sender knows that nothing was lost.
    let twice = acceptable::place::<H, FROM>(shared, segment) == acceptable::BEFORE;
    if agreed >> STAMPED & 1 != 0 && (!stamped || old && !twice) {
        return Some(Reason::OldTimestamp);
    }
    None
}

/// Whether an acknowledgement is of what its receiver has not sent, or too old (RFC 5961 section 5).
#[inline(always)]
fn outside<H: Host, const FROM: usize>(policy: &Policy, shared: &Shared, segment: &Segment, flags: u64) -> bool {
    let peer = H::load(&shared.peer[1 - FROM]);
    let next = H::load(&shared.tls_from);
    let next = if FROM == FROM_CLIENT { second(next) } else { first(next) };
    let fin = (flags / (FIN_PASSED << (1 - FROM))) & 1;
    let sent = next.wrapping_add(fin as u32);
    // In mode `monitor` segments may be missing in what is seen. Beyond the window there are none.
    let sent = if policy.enforces() { sent } else { later(sent, second(peer)) };
    if ahead(segment.acknowledgement, sent) > 0 {
        return true;
    }
    if FROM != FROM_CLIENT {
        // The client refuses older ones than its largest window allows. Of payload alone: the acknowledgements of mail data
        // overtake one another, and of an old one nothing is believed.
        let acknowledged = first(peer);
        let ever = acknowledged.wrapping_sub(first(H::load(&shared.isns)).wrapping_add(1));
        let allowed = if ever < WIDE_WINDOW { ever } else { WIDE_WINDOW };
        return segment.length > 0 && ahead(acknowledged, segment.acknowledgement) > allowed as i32;
    }
    // What the server holds as acknowledged is that or less, and the window that it has seen is that or more.
    let acknowledged = first(peer);
    let ever = acknowledged.wrapping_sub(second(H::load(&shared.isns)).wrapping_add(1));
    let window = if flags & NARROW != 0 { 0 } else { NARROW_WINDOW };
    let allowed = if ever < window { ever } else { window };
    ahead(acknowledged, segment.acknowledgement) > allowed as i32
}

/// Takes note of what a segment that its receiver accepts says.
#[inline(always)]
pub fn note<H: Host, const FROM: usize>(shared: &Shared, segment: &Segment, flags: u64) {
    if FROM == FROM_CLIENT {
        let shift = second(H::load(&shared.ways)) & 15;
        if flags & NARROW == 0 && (segment.window as u32) << shift < NARROW_WINDOW {
            H::set(&shared.flags, NARROW);
        }
    }
    if segment.options & TIMESTAMP == 0 {
        return;
    }
    let old = H::load(&shared.stamps);
    let (last, latest) = (first(old), second(old));
    let new = if FROM == FROM_CLIENT {
        pair(last, if latest == 0 { segment.stamp } else { later(segment.stamp, latest) })
    } else {
        // What the client has never sent the server cannot hold.
        let moves = (last == 0 || ahead(segment.echo, last) > 0) && ahead(segment.echo, latest) <= 0;
        pair(if moves { segment.echo } else { last }, latest)
    };
    if new != old {
        // Where another CPU was quicker, the next segment brings what was missed.
        H::compare_exchange(&shared.stamps, old, new);
    }
}

/// Whether the checksums of a segment with payload are right, as far as the frame carries them.
#[inline(never)]
pub fn intact<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    if policy.guard(Reason::Checksum.number()) == Action::Pass as u8 {
        return true;
    }
    let carried = host.carried();
    if carried == UNKNOWN {
        return true;
    }
    let segment = &work.segment;
    if segment.options & HEADER_SUM != 0 {
        return false;
    }
    if carried == MADE {
        return true;
    }
    let length = segment.payload.wrapping_sub(segment.header).wrapping_add(segment.length);
    let pseudo = Reset::pseudo(segment, length);
    let Some(sum) = host.sum(length, &mut work.piece) else { return false };
    let sum = sum as u32 + pseudo as u32;
    (sum >> 16) + (sum & 0xffff) == 0xffff
}
