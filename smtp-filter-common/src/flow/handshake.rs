//! From a client's SYN to a live connection, and the handling of segments that belong to none (I3, I8).

use super::{HalfOpen, NO_SCALE, WINDOW, end, evict, gone, handshakes_seen};
use crate::{
    datapath::Met,
    direction::{Client, Direction as _, Server},
    entry::{REPLACED, RESET, SYN_NOTED, first, first_of, pair, pair_of, second_of},
    event::Ended,
    flow::lock,
    host::Host,
    policy::Policy,
    reason::Reason,
    report, session,
    stream::normalise,
    wire::{ACK, RST, Segment},
    work::{Found, Work},
};

/// The largest window shift (RFC 7323 section 2.3).
const WIDEST: u8 = 14;

/// No live connection is known.
pub const UNKNOWN: u8 = 0;
/// The live connection is found.
pub const KNOWN: u8 = 1;
/// The handshake is complete, but there is no room for the connection.
pub const NO_ROOM: u8 = 2;

/// A segment that belongs to no live connection (I8).
#[inline(always)]
pub fn stranger<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> Found {
    if host.half_open(&work.key, &mut work.half_open) {
        if work.segment.has(RST) {
            // A RST that refuses the connection carries nothing, and the client waits for it.
            return Found::passes(Reason::Closing);
        }
        if work.half_open.confirmed != 0 {
            // The handshake was seen, so the connection is not older than the filter.
            return Found::held_back(Reason::Unfinished);
        }
    }
    let from = work.event.direction;
    match gone::late(host, work, from) {
        Some(found) => found,
        None => unknown(host, policy, work, met),
    }
}

/// A segment of an unknown connection. During the grace period the connection may be older than the filter.
#[inline(always)]
fn unknown<H: Host>(host: &mut H, policy: &Policy, work: &Work, met: Met) -> Found {
    if met.now < policy.grace_until && !handshakes_seen::remembers(host, &work.key) {
        return Found::passes(Reason::UnknownConnection);
    }
    Found::guarded(Reason::UnknownConnection)
}

/// A client's SYN is recorded, and passes. It changes nothing before the server's SYN-ACK (I3).
#[inline(always)]
pub fn syn<H: Host>(host: &mut H, work: &mut Work, met: Met) -> Found {
    if work.segment.length > 0 {
        return Found::guarded(Reason::SynData);
    }
    if !host.half_open(&work.key, &mut work.half_open) {
        work.half_open = HalfOpen::EMPTY;
    }
    let Segment { sequence, scale, hops, .. } = work.segment;
    work.half_open.syn(sequence, scale, met.side(), met.now);
    work.half_open.syn_hops(sequence, met.side(), hops.saturating_add(met.egress as u8));
    // If there is no room, only this connection suffers: its next segments are unknown.
    host.keep_half_open(&work.key, &work.half_open);
    if host.find(&work.key)
        && let Some(shared) = host.shared()
    {
        H::set(&shared.flags, SYN_NOTED);
    }
    Found::passes(Reason::Handshake)
}

/// The server's SYN-ACK shows which SYN counts.
#[inline(always)]
pub fn syn_ack<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> Found {
    if work.segment.length > 0 {
        return Found::guarded(Reason::SynData);
    }
    let Segment { sequence, acknowledgement, window, scale, .. } = work.segment;
    let (mut live, mut another) = (false, false);
    if host.find(&work.key)
        && let Some(shared) = host.shared()
    {
        if first(H::load(&shared.ways)) == met.side() {
            return Found::guarded(Reason::SpoofedServer);
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
            if another && let Some(shared) = host.shared() {
                // The server says that the old connection is over (I3). Its entry must not judge the new one, which a
                // client may leave without the acknowledgement that makes it live.
                H::set(&shared.flags, REPLACED);
            }
            return Found::passes(Reason::Handshake);
        }
    } else if live && !another {
        // A retransmitted SYN-ACK: the acknowledgement of the first one was lost.
        return Found::passes(Reason::Handshake);
    }
    unknown(host, policy, work, met)
}

/// Finds the live connection of a segment, or makes it if the segment shows that the handshake is complete.
#[inline(always)]
pub fn known<H: Host>(host: &mut H, work: &mut Work, found: bool, from_client: bool) -> u8 {
    let noted = match host.shared() {
        Some(shared) if found => H::load(&shared.flags) & SYN_NOTED != 0,
        _ => false,
    };
    if found && !noted {
        return KNOWN;
    }
    let otherwise = if found { KNOWN } else { UNKNOWN };
    let Segment { sequence, acknowledgement, length, .. } = work.segment;
    if !work.segment.has(ACK) || work.segment.has(RST) || !host.half_open(&work.key, &mut work.half_open) {
        return otherwise;
    }
    let completes = if from_client {
        work.half_open.client_completes(sequence, acknowledgement)
    } else {
        // A server may send segments without payload before the handshake is complete.
        length > 0 && work.half_open.server_completes(sequence, acknowledgement, work.met.side())
    };
    if !completes {
        return otherwise;
    }
    host.promote(work)
}

/// Makes a half-open connection live. Returns [`KNOWN`], [`NO_ROOM`], or [`UNKNOWN`] if it fails.
#[inline(always)]
pub fn promote<H: Host>(host: &mut H, work: &mut Work) -> u8 {
    let met = work.met;
    let mut slot = evict::free_slot(host, work);
    let mut created = if slot == evict::NOWHERE { None } else { host.create(&work.key) };
    if created.is_none() {
        slot = evict::evict(host, work, met);
        if slot == evict::NOWHERE {
            return NO_ROOM;
        }
        created = host.create(&work.key);
    }
    let Some(created) = created else { return NO_ROOM };
    let id = host.random();
    if created {
        host.enroll(slot, &work.key);
        if let Some(shared) = host.shared() {
            H::store(&shared.slot, slot as u64);
        }
    } else {
        // The port pair is used again, or another CPU was faster.
        let Some(shared) = host.shared() else { return UNKNOWN };
        if H::load(&shared.flags) & SYN_NOTED == 0 {
            return KNOWN;
        }
        if !lock::take::<H>(&shared.lock) {
            return UNKNOWN;
        }
        if H::load(&shared.flags) & SYN_NOTED == 0 {
            lock::release::<H>(&shared.lock);
            return KNOWN;
        }
        end::replace(host, work);
    }
    let HalfOpen {
        client_isn, server_isn, server_window, client_scale, server_scale, client_side, server_side, ..
    } = work.half_open;
    let client_next = client_isn.plus(1);
    let server_next = server_isn.plus(1);
    work.state = work.blank;
    work.state.side[Client::INDEX].isn = client_isn;
    work.state.side[Client::INDEX].next = client_next;
    work.state.side[Server::INDEX].isn = server_isn;
    work.state.side[Server::INDEX].next = server_next;
    work.state.session.since = met.now;
    session::server::begin(work, client_next, server_next);
    host.save_state(&work.state);
    host.forget_half_open(&work.key);
    let Some(shared) = host.shared() else { return UNKNOWN };
    let scaled = client_scale != NO_SCALE && server_scale != NO_SCALE;
    let shifts = if scaled { client_scale as u32 | (server_scale as u32) << 8 } else { 0 };
    let shifts = shifts | normalise::agreed(&work.half_open);
    H::store(&shared.id, id);
    H::store(&shared.isns, pair_of(client_isn, server_isn));
    // Both sides are on one interface, so forgeries cannot be detected.
    H::store(&shared.ways, pair(if client_side == server_side { 0 } else { client_side }, shifts));
    H::store(&shared.peer[Client::INDEX], pair_of(client_next, client_next.plus(server_window as u32)));
    H::store(&shared.peer[Server::INDEX], pair_of(server_next, server_next.plus(WINDOW)));
    H::store(&shared.tls_from, pair_of(client_next, server_next));
    H::store(&shared.stamps, pair_of(work.half_open.echo, work.half_open.echo));
    H::store(&shared.seen, met.now);
    H::store(&shared.held, 0);
    H::store(&shared.flags, 0);
    lock::release::<H>(&shared.lock);
    host.opened();
    report::connect(host, work, id);
    KNOWN
}
