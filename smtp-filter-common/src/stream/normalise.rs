//! What the receiver of a segment would discard is discarded here first (traffic normalisation: Handley, Paxson,
//! Kreibich, "Network Intrusion Detection: Evasion, Traffic Normalization, and End-to-End Protocol Semantics", 2001).
//! Otherwise an attacker could make the filter count bytes that the server never accepted, and then send others with
//! the same sequence numbers.
//!
//! TCP implementations differ in detail. What one of them may discard and no honest one sends is discarded.

use super::acceptable;
use crate::{
    action::Action,
    direction::Direction,
    entry::{FIN_PASSED, NARROW, Shared, TLS, first_of, pair_of, second, second_of},
    flow::HalfOpen,
    host::{Host, MADE, UNKNOWN},
    policy::Policy,
    reason::Reason,
    reset::Reset,
    seq::Seq,
    wire::{ACK, AUTHENTICATION, FIN, HEADER_SUM, IP_OPTION, RST, Segment, TIMESTAMP},
    work::Work,
};

/// How far an acknowledgement may lie before the highest one so far; reordering makes such segments normal. A receiver
/// accepts as much as the largest window that it has seen. From a client that has announced a smaller window than this,
/// no older acknowledgement is accepted.
pub const NARROW_WINDOW: u32 = 2048;
/// The same for the server: its acknowledgements of mail data may overtake its replies.
const WIDE_WINDOW: u32 = 1 << 16;
/// A segment with so many hops left reaches any server; senders begin with 64 or more.
const FAR: u8 = 32;
/// After such a pause a receiver accepts any timestamp (RFC 7323 section 5.5: 24 days).
const STALE: u64 = 24 * 24 * 3600 * 1_000_000_000;

/// Shift in the second number of `Shared::ways`: hops that the SYN had left, at most [`FAR`].
const HOPS: u32 = 16;
/// Bit: both sides use timestamps.
const STAMPED: u32 = 24;
/// Bit: both sides sign their segments.
const SIGNED: u32 = 25;

/// What a complete handshake agreed on, for the second number of `Shared::ways`. A server answers with a timestamp only
/// if the client sent one, so its SYN-ACK speaks for both.
#[inline(always)]
pub fn agreed(half: &HalfOpen) -> u32 {
    let hops = if half.client_hops < FAR { half.client_hops } else { FAR };
    let stamped = (half.options & TIMESTAMP) as u32;
    let signed = ((half.options & AUTHENTICATION) / AUTHENTICATION) as u32;
    (hops as u32) << HOPS | stamped << STAMPED | signed << SIGNED
}

/// The reason for which the segment's receiver would discard it, if any. `idle` is the time since the segment before.
/// Nothing is checked in TLS, since nothing of it is read. A RST moves no state, so its acknowledgement need not be
/// right.
#[inline(always)]
pub fn refused<H: Host, D: Direction>(
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
    if segment.has(ACK) && outside::<H, D>(policy, shared, segment, flags) {
        return Some(Reason::OutsideAcknowledgement);
    }
    if !D::IS_CLIENT || segment.length == 0 && !segment.has(FIN) {
        return None;
    }
    // At egress the hop over this machine has already been counted.
    if segment.hops as u32 + (egress as u32) < agreed >> HOPS & 63 {
        return Some(Reason::HopLimit);
    }
    let last = first_of(H::load(&shared.stamps));
    let stamped = segment.options & TIMESTAMP != 0;
    // 0: there is none yet, or the sender's clock began with 0.
    let old = last != Seq(0) && segment.stamp.is_before(last);
    // An original that its retransmission overtook. The receiver takes no payload from it whatever its timestamp, and
    // nothing in it is believed here. It passes because its receiver reports the duplicate (DSACK, RFC 2883), from
    // which the sender learns that nothing was lost.
    let twice = acceptable::position::<H, D>(shared, segment) == acceptable::BEFORE;
    if agreed >> STAMPED & 1 != 0 && (!stamped || old && !twice) {
        return Some(Reason::OldTimestamp);
    }
    None
}

/// Whether an acknowledgement covers bytes that its receiver has not sent, or is too old (RFC 5961 section 5).
#[inline(always)]
fn outside<H: Host, D: Direction>(policy: &Policy, shared: &Shared, segment: &Segment, flags: u64) -> bool {
    let peer = H::load(&shared.peer[D::OTHER]);
    let next = D::of_other(H::load(&shared.tls_from));
    let fin = (flags / (FIN_PASSED << (D::OTHER))) & 1;
    let sent = next.plus(fin as u32);
    // In mode `monitor` the filter may have missed segments, but none beyond the window.
    let sent = if policy.enforces() { sent } else { sent.later(second_of(peer)) };
    let acknowledged = first_of(peer);
    let isn = D::of_other(H::load(&shared.isns));
    let ever = acknowledged.since(isn.plus(1));
    // The server holds at most this acknowledgement, and the largest window that it has seen is at least this one. The
    // client refuses an acknowledgement older than its largest window allows.
    let window = match (D::IS_CLIENT, flags & NARROW != 0) {
        (true, true) => 0,
        (true, false) => NARROW_WINDOW,
        (false, _) => WIDE_WINDOW,
    };
    let oldest = acknowledged.minus(if ever < window { ever } else { window });
    // Nothing is within if more is acknowledged than has passed.
    let is_within = !sent.is_before(oldest) && segment.acknowledgement.since(oldest) <= sent.since(oldest);
    // From the server it is checked for segments with payload alone: mere acknowledgements of mail data overtake one
    // another, and nothing in an old one is believed.
    !is_within && (D::IS_CLIENT || segment.length > 0 || segment.acknowledgement.is_after(sent))
}

/// Records what an accepted segment says.
#[inline(always)]
pub fn note<H: Host, D: Direction>(shared: &Shared, segment: &Segment, flags: u64) {
    if D::IS_CLIENT {
        let shift = second(H::load(&shared.ways)) & 15;
        if flags & NARROW == 0 && (segment.window as u32) << shift < NARROW_WINDOW {
            H::set(&shared.flags, NARROW);
        }
    }
    if segment.options & TIMESTAMP == 0 {
        return;
    }
    let old = H::load(&shared.stamps);
    let (last, latest) = (first_of(old), second_of(old));
    let new = if D::IS_CLIENT {
        pair_of(last, if latest == Seq(0) { segment.stamp } else { segment.stamp.later(latest) })
    } else {
        // The server cannot hold a timestamp that the client has not sent.
        let moves = (last == Seq(0) || segment.echo.is_after(last)) && !segment.echo.is_after(latest);
        pair_of(if moves { segment.echo } else { last }, latest)
    };
    if new != old {
        // If another CPU was faster, the next segment makes up for it.
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
