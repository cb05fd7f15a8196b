//! From a segment's facts to a verdict: the one way of every segment, in the kernel and in user space.

use core::sync::atomic::Ordering::Relaxed;

use crate::{
    action::Action,
    entry::{CLOSED, CUT, CUT_REPORTED, MARKED, State, SYN_NOTED, Shared, TLS, UNCERTAIN},
    event::{CLIENT, SERVER},
    flow::{HalfOpen, Key, NO_SCALE},
    host::{Host, Step},
    policy::Policy,
    reason::{Reason, counter},
    report, smtp,
    tcp::{self, ahead, client::Taken, lock, peer},
    verdict::Verdict,
    wire::{ACK, FIN, Kind, RST, SYN, Segment, URG},
    work::{Run, Work},
};

/// Where and when a segment was met.
#[derive(Clone, Copy, Debug)]
pub struct Met {
    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    pub now: u64,
    /// Interface index.
    pub ifindex: u32,
    /// At egress.
    pub egress: bool,
}

impl Met {
    /// Interface and hook in one number, never 0.
    #[inline(always)]
    const fn side(&self) -> u32 {
        self.ifindex << 1 | self.egress as u32
    }
}

const FROM_CLIENT: usize = CLIENT as usize;
const FROM_SERVER: usize = SERVER as usize;

/// A RST for a segment behind a reset goes out at most this often, a connection.
const RESET_EVERY: u64 = 10_000_000;

/// Judges a frame whose headers are read.
#[inline(always)]
pub fn judge<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, kind: Kind, met: Met) -> Verdict {
    match kind {
        Kind::Other => return Verdict::Pass,
        Kind::LaterFragment => return pass(host, work, Reason::LaterFragment),
        Kind::FirstFragment | Kind::Unreadable | Kind::Segment => {}
    }
    let to_server = policy.has_port(work.segment.destination_port);
    let from_server = policy.has_port(work.segment.source_port);
    set_key(work, to_server);
    begin_event(policy, work, met, !to_server);
    match kind {
        Kind::FirstFragment => return guard(host, policy, work, Reason::Fragment),
        Kind::Unreadable => return guard(host, policy, work, Reason::Unreadable),
        _ => {}
    }
    let segment = &work.segment;
    if segment.has(SYN) {
        if segment.has(ACK) {
            return if from_server { syn_ack(host, policy, work, met) } else { pass(host, work, Reason::Handshake) };
        }
        return if to_server { syn(host, policy, work, met) } else { pass(host, work, Reason::Handshake) };
    }
    if segment.has(URG) && segment.length > 0 {
        return guard(host, policy, work, Reason::Urgent);
    }
    let mut from_client = to_server;
    if !known(host, policy, work, from_client, met) {
        let reversed = to_server && from_server && {
            set_key(work, false);
            begin_event(policy, work, met, true);
            from_client = false;
            known(host, policy, work, false, met)
        };
        if !reversed {
            return unknown(host, policy, work, met);
        }
    }
    if from_client {
        live::<H, FROM_CLIENT>(host, policy, work, met)
    } else {
        live::<H, FROM_SERVER>(host, policy, work, met)
    }
}

/// The connection's key, if the segment is of the client or of the server.
#[inline(always)]
fn set_key(work: &mut Work, from_client: bool) {
    let Segment { source, destination, source_port, destination_port, .. } = work.segment;
    let (source_port, destination_port) = (source_port.to_be_bytes(), destination_port.to_be_bytes());
    work.key = if from_client {
        Key { client: source, server: destination, client_port: source_port, server_port: destination_port }
    } else {
        Key { client: destination, server: source, client_port: destination_port, server_port: source_port }
    };
}

/// What all events of the segment share.
#[inline(always)]
fn begin_event(policy: &Policy, work: &mut Work, met: Met, from_server: bool) {
    let event = &mut work.event;
    event.time = met.now;
    event.connection = 0;
    event.ifindex = met.ifindex;
    event.generation = policy.generation;
    event.client = work.key.client;
    event.server = work.key.server;
    event.client_port = work.key.client_port;
    event.server_port = work.key.server_port;
    event.direction = if from_server { SERVER } else { CLIENT };
    event.cut_length = 0;
}

/// Passes, counted.
#[inline(always)]
fn pass<H: Host>(host: &mut H, work: &Work, reason: Reason) -> Verdict {
    host.count(counter(reason.number(), Action::Pass, true), 1, work.segment.length);
    Verdict::Pass
}

/// What the policy says of a guard, outside of a connection's state.
#[inline(always)]
fn guard<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, reason: Reason) -> Verdict {
    let action = policy.guard(reason);
    let enforced = policy.enforces() || action <= Action::Log;
    host.count(counter(reason.number(), action, enforced), 1, work.segment.length);
    if action >= Action::Log {
        report::offending(host, work, 0);
        report::guard(host, work, reason.number(), action, enforced);
    }
    match action {
        Action::Pass | Action::Log => Verdict::Pass,
        Action::Mark if enforced => Verdict::PassMarked,
        _ if enforced => Verdict::Drop,
        _ => Verdict::Pass,
    }
}

/// A segment of a connection without state (I8).
#[inline(always)]
fn unknown<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> Verdict {
    if met.now < policy.grace_until {
        return pass(host, work, Reason::UnknownConnection);
    }
    guard(host, policy, work, Reason::UnknownConnection)
}

/// A client's SYN: noted, and passed. It moves nothing before the server's SYN-ACK (I3).
#[inline(always)]
fn syn<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> Verdict {
    if work.segment.length > 0 {
        return guard(host, policy, work, Reason::SynData);
    }
    if !host.half(&work.key, &mut work.half) {
        work.half = HalfOpen::EMPTY;
    }
    let Segment { sequence, scale, .. } = work.segment;
    work.half.syn(sequence, scale, met.side(), met.now);
    // Without room nobody is harmed but this one: its next segments are unknown.
    host.keep_half(&work.key, &work.half);
    if host.find(&work.key)
        && let Some(shared) = host.shared()
    {
        shared.flags.fetch_or(SYN_NOTED, Relaxed);
    }
    pass(host, work, Reason::Handshake)
}

/// The server's SYN-ACK: says which SYN counts.
#[inline(always)]
fn syn_ack<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> Verdict {
    set_key(work, false);
    begin_event(policy, work, met, true);
    if work.segment.length > 0 {
        return guard(host, policy, work, Reason::SynData);
    }
    if host.half(&work.key, &mut work.half) {
        let Segment { sequence, acknowledgement, window, scale, .. } = work.segment;
        if work.half.syn_ack(sequence, acknowledgement, window, scale, met.side()) {
            host.keep_half(&work.key, &work.half);
            return pass(host, work, Reason::Handshake);
        }
    } else if host.find(&work.key) {
        // A repeat: the acknowledgement of the first one was lost.
        return pass(host, work, Reason::Handshake);
    }
    unknown(host, policy, work, met)
}

/// Finds the live connection of a segment; makes it where this is the client's acknowledgement of the SYN-ACK.
#[inline(always)]
fn known<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, from_client: bool, met: Met) -> bool {
    let found = host.find(&work.key);
    let noted = match host.shared() {
        Some(shared) if found => shared.flags.load(Relaxed) & SYN_NOTED != 0,
        _ => false,
    };
    if found && !noted {
        return true;
    }
    if !from_client || !work.segment.has(ACK) || !host.half(&work.key, &mut work.half) {
        return found;
    }
    if !work.half.completes(work.segment.sequence, work.segment.acknowledgement) {
        return found;
    }
    promote(host, policy, work, met)
}

/// Makes a half-open connection live.
#[inline(always)]
fn promote<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> bool {
    let created = match host.create(&work.key) {
        Some(created) => created,
        None => return false,
    };
    let id = host.random();
    if !created {
        // The port pair is used again, or another CPU was quicker.
        let Some(shared) = host.shared() else { return false };
        if shared.flags.load(Relaxed) & SYN_NOTED == 0 {
            return true;
        }
        if !lock::take::<H>(&shared.lock) {
            return false;
        }
    }
    let HalfOpen { client_isn, server_isn, server_window, client_scale, server_scale, client_side, server_side, .. } =
        work.half;
    let client_next = client_isn.wrapping_add(1);
    let server_next = server_isn.wrapping_add(1);
    work.state = State::EMPTY;
    work.state.half[FROM_CLIENT].isn = client_isn;
    work.state.half[FROM_CLIENT].next = client_next;
    work.state.half[FROM_SERVER].isn = server_isn;
    work.state.half[FROM_SERVER].next = server_next;
    work.state.session.since = met.now;
    smtp::server::begin(work, client_next, server_next);
    if let Some(locked) = host.locked() {
        locked.state = work.state;
    }
    host.forget_half(&work.key);
    let Some(shared) = host.shared() else { return false };
    let scaled = client_scale != NO_SCALE && server_scale != NO_SCALE;
    let shifts = if scaled { client_scale as u32 | (server_scale as u32) << 8 } else { 0 };
    shared.id.store(id, Relaxed);
    shared.shifts.store(shifts, Relaxed);
    shared.acknowledged[FROM_CLIENT].store(client_next, Relaxed);
    shared.acknowledged[FROM_SERVER].store(server_next, Relaxed);
    shared.edge[FROM_CLIENT].store(client_next.wrapping_add(server_window as u32), Relaxed);
    shared.edge[FROM_SERVER].store(server_next, Relaxed);
    shared.seen.store(met.now, Relaxed);
    shared.cut_generation.store(policy.generation.wrapping_sub(1), Relaxed);
    // Both sides on one way in: nothing can be said of forgeries.
    shared.client_side.store(if client_side == server_side { 0 } else { client_side }, Relaxed);
    shared.flags.store(0, Relaxed);
    lock::release(&shared.lock);
    host.opened();
    true
}

/// A segment of a live connection.
#[inline(always)]
fn live<H: Host, const FROM: usize>(host: &mut H, policy: &Policy, work: &mut Work, met: Met) -> Verdict {
    let Some(shared) = host.shared() else { return Verdict::Drop };
    let flags = shared.flags.load(Relaxed);
    let id = shared.id.load(Relaxed);
    work.event.connection = id;
    shared.seen.store(met.now, Relaxed);
    if FROM == FROM_SERVER && shared.client_side.load(Relaxed) == met.side() {
        return guard(host, policy, work, Reason::SpoofedServer);
    }
    if policy.enforces() {
        if flags & CUT != 0 {
            return after_reset(host, work, met);
        }
        if flags & UNCERTAIN != 0 {
            // Bytes passed unread in mode `monitor`: what stands in the state may be wrong.
            return guard(host, policy, work, Reason::UnknownConnection);
        }
    }
    let segment = &work.segment;
    if segment.has(ACK) {
        peer::note::<FROM>(shared, segment);
    }
    let passing = if flags & MARKED != 0 { Verdict::PassMarked } else { Verdict::Pass };
    if segment.has(RST) {
        // Noted by nobody: it counts when its receiver falls silent (I3). Its payload reaches no application.
        host.count(counter(Reason::Closing.number(), Action::Pass, true), 1, 0);
        return passing;
    }
    if segment.length == 0 && !segment.has(FIN) {
        host.count(counter(Reason::Acknowledgement.number(), Action::Pass, true), 1, 0);
        return passing;
    }
    if flags & TLS != 0 && ahead(segment.sequence, shared.tls_from[FROM].load(Relaxed)) >= 0 && !segment.has(FIN) {
        host.count(counter(Reason::Tls.number(), Action::Pass, true), 1, segment.length);
        return passing;
    }
    if !lock::take::<H>(&shared.lock) {
        return held_back(host, policy, work, Reason::Busy, passing);
    }
    // The table may have given the entry to another connection meanwhile.
    let Some(shared) = host.shared() else { return Verdict::Drop };
    if shared.id.load(Relaxed) != id {
        lock::release(&shared.lock);
        return held_back(host, policy, work, Reason::Busy, passing);
    }
    locked::<H, FROM>(host, policy, work, passing)
}

/// What is dropped whatever the policy says, in mode `enforce`.
#[inline(always)]
fn held_back<H: Host>(host: &mut H, policy: &Policy, work: &Work, reason: Reason, passing: Verdict) -> Verdict {
    host.count(counter(reason.number(), Action::Drop, policy.enforces()), 1, work.segment.length);
    if policy.enforces() { Verdict::Drop } else { passing }
}

/// A further segment of a connection that was reset.
#[inline(always)]
fn after_reset<H: Host>(host: &mut H, work: &Work, met: Met) -> Verdict {
    if work.segment.has(RST) {
        // The filter's own on its way through another hook, or the end's own.
        host.count(counter(Reason::OwnReset.number(), Action::Pass, true), 1, 0);
        return Verdict::Pass;
    }
    host.count(counter(Reason::AfterReset.number(), Action::Drop, true), 1, work.segment.length);
    let Some(shared) = host.shared() else { return Verdict::Drop };
    let last = shared.reset_at.load(Relaxed);
    if !work.segment.has(ACK) || met.now.wrapping_sub(last) < RESET_EVERY {
        return Verdict::Drop;
    }
    shared.reset_at.store(met.now, Relaxed);
    Verdict::ResetSender
}

/// Reads a segment, and once more to tell of its commands where there are several: they are reported when they pass.
struct Passes<'a, H, const FROM: usize> {
    host: &'a mut H,
    policy: &'a Policy,
    work: &'a mut Work,
    taken: &'a mut u32,
}

/// `taken`: the state changed.
const CHANGED: u32 = 1 << 16;

impl<H: Host, const FROM: usize> Step for Passes<'_, H, FROM> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let Some(locked) = host.locked() else { return true };
        work.state = locked.state;
        work.run = Run::EMPTY;
        work.run.telling = index as u8;
        let Some(shared) = host.shared() else { return true };
        work.run.gap = (shared.flags.load(Relaxed) & UNCERTAIN != 0) as u8;
        let acknowledged = shared.acknowledged[FROM].load(Relaxed);
        let edge = shared.edge[FROM].load(Relaxed);
        let taken = if FROM == FROM_CLIENT {
            tcp::client::payload(host, self.policy, work, acknowledged, edge)
        } else {
            tcp::server::payload(host, self.policy, work, acknowledged, edge)
        };
        *self.taken = match taken {
            Taken::Changed(reason) => CHANGED | reason.number() as u32,
            Taken::Unchanged(reason) => reason.number() as u32,
        };
        work.run.cut != 0 || work.run.commands < 2
    }
}

/// With the lock held; gives it back.
#[inline(always)]
fn locked<H: Host, const FROM: usize>(host: &mut H, policy: &Policy, work: &mut Work, passing: Verdict) -> Verdict {
    work.run = Run::EMPTY;
    let mut taken = Reason::Closing.number() as u32;
    if work.segment.length > 0 {
        H::repeat(2, &mut Passes::<H, FROM> { host, policy, work, taken: &mut taken });
    } else if let Some(locked) = host.locked() {
        work.state = locked.state;
    }
    let monitored_cut = work.run.cut != 0 && !policy.enforces();
    let mut changed = taken & CHANGED != 0;
    if monitored_cut {
        changed = unread::<H, FROM>(host, work);
    }
    let cut = work.run.cut != 0 && !monitored_cut;
    let mut closes = false;
    if work.segment.has(FIN) && !cut {
        let half = &mut work.state.half[FROM];
        // In its place; before a gap it comes again.
        if half.next == work.segment.end() && half.fin == 0 {
            half.fin = 1;
            half.fin_at = work.segment.end();
            changed = true;
            closes = work.state.half[1 - FROM].fin != 0;
        }
    }
    let tls = changed && work.state.session.mode == smtp::TLS;
    let footing = changed && work.run.gap != 0 && FROM == FROM_SERVER && work.state.session.mode != smtp::TEXT;
    if changed {
        let state = work.state;
        if let Some(locked) = host.locked() {
            locked.state = state;
        }
    }
    let Some(shared) = host.shared() else { return Verdict::Drop };
    set_flags(shared, work, tls, footing, monitored_cut, closes);
    let fresh = work.run.cut != 0 && note_cut(shared, policy, work);
    if cut && work.run.cut == Action::Reset as u8 {
        shared.flags.fetch_or(CUT, Relaxed);
    }
    lock::release(&shared.lock);
    if closes {
        host.closed();
    }
    if work.run.cut != 0 {
        tell_cut(host, work, fresh, cut);
    }
    if cut {
        return if work.run.cut == Action::Reset as u8 { Verdict::Reset } else { Verdict::Drop };
    }
    if !monitored_cut {
        let reason = taken as u16;
        host.count(reason as u32 * crate::reason::COUNTERS_PER_REASON + 1, 1, work.segment.length);
    }
    if work.run.commands == 1 && work.run.telling == 0 && !monitored_cut {
        report::tell(host, work);
    }
    if work.run.mark != 0 { Verdict::PassMarked } else { passing }
}

/// Flags that others read without the lock.
#[inline(always)]
fn set_flags(shared: &Shared, work: &Work, tls: bool, footing: bool, gap: bool, closes: bool) {
    if tls {
        shared.tls_from[FROM_CLIENT].store(work.state.half[FROM_CLIENT].next, Relaxed);
        shared.tls_from[FROM_SERVER].store(work.state.half[FROM_SERVER].next, Relaxed);
    }
    let set = if tls { TLS } else { 0 }
        | if work.run.mark != 0 { MARKED } else { 0 }
        | if gap { UNCERTAIN } else { 0 }
        | if closes { CLOSED } else { 0 };
    if set != 0 {
        shared.flags.fetch_or(set, Relaxed);
    }
    if footing && !gap {
        shared.flags.fetch_and(!UNCERTAIN, Relaxed);
    }
}

/// Notes which cut was reported last; whether this one is another.
#[inline(always)]
fn note_cut(shared: &Shared, policy: &Policy, work: &Work) -> bool {
    let place = work.run.place;
    let reported = shared.flags.load(Relaxed) & CUT_REPORTED != 0
        && shared.cut_at.load(Relaxed) == place
        && shared.cut_generation.load(Relaxed) == policy.generation;
    if reported {
        return false;
    }
    shared.cut_at.store(place, Relaxed);
    shared.cut_generation.store(policy.generation, Relaxed);
    shared.flags.fetch_or(CUT_REPORTED, Relaxed);
    true
}

/// Counts a cut and tells of it, once a place. What the stream forces has counters alone: it happens on every loss.
#[inline(always)]
fn tell_cut<H: Host>(host: &mut H, work: &mut Work, fresh: bool, enforced: bool) {
    let (reason, action) = (work.run.reason, Action::from_u8(work.run.cut));
    host.count(counter(reason, action, enforced), 1, work.segment.length);
    let forced = reason >= Reason::Early.number() && reason < crate::reason::FIRST_NAME;
    if !fresh || forced {
        return;
    }
    let from = work.run.place.wrapping_sub(work.segment.sequence);
    // The line began in an earlier segment: what is here belongs to it.
    let from = if from >= work.segment.length { 0 } else { from };
    report::offending(host, work, from);
    if work.run.line_cut != 0 {
        host.emit(&work.event);
    } else {
        report::guard(host, work, reason, action, enforced);
    }
}

/// Mode `monitor`: the segment passes although it was not read in its place. Whether the state changed.
#[inline(always)]
fn unread<H: Host, const FROM: usize>(host: &mut H, work: &mut Work) -> bool {
    host.count(counter(Reason::Gap.number(), Action::Pass, true), 1, work.segment.length);
    let Some(locked) = host.locked() else { return false };
    work.state = locked.state;
    let end = work.segment.end();
    if ahead(end, work.state.half[FROM].next) <= 0 {
        return false;
    }
    work.state.half[FROM].next = end;
    work.state.memory.forget_early();
    if FROM == FROM_CLIENT {
        if work.state.session.mode == smtp::CHUNK {
            work.state.session.mode = smtp::COMMAND;
        }
        work.state.line[FROM].begin(false, end);
    } else {
        work.state.line[FROM].begin(true, end);
    }
    true
}
