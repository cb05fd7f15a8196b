//! Segments that begin a connection, or belong to none: what the SYN and its answer say (I3).

use super::{
    HalfOpen, Key, NO_SCALE, handshakes_seen,
    ports::Ports,
    promote::{self, KNOWN, NO_ROOM},
    stranger::{self, unknown},
};
use crate::{
    entry::{REPLACED, RESET, SYN_NOTED, first, first_of, second_of},
    event::Ended,
    host::Host,
    met::Met,
    outcome::Outcome,
    policy::Policy,
    reason::Reason,
    report,
    scope::{self, Policies},
    wire::{ACK, Kind, SYN, Segment},
    work::Work,
};

/// The largest window shift (RFC 7323 section 2.3).
const WIDEST: u8 = 14;

/// Step after [`Next::HANDSHAKE`]: segments that begin a connection, or belong to none. If the segment turns out to
/// belong to one after all, [`Next::FIND_CLIENT`] or [`Next::FIND_SERVER`] follows, but not this step again.
///
/// [`Next::HANDSHAKE`]: crate::outcome::Next::HANDSHAKE
/// [`Next::FIND_CLIENT`]: crate::outcome::Next::FIND_CLIENT
/// [`Next::FIND_SERVER`]: crate::outcome::Next::FIND_SERVER
#[inline(always)]
pub fn handshake<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.greeted = 1;
    work.outcome = greet(host, policies, work);
}

#[inline(always)]
fn greet<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) -> Outcome {
    let met = work.met;
    let Some(whole) = policies.of_scope(0) else { return Outcome::held_back(Reason::Busy) };
    let ports = Ports::of(whole, &work.segment);
    let from_client = ports.is_clients();
    let entry = if work.segment.has(SYN) { None } else { host.find(&work.key) };
    let Some(policy) = scope::choose(host, policies, whole, work, entry) else {
        return Outcome::held_back(Reason::Busy);
    };
    report::begin::begin(policy, work, !from_client);
    match Kind::from_u8(work.kind) {
        Kind::FirstFragment => return Outcome::guarded(Reason::Fragment),
        Kind::Segment => {}
        _ => return Outcome::guarded(Reason::Unreadable),
    }
    let Ports { to_server, from_server, .. } = ports;
    let segment = &work.segment;
    if segment.has(SYN) {
        if segment.multipath != 0 {
            return Outcome::guarded(Reason::Multipath);
        }
        return match (segment.has(ACK), to_server, from_server) {
            (false, true, _) => syn(host, work, met),
            (true, _, true) => syn_ack(host, policy, work, met),
            _ if segment.length > 0 => Outcome::guarded(Reason::SynData),
            // It is the client's own port that the policy names.
            _ => Outcome::passes(Reason::Handshake),
        };
    }
    let known = promote::known(host, work, entry, from_client);
    if known == NO_ROOM {
        return Outcome::held_back(Reason::TableFull);
    }
    if known == KNOWN {
        return if from_client { Outcome::find_client() } else { Outcome::find_server() };
    }
    let mut policy = policy;
    let mut from_client = from_client;
    if to_server && from_server {
        work.key = Key::of(&work.segment, false);
        let Some(chosen) = scope::choose(host, policies, whole, work, None) else {
            return Outcome::held_back(Reason::Busy);
        };
        policy = chosen;
        report::begin::begin(policy, work, true);
        from_client = false;
    }
    // If both ports are the policy's, only a handshake whose two sides came from different interfaces shows who the
    // server is. Otherwise a client could answer its own SYN in the server's name, and then pass for the server.
    let two_sides =
        |host: &mut H| host.find(&work.key).is_some_and(|entry| first(H::load(&host.shared(entry).ways)) != 0);
    if !from_client && to_server && two_sides(host) {
        return Outcome::find_server();
    }
    stranger::stranger(host, policy, work, met)
}

/// A client's SYN is recorded, and passes. It changes nothing before the server's SYN-ACK (I3).
#[inline(always)]
fn syn<H: Host>(host: &mut H, work: &mut Work, met: Met) -> Outcome {
    if work.segment.length > 0 {
        return Outcome::guarded(Reason::SynData);
    }
    if !host.half_open(&work.key, &mut work.half_open) {
        work.half_open = HalfOpen::EMPTY;
    }
    let Segment { sequence, scale, hops, .. } = work.segment;
    work.half_open.syn(sequence, scale, met.side(), met.now);
    work.half_open.syn_hops(sequence, met.side(), hops.saturating_add(met.egress as u8));
    // If there is no room, only this connection suffers: its next segments are unknown.
    host.keep_half_open(&work.key, &work.half_open);
    if let Some(entry) = host.find(&work.key) {
        H::set(&host.shared(entry).flags, SYN_NOTED);
    }
    Outcome::passes(Reason::Handshake)
}

/// The server's SYN-ACK shows which SYN counts.
#[inline(always)]
fn syn_ack<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> Outcome {
    if work.segment.length > 0 {
        return Outcome::guarded(Reason::SynData);
    }
    let Segment { sequence, acknowledgement, window, scale, .. } = work.segment;
    let (mut live, mut another) = (false, false);
    let entry = host.find(&work.key);
    if let Some(entry) = entry {
        let shared = host.shared(entry);
        if first(H::load(&shared.ways)) == met.side() {
            return Outcome::guarded(Reason::SpoofedServer);
        }
        live = true;
        let isns = H::load(&shared.isns);
        another = acknowledgement != first_of(isns).plus(1);
        if acknowledgement == first_of(isns).plus(1) && sequence != second_of(isns) {
            // Two answers to the same SYN: one of them is forged, and the connection is live by the first.
            H::set(&shared.flags, if policy.enforces() { RESET } else { 0 });
            work.event.connection = H::load(&shared.id);
            work.ends = Ended::Reset as u8 * policy.enforces() as u8;
            live = false;
        }
    }
    let mut seen = host.half_open(&work.key, &mut work.half_open);
    if !seen && !live && !policy.enforces() {
        // In mode `monitor`, a capture may lack the SYN (I13).
        work.half_open = HalfOpen::EMPTY;
        // The client's window scale is unknown, so the widest is assumed.
        let scale = if scale == NO_SCALE { NO_SCALE } else { WIDEST };
        work.half_open.syn(acknowledgement.minus(1), scale, met.side(), met.now);
        seen = true;
    }
    if seen {
        if work.half_open.syn_ack(sequence, acknowledgement, window, scale, met.side()) {
            work.half_open.options = work.segment.options;
            work.half_open.echo = work.segment.echo;
            host.keep_half_open(&work.key, &work.half_open);
            // Late segments belong to the new connection from now on.
            host.unbury(&work.key);
            if met.now < policy.grace_until {
                handshakes_seen::remember(host, &work.key);
            }
            if another && let Some(entry) = entry {
                // The server says that the old connection is over (I3). Its entry must not judge the new one, which a
                // client may leave without the acknowledgement that makes it live.
                H::set(&host.shared(entry).flags, REPLACED);
            }
            return Outcome::passes(Reason::Handshake);
        }
    } else if live && !another {
        // A retransmitted SYN-ACK: the acknowledgement of the first one was lost.
        return Outcome::passes(Reason::Handshake);
    }
    unknown(host, policy, work, met)
}
