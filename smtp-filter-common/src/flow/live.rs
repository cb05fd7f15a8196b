//! A segment of a live connection: what is judged of it without reading its payload.

use super::{after_reset, lock, peer, tls};
use crate::{
    direction::Direction,
    entry::{CLOSED, DEAD, FINISHED, MARKED, REPLACED, RESET, TLS, UNCERTAIN, first},
    event::Ended,
    guards::urgent::urgent,
    host::Host,
    outcome::Outcome,
    policy::Policy,
    reason::Reason,
    stream::{acceptable, backlog, normalise},
    wire::{FIN, RST, URG},
    work::Work,
};

/// A segment of a live connection.
#[inline(always)]
pub fn live<H: Host, D: Direction>(host: &mut H, policy: &Policy, work: &mut Work, entry: H::Entry) -> Outcome {
    let met = work.met;
    let shared = host.shared(entry);
    work.begin(!policy.enforces());
    // Read first: if the number is still the same afterwards, everything read in between belongs to this connection.
    let id = H::load(&shared.id);
    let flags = H::load(&shared.flags);
    work.event.connection = id;
    // Another CPU may have stored a later time.
    let idle = met.now.saturating_sub(H::load(&shared.seen));
    if !D::IS_CLIENT && first(H::load(&shared.ways)) == met.side() {
        return Outcome::guarded(Reason::SpoofedServer);
    }
    // verifier: only in mode `enforce`, but without a branch, after which it would walk everything twice.
    let barred = flags & 0_u64.wrapping_sub(policy.mode as u64 & 1);
    if barred & RESET != 0 {
        return after_reset::after_reset::<H>(shared, work, met);
    }
    if barred & REPLACED != 0 && !work.segment.has(RST) {
        return Outcome::guarded(Reason::UnknownConnection);
    }
    if barred & UNCERTAIN != 0 {
        // Bytes passed unread in mode `monitor`, so the state may be wrong.
        return Outcome::guarded(Reason::UnknownConnection);
    }
    if let Some(reason) = normalise::refused::<H, D>(policy, shared, &work.segment, flags, idle, met.egress) {
        return Outcome::held_back(reason);
    }
    if work.segment.length > 0 && flags & TLS == 0 && !normalise::intact(host, policy, work) {
        return Outcome::guarded(Reason::Checksum);
    }
    let shared = host.shared(entry);
    let segment = &work.segment;
    let position = acceptable::position::<H, D>(shared, segment);
    // The receiver does not accept the segment, so nothing in it is believed. In mode `monitor` a capture may lack the
    // segment that opened the window.
    let enforces = policy.enforces();
    if enforces && position == acceptable::BEYOND {
        return Outcome::held_back(Reason::BeyondWindow);
    }
    if work.segment.has(URG) && urgent::<H, D>(shared, policy, work, flags, position) {
        return Outcome::guarded(Reason::Urgent);
    }
    let segment = &work.segment;
    H::store(&shared.seen, met.now);
    let believed = peer::believe::<H, D>(shared, segment, flags, position, enforces);
    // This segment may carry the last acknowledgement.
    work.closing = ((flags / FINISHED) & 1) as u8;
    work.marked = ((flags / MARKED) & 1) as u8 & (1 ^ work.monitors);
    if segment.has(RST) {
        // A RST changes no state: its receiver may refuse it, and sends nothing more if it does not (I3). Its payload
        // reaches no application. The connection counts as closed only for the number of live connections and for its
        // event.
        work.ends = Ended::ClientReset as u8 + D::INDEX as u8;
        return Outcome::passes(Reason::Closing);
    }
    if segment.length == 0 && !segment.has(FIN) {
        return Outcome::passes(Reason::Acknowledgement);
    }
    if flags & (CLOSED | FINISHED) == CLOSED && segment.length > 0 {
        H::retain(&shared.flags, !(CLOSED | DEAD));
        host.opened();
    }
    let shared = host.shared(entry);
    if tls::sealed::<H, D>(shared, flags, segment) && !segment.has(FIN) && H::load(&shared.id) == id {
        return Outcome::passes(Reason::Tls);
    }
    if D::IS_CLIENT && policy.enforces() && backlog::waits::<H>(shared, work) {
        return Outcome::held_back(Reason::Backlog);
    }
    if segment.has(FIN) && flags & TLS != 0 && !believed {
        // In TLS the FIN's sequence number would be checked nowhere else.
        return Outcome::passes(Reason::Closing);
    }
    if lock::take_for::<H>(shared, id) { Outcome::read() } else { Outcome::held_back(Reason::Busy) }
}
