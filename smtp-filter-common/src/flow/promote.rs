//! From a half-open connection to a live one.

use super::{
    HalfOpen, NO_SCALE, WINDOW, end,
    evict::{evict, roster::free_slot, sample::NOWHERE},
    lock,
};
use crate::{
    direction::{Client, Direction as _, Server},
    entry::{SYN_NOTED, pair, pair_of},
    host::Host,
    report, session,
    stream::normalise,
    wire::{ACK, RST, Segment},
    work::Work,
};

/// No live connection is known.
pub const UNKNOWN: u8 = 0;

/// The live connection is found.
pub const KNOWN: u8 = 1;

/// The handshake is complete, but there is no room for the connection.
pub const NO_ROOM: u8 = 2;

/// Finds the live connection of a segment, or makes it if the segment shows that the handshake is complete.
#[inline(always)]
pub fn known<H: Host>(host: &mut H, work: &mut Work, entry: Option<H::Entry>, from_client: bool) -> u8 {
    let otherwise = match entry {
        Some(entry) if H::load(&host.shared(entry).flags) & SYN_NOTED == 0 => return KNOWN,
        Some(_) => KNOWN,
        None => UNKNOWN,
    };
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
    let mut slot = free_slot(host, work);
    let mut created = if slot == NOWHERE { None } else { host.create(&work.key) };
    if created.is_none() {
        slot = evict(host, work, met);
        if slot == NOWHERE {
            return NO_ROOM;
        }
        created = host.create(&work.key);
    }
    let Some((entry, created)) = created else { return NO_ROOM };
    let id = host.random();
    if created {
        host.enroll(slot, &work.key);
        H::store(&host.shared(entry).slot, slot as u64);
    } else {
        // The port pair is used again, or another CPU was faster.
        let shared = host.shared(entry);
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
        end::replace(host, work, entry);
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
    host.save_state(entry, &work.state);
    host.forget_half_open(&work.key);
    let shared = host.shared(entry);
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
