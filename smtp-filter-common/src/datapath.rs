//! From a segment's facts to a verdict: the one path of every segment, in the kernel and in user space.

use core::marker::PhantomData;

use crate::{
    action::Action,
    direction::{Client, Direction, Server},
    entry::{
        BLOCK_REPORTED, CLOSED, DEAD, FIN_PASSED, FINISHED, HELLO, MAIL_DATA, MARKED, PHASE, REPLACED, RESET, SEALED,
        SPOKE, SYN_NOTED, Shared, TLS, TRANSACTION, UNCERTAIN, first, first_of, pair, pair_of, second_of,
    },
    event::{CLIENT, Ended, SERVER},
    flow::{
        Key, end,
        handshake::{self, KNOWN, NO_ROOM},
    },
    flow::{lock, peer},
    host::{Host, Step},
    policy::Policy,
    reason::{Reason, counter},
    report,
    scope::{self, Policies},
    session,
    stream::{self, acceptable, backlog, client::Taken, normalise},
    verdict::Verdict,
    wire::{ACK, FIN, Kind, RST, SYN, Segment, URG},
    work::{Found, MISSING, Next, Passed, Work},
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
    pub(crate) const fn side(&self) -> u32 {
        self.ifindex << 1 | self.egress as u32
    }
}

/// At most one RST per connection in this time is sent in reply to segments after a reset.
const RESET_EVERY: u64 = 10_000_000;

impl Found {
    pub(crate) const fn settled(verdict: Verdict) -> Self {
        Self { next: Next::SETTLED, reason: 0, verdict: verdict as u8 }
    }

    pub(crate) const fn passes(reason: Reason) -> Self {
        Self { next: Next::PASSES, reason: reason.number(), verdict: Verdict::Pass as u8 }
    }

    pub(crate) const fn guarded(reason: Reason) -> Self {
        Self { next: Next::GUARDED, reason: reason.number(), verdict: Verdict::Drop as u8 }
    }

    pub(crate) const fn held_back(reason: Reason) -> Self {
        Self { next: Next::HELD_BACK, reason: reason.number(), verdict: Verdict::Drop as u8 }
    }

    const fn to_find(from: usize) -> Self {
        Self { next: if from == Client::INDEX { Next::FIND_CLIENT } else { Next::FIND_SERVER }, reason: 0, verdict: 0 }
    }

    const fn to_read(from: usize) -> Self {
        Self { next: if from == Client::INDEX { Next::READ_CLIENT } else { Next::READ_SERVER }, reason: 0, verdict: 0 }
    }
}

/// Judges a frame whose headers have been read. Runs the steps one after the other; each says in `Work::found` which
/// one is next. `None` if there is no policy.
///
/// In the kernel the steps are a chain of programs: [`begin`] is part of the two at the hooks; [`handshake()`], the
/// three for the client, the three for the server, and [`finish`] are one program each. Everything that they pass on
/// is in the working area.
#[inline(always)]
pub fn judge<H: Host, P: Policies>(
    host: &mut H,
    policies: &P,
    work: &mut Work,
    kind: Kind,
    met: Met,
) -> Option<Verdict> {
    begin(policies.of_scope(0)?, work, kind, met);
    if work.found.next == Next::FIND_CLIENT {
        find_client(host, policies, work);
    } else if work.found.next == Next::FIND_SERVER {
        find_server(host, policies, work);
    }
    if work.found.next == Next::HANDSHAKE {
        handshake(host, policies, work);
        // This segment is the first of its connection.
        match work.found.next {
            Next::FIND_CLIENT => find_client(host, policies, work),
            Next::FIND_SERVER => find_server(host, policies, work),
            _ => {}
        }
    }
    let Some(policy) = policies.of_scope(work.scope as u32) else {
        return Some(without_policy(host, work));
    };
    match work.found.next {
        Next::READ_CLIENT => {
            read_client(host, policy, work);
            decide_client(host, policy, work);
        }
        Next::READ_SERVER => {
            read_server(host, policy, work);
            decide_server(host, policy, work);
        }
        _ => {}
    }
    Some(leave(host, work).unwrap_or_else(|| finish(host, policy, work)))
}

/// The policy of the segment's scope was replaced by a newer one in the meantime. The segment is held back, and its
/// sender retransmits it.
#[inline(always)]
pub fn without_policy<H: Host>(host: &mut H, work: &Work) -> Verdict {
    host.count(counter(Reason::Busy.number(), Action::Drop as u8, true), 1, work.segment.length);
    Verdict::Drop
}

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
    work.found = meet(whole, work, kind, met);
}

#[inline(always)]
fn meet(whole: &Policy, work: &mut Work, kind: Kind, met: Met) -> Found {
    if whole.is_off(met.now) {
        return Found::settled(Verdict::Pass);
    }
    match kind {
        Kind::Other => return Found::settled(Verdict::Pass),
        Kind::LaterFragment => return Found::passes(Reason::LaterFragment),
        Kind::FirstFragment | Kind::Unreadable | Kind::Segment => {}
    }
    let from_client = Ports::of(whole, &work.segment).is_clients();
    set_key(work, from_client);
    if kind != Kind::Segment || work.segment.has(SYN) {
        return Found { next: Next::HANDSHAKE, reason: 0, verdict: 0 };
    }
    Found::to_find(if from_client { Client::INDEX } else { Server::INDEX })
}

/// Which of a segment's ports belong to the policy.
struct Ports {
    to_server: bool,
    from_server: bool,
    answers: bool,
}

impl Ports {
    #[inline(always)]
    const fn of(whole: &Policy, segment: &Segment) -> Self {
        let to_server = whole.has_port(segment.destination_port);
        let from_server = whole.has_port(segment.source_port);
        Self { to_server, from_server, answers: from_server & segment.has(SYN) & segment.has(ACK) }
    }

    /// Whether the client sends it. Without readable ports that cannot be known, and the client is assumed, so that the
    /// client's policy decides about unreadable packets.
    #[inline(always)]
    const fn is_clients(&self) -> bool {
        !self.from_server | (self.to_server & !self.answers)
    }
}

/// Second step, after [`Next::FIND_CLIENT`]: finds the connection, and judges what can be judged without reading the
/// payload. Before [`Next::READ_CLIENT`] it takes the connection's lock. From here on `Work::scope` says whose policy
/// applies. [`Next::HANDSHAKE`] follows if no connection is known, or a new one may begin.
#[inline(always)]
pub fn find_client<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.found = find::<H, P, Client>(host, policies, work);
}

/// Second step, after [`Next::FIND_SERVER`]: the same for the server.
#[inline(always)]
pub fn find_server<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.found = find::<H, P, Server>(host, policies, work);
}

#[inline(always)]
fn find<H: Host, P: Policies, D: Direction>(host: &mut H, policies: &P, work: &mut Work) -> Found {
    let there = host.find(&work.key);
    let known = match host.shared() {
        Some(shared) if there => H::load(&shared.flags) & SYN_NOTED == 0 || work.greeted != 0,
        _ => false,
    };
    if !known {
        // The connection was made by the handshake step, and another CPU has removed it since.
        let busy = Found::held_back(Reason::Busy);
        return if work.greeted != 0 { busy } else { Found { next: Next::HANDSHAKE, reason: 0, verdict: 0 } };
    }
    let policy = policies.of_scope(0).and_then(|whole| scope::choose(host, policies, whole, work, true));
    let Some(policy) = policy else { return Found::held_back(Reason::Busy) };
    begin_event(policy, work, !D::IS_CLIENT);
    live::<H, D>(host, policy, work)
}

/// Step after [`Next::HANDSHAKE`]: segments that begin a connection, or belong to none. If the segment turns out to
/// belong to one after all, [`Next::FIND_CLIENT`] or [`Next::FIND_SERVER`] follows, but not this step again.
#[inline(always)]
pub fn handshake<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.greeted = 1;
    work.found = greet(host, policies, work);
}

#[inline(always)]
fn greet<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) -> Found {
    let met = work.met;
    let Some(whole) = policies.of_scope(0) else { return Found::held_back(Reason::Busy) };
    let ports = Ports::of(whole, &work.segment);
    let from_client = ports.is_clients();
    let there = !work.segment.has(SYN) && host.find(&work.key);
    let Some(policy) = scope::choose(host, policies, whole, work, there) else {
        return Found::held_back(Reason::Busy);
    };
    begin_event(policy, work, !from_client);
    match Kind::from_u8(work.kind) {
        Kind::FirstFragment => return Found::guarded(Reason::Fragment),
        Kind::Segment => {}
        _ => return Found::guarded(Reason::Unreadable),
    }
    let Ports { to_server, from_server, .. } = ports;
    let segment = &work.segment;
    if segment.has(SYN) {
        if segment.multipath != 0 {
            return Found::guarded(Reason::Multipath);
        }
        return match (segment.has(ACK), to_server, from_server) {
            (false, true, _) => handshake::syn(host, work, met),
            (true, _, true) => handshake::syn_ack(host, policy, work, met),
            _ if segment.length > 0 => Found::guarded(Reason::SynData),
            // It is the client's own port that the policy names.
            _ => Found::passes(Reason::Handshake),
        };
    }
    let known = handshake::known(host, work, there, from_client);
    if known == NO_ROOM {
        return Found::held_back(Reason::TableFull);
    }
    if known == KNOWN {
        return Found::to_find(if from_client { Client::INDEX } else { Server::INDEX });
    }
    let mut policy = policy;
    let mut from_client = from_client;
    if to_server && from_server {
        set_key(work, false);
        let Some(chosen) = scope::choose(host, policies, whole, work, false) else {
            return Found::held_back(Reason::Busy);
        };
        policy = chosen;
        begin_event(policy, work, true);
        from_client = false;
    }
    // If both ports are the policy's, only a handshake whose two sides came from different interfaces shows who the
    // server is. Otherwise a client could answer its own SYN in the server's name, and then pass for the server.
    let mirrored = |host: &H| host.shared().is_none_or(|shared| first(H::load(&shared.ways)) == 0);
    if from_client || !to_server || !host.find(&work.key) || mirrored(host) {
        return handshake::stranger(host, policy, work, met);
    }
    Found::to_find(Server::INDEX)
}

/// Third step, after [`Next::READ_CLIENT`]. The longest call chains begin here, so it keeps nothing for later.
#[inline(always)]
pub fn read_client<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    read::<H, Client>(host, policy, work);
}

/// Third step, after [`Next::READ_SERVER`].
#[inline(always)]
pub fn read_server<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    read::<H, Server>(host, policy, work);
}

/// Fourth step, after [`read_client`].
#[inline(always)]
pub fn decide_client<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.found = decide::<H, Client>(host, policy, work);
}

/// Fourth step, after [`read_server`].
#[inline(always)]
pub fn decide_server<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.found = decide::<H, Server>(host, policy, work);
}

/// The last step of most segments: counts one that passes. `None` if more has to be done, which [`finish`] does.
#[inline(always)]
pub fn leave<H: Host>(host: &mut H, work: &Work) -> Option<Verdict> {
    let Found { next, reason, verdict } = work.found;
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
    let Found { next, reason, verdict } = work.found;
    let enforces = policy.enforces();
    let verdict = match next {
        Next::SETTLED => Verdict::from_u8(verdict),
        Next::PASSES => {
            host.count(counter(reason, Action::Pass as u8, true), 1, work.segment.length);
            Verdict::Pass
        }
        Next::GUARDED => guard(host, policy, work, reason),
        _ => {
            host.count(counter(reason, Action::Drop as u8, enforces), 1, work.segment.length);
            if enforces { Verdict::from_u8(verdict) } else { Verdict::Pass }
        }
    };
    if work.ends | work.closing != 0 && host.find(&work.key) {
        end::close(host, work);
    }
    verdict
}

/// Sets the connection's key, by whether the client or the server sent the segment.
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

/// Fills in what all events of the segment share.
#[inline(always)]
fn begin_event(policy: &Policy, work: &mut Work, from_server: bool) {
    let met = work.met;
    let event = &mut work.event;
    event.time = met.now;
    event.connection = 0;
    event.ifindex = met.ifindex;
    event.generation = policy.generation;
    event.scope = policy.scope;
    event.client = work.key.client;
    event.server = work.key.server;
    event.client_port = work.key.client_port;
    event.server_port = work.key.server_port;
    event.direction = if from_server { SERVER } else { CLIENT };
    event.excerpt_length = 0;
}

/// Carries out the policy's action for a guard, independent of a connection's state.
#[inline(always)]
fn guard<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, reason: u16) -> Verdict {
    let action = policy.guard(reason);
    let enforced = policy.enforces() || action <= Action::Log as u8;
    // Only an end that is known to be the connection's own can reset it; otherwise the segment is dropped.
    let resets = work.ends == Ended::Reset as u8;
    let action = if enforced && action == Action::Reset as u8 && !resets { Action::Drop as u8 } else { action };
    host.count(counter(reason, action, enforced), 1, work.segment.length);
    if Action::number_reports(action) {
        if work.event.direction == SERVER {
            report::offending(host, work, 0);
        } else {
            report::hide(work);
        }
        report::guard(work, reason, action, enforced);
        host.emit(&work.event);
    }
    match (enforced && Action::number_blocks(action), resets) {
        (false, _) => Verdict::Pass,
        (true, false) => Verdict::Drop,
        (true, true) => Verdict::Reset,
    }
}

/// A segment of a live connection.
#[inline(always)]
fn live<H: Host, D: Direction>(host: &mut H, policy: &Policy, work: &mut Work) -> Found {
    let met = work.met;
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    work.begin(!policy.enforces());
    // Read first: if the number is still the same afterwards, everything read in between belongs to this connection.
    let id = H::load(&shared.id);
    let flags = H::load(&shared.flags);
    work.event.connection = id;
    // Another CPU may have stored a later time.
    let idle = met.now.saturating_sub(H::load(&shared.seen));
    if !D::IS_CLIENT && first(H::load(&shared.ways)) == met.side() {
        return Found::guarded(Reason::SpoofedServer);
    }
    // verifier: only in mode `enforce`, but without a branch, after which it would walk everything twice.
    let barred = flags & 0_u64.wrapping_sub(policy.mode as u64 & 1);
    if barred & RESET != 0 {
        return after_reset::<H>(shared, work, met);
    }
    if barred & REPLACED != 0 && !work.segment.has(RST) {
        return Found::guarded(Reason::UnknownConnection);
    }
    if barred & UNCERTAIN != 0 {
        // Bytes passed unread in mode `monitor`, so the state may be wrong.
        return Found::guarded(Reason::UnknownConnection);
    }
    if let Some(reason) = normalise::refused::<H, D>(policy, shared, &work.segment, flags, idle, met.egress) {
        return Found::held_back(reason);
    }
    if work.segment.length > 0 && flags & TLS == 0 && !normalise::intact(host, policy, work) {
        return Found::guarded(Reason::Checksum);
    }
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    let segment = &work.segment;
    let position = acceptable::position::<H, D>(shared, segment);
    // The receiver does not accept the segment, so nothing in it is believed. In mode `monitor` a capture may lack the
    // segment that opened the window.
    let enforces = policy.mode & 1 != 0;
    if enforces && position == acceptable::BEYOND {
        return Found::held_back(Reason::BeyondWindow);
    }
    // Even without payload: the pointer may reach into later segments (RFC 9293 section 3.8.5).
    if segment.has(URG) {
        let resets = policy.guard(Reason::Urgent.number()) == Action::Reset as u8;
        // An attacker who forges a segment does not know the sequence numbers. Checksum and hop limit have not been
        // checked for a segment without payload or in TLS, so its receiver may discard it. Such a segment is dropped,
        // and nothing in it is believed.
        let looked_at = segment.length > 0 && flags & TLS == 0;
        if enforces
            && resets
            && looked_at
            && position == acceptable::WITHIN
            && acceptable::acknowledges::<H, D>(shared, segment)
        {
            H::set(&shared.flags, RESET);
            work.ends = Ended::Reset as u8;
        }
        if enforces || segment.length == 0 || flags & TLS != 0 {
            return Found::guarded(Reason::Urgent);
        }
        let sequence = segment.sequence;
        work.note(Reason::Urgent.number(), policy.guard(Reason::Urgent.number()), sequence);
    }
    let segment = &work.segment;
    H::store(&shared.seen, met.now);
    // Nothing is believed that may not come from the connection's own end. That includes a RST, which a receiver
    // accepts whatever it acknowledges.
    let own = position == acceptable::WITHIN && acceptable::acknowledges::<H, D>(shared, segment) && !segment.has(RST);
    let believed = own || !enforces && !segment.has(RST);
    if segment.has(ACK) && believed {
        let moved = peer::note::<H, D>(shared, segment);
        if !D::IS_CLIENT && (moved || segment.length > 0) {
            backlog::clear::<H>(shared);
        }
        normalise::note::<H, D>(shared, segment, flags);
    }
    // This segment may carry the last acknowledgement.
    work.closing = ((flags / FINISHED) & 1) as u8;
    work.marked = ((flags / MARKED) & 1) as u8 & (1 ^ work.monitors);
    if segment.has(RST) {
        // A RST changes no state: its receiver may refuse it, and sends nothing more if it does not (I3). Its payload
        // reaches no application. The connection counts as closed only for the number of live connections and for its
        // event.
        work.ends = Ended::ClientReset as u8 + D::INDEX as u8;
        return Found::passes(Reason::Closing);
    }
    if segment.length == 0 && !segment.has(FIN) {
        return Found::passes(Reason::Acknowledgement);
    }
    if flags & (CLOSED | FINISHED) == CLOSED && segment.length > 0 {
        H::retain(&shared.flags, !(CLOSED | DEAD));
        host.opened();
    }
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    if sealed::<H, D>(shared, flags, segment) && !segment.has(FIN) && H::load(&shared.id) == id {
        return Found::passes(Reason::Tls);
    }
    if D::IS_CLIENT && policy.enforces() && backlog::waits::<H>(shared, work) {
        return Found::held_back(Reason::Backlog);
    }
    if segment.has(FIN) && flags & TLS != 0 && !believed {
        // In TLS the FIN's sequence number would be checked nowhere else.
        return Found::passes(Reason::Closing);
    }
    if id == 0 || !lock::take::<H>(&shared.lock) {
        return Found::held_back(Reason::Busy);
    }
    // Meanwhile the entry may have been given to another connection.
    if H::load(&shared.id) != id {
        lock::release::<H>(&shared.lock);
        return Found::held_back(Reason::Busy);
    }
    Found::to_read(D::INDEX)
}

/// Whether a segment lies in TLS, of which nothing is read.
#[inline(always)]
fn sealed<H: Host, D: Direction>(shared: &Shared, flags: u64, segment: &Segment) -> bool {
    let from = D::of(H::load(&shared.tls_from));
    let sealed = SEALED << D::INDEX;
    if flags & (TLS | sealed) == TLS && !first_of(H::load(&shared.peer[D::INDEX])).is_before(from) {
        H::set(&shared.flags, sealed);
    }
    flags & sealed != 0 || flags & TLS != 0 && !segment.sequence.is_before(from)
}

/// A segment of a connection after its reset.
#[inline(always)]
fn after_reset<H: Host>(shared: &Shared, work: &Work, met: Met) -> Found {
    if work.segment.has(RST) {
        // The filter's own RST at another hook, or one of an end.
        return Found::passes(Reason::OwnReset);
    }
    if !work.segment.has(ACK) || met.now.wrapping_sub(H::load(&shared.reset_at)) < RESET_EVERY {
        return Found::held_back(Reason::AfterReset);
    }
    H::store(&shared.reset_at, met.now);
    Found { verdict: Verdict::ResetSender as u8, ..Found::held_back(Reason::AfterReset) }
}

/// Reads a segment. A second pass reports its commands, if they differ in how they are counted or need events, and
/// makes changes: so they are reported only if the segment passes.
struct Passes<'a, H, D: Direction> {
    host: &'a mut H,
    policy: &'a Policy,
    work: &'a mut Work,
    direction: PhantomData<D>,
}

/// Flag in `Work::taken`: the state changed.
const CHANGED: u32 = 1 << 16;
/// `Work::taken`: the connection's state was not found.
const NOTHING: u32 = 0;

impl<H: Host, D: Direction> Step for Passes<'_, H, D> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        if !host.load_state(&mut work.state) {
            return true;
        }
        work.begin_reading();
        work.tally.reporting = index as u8;
        let Some(shared) = host.shared() else { return true };
        work.stream.uncertain = (H::load(&shared.flags) & UNCERTAIN != 0) as u8;
        let peer = H::load(&shared.peer[D::INDEX]);
        let (acknowledged, edge) = (first_of(peer), second_of(peer));
        // What the server has acknowledged of the client's bytes.
        work.stream.acknowledged = first_of(H::load(&shared.peer[Client::INDEX]));
        let taken = if D::IS_CLIENT {
            stream::client::payload(host, self.policy, work, acknowledged, edge)
        } else {
            stream::server::payload(host, self.policy, work, acknowledged, edge)
        };
        work.taken = match taken {
            Taken::Changed(reason) => CHANGED | reason.number() as u32,
            Taken::Unchanged(reason) => reason.number() as u32,
        };
        work.is_blocked() || (work.tally.commands < 2 || work.tally.several == 0) && work.tally.rewrites == 0
    }
}

/// Facts about a segment that has been read, as bits. The state changed.
const STATE_CHANGED: u8 = 1;
/// There is a verdict against it.
const BLOCKED: u8 = 2;
/// Part of it passed unread in mode `monitor`, or may be missing.
const UNREAD: u8 = 4;
/// Both sides have closed.
const CLOSES: u8 = 8;
/// This verdict has not been reported yet.
const FRESH: u8 = 16;

/// Reads what there is to read. The lock is held.
#[inline(always)]
fn read<H: Host, D: Direction>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.begin_reading();
    work.taken = NOTHING;
    let Some(shared) = host.shared() else { return };
    if work.segment.length > 0 && !sealed::<H, D>(shared, H::load(&shared.flags), &work.segment) {
        work.taken = Reason::Closing.number() as u32;
        H::run_steps(2, &mut Passes::<H, D> { host, policy, work, direction: PhantomData });
    } else if host.load_state(&mut work.state) {
        work.taken = Reason::Closing.number() as u32;
    }
}

/// Decides, and releases the lock.
#[inline(always)]
fn decide<H: Host, D: Direction>(host: &mut H, policy: &Policy, work: &mut Work) -> Found {
    let taken = work.taken;
    if taken == NOTHING {
        return Found::held_back(Reason::Busy);
    }
    let mut facts = 0;
    if work.is_blocked() {
        facts = BLOCKED;
        if !policy.enforces() {
            facts = UNREAD | unread::<H, D>(host, work);
        }
    } else if taken & CHANGED != 0 {
        facts = STATE_CHANGED;
    }
    let mut facts = work.unknown::<H>(facts | (UNREAD * (work.uncertain != 0) as u8));
    if work.segment.has(FIN) && facts & BLOCKED == 0 {
        facts |= fin::<D>(work);
        facts = work.unknown::<H>(facts);
    }
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    if H::load(&shared.id) != work.event.connection {
        // The entry was given to another connection during the reading, so nothing may be saved.
        return Found::held_back(Reason::Busy);
    }
    if facts & STATE_CHANGED != 0 {
        host.save_state(&work.state);
        if !D::IS_CLIENT && work.identical.keeps_line != 0 {
            stream::identical::keep(host, work);
        }
    }
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    set_flags::<H, D>(shared, work, facts);
    let marked = ((H::load(&shared.flags) / MARKED) & 1) as u8 & (1 ^ work.monitors);
    if D::IS_CLIENT && facts & BLOCKED != 0 {
        backlog::note::<H>(shared, work);
    }
    let read = !work.is_blocked();
    if read {
        let Passed { sequence, reason, action } = work.passed;
        work.block_by(reason, action, sequence);
    }
    if work.is_blocked() && note_block::<H>(shared, policy, work) {
        facts |= FRESH;
    }
    lock::release::<H>(&shared.lock);
    let facts = work.unknown::<H>(facts);
    if read {
        let taken = if work.uncertain & MISSING != 0 { Reason::Gap.number() } else { taken as u16 };
        host.count(counter(taken, Action::Pass as u8, true), 1, work.segment.length);
        if work.tally.commands != 0 && work.tally.reporting == 0 {
            report::report_all(host, work);
        }
        if work.tally.unmatched != 0 {
            unmatched(host, policy, work);
        }
        // Meanwhile a command on another CPU may have requested the skb mark.
        work.marked |= work.tally.mark | marked;
    }
    if work.is_blocked() {
        report_block(host, work, facts);
    }
    Found::settled(if facts & BLOCKED == 0 {
        Verdict::Pass
    } else if work.block.action == Action::Reset as u8 {
        Verdict::Reset
    } else {
        Verdict::Drop
    })
}

/// Counts and reports a reply that answers no command. The segment passes, and the client reads the reply as it likes.
#[inline(never)]
fn unmatched<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    let reason = Reason::UnmatchedReply.number();
    let action = policy.guard(reason);
    host.count(counter(reason, action, true), 1, work.segment.length);
    if Action::number_reports(action) {
        report::hide(work);
        report::guard(work, reason, action, true);
        host.emit(&work.event);
    }
    true
}

/// Records a FIN in order. A FIN after a gap is retransmitted.
#[inline(always)]
fn fin<D: Direction>(work: &mut Work) -> u8 {
    let end = work.segment.end();
    let side = &mut work.state.side[D::INDEX];
    // The stream is not followed in TLS: a FIN may be forged there, and the last one counts.
    let tls = work.state.session.mode == session::Mode::TLS;
    if side.fin == 0 || tls {
        if side.next != end && !tls {
            return 0;
        }
        side.fin = 1;
        side.fin_at = end;
    }
    if work.state.side[D::OTHER].fin != 0 { STATE_CHANGED | CLOSES } else { STATE_CHANGED }
}

/// Sets the flags that are read without the lock.
#[inline(always)]
fn set_flags<H: Host, D: Direction>(shared: &Shared, work: &mut Work, facts: u8) {
    if facts & STATE_CHANGED != 0 {
        let mode = work.state.session.mode;
        let side = &work.state.side;
        H::store(&shared.tls_from, pair_of(side[Client::INDEX].next, side[Server::INDEX].next));
        if mode == session::Mode::TLS {
            H::set(&shared.flags, TLS);
        }
        if !D::IS_CLIENT && work.stream.uncertain != 0 && session::monitor::is_certain(work) {
            H::retain(&shared.flags, !UNCERTAIN);
        }
        set_phase::<H>(shared, work);
    }
    let cuts = facts & BLOCKED != 0 && work.block.action == Action::Reset as u8;
    let set = if work.tally.mark != 0 { MARKED } else { 0 }
        | if facts & UNREAD != 0 { UNCERTAIN } else { 0 }
        | if facts & CLOSES != 0 { FINISHED } else { 0 }
        | if work.segment.has(FIN) && facts & BLOCKED == 0 { FIN_PASSED << D::INDEX } else { 0 }
        | if cuts { RESET } else { 0 };
    work.ends = Ended::Fin as u8 * ((facts / CLOSES) & 1) + Ended::Reset as u8 * cuts as u8;
    if set != 0 {
        H::set(&shared.flags, set);
    }
}

/// Sets the phase of the connection, by which eviction chooses.
#[inline(always)]
fn set_phase<H: Host>(shared: &Shared, work: &Work) {
    let session = &work.state.session;
    let sends = matches!(session.mode, session::Mode::MAIL_DATA | session::Mode::CHUNK | session::Mode::MASKED_CHUNK);
    let phase = if work.state.side[Client::INDEX].bytes != 0 { SPOKE } else { 0 }
        | if session.hello != 0 { HELLO } else { 0 }
        | if session.transaction != 0 { TRANSACTION } else { 0 }
        | if sends { MAIL_DATA } else { 0 };
    if H::load(&shared.flags) & PHASE != phase {
        H::retain(&shared.flags, phase | !PHASE);
        H::set(&shared.flags, phase);
    }
}

/// Records the last reported block; returns whether this one is new.
#[inline(always)]
fn note_block<H: Host>(shared: &Shared, policy: &Policy, work: &Work) -> bool {
    if Reason::is_forced(work.block.reason) {
        // A verdict of this kind is never reported, and must not come between two reports of the same block.
        return false;
    }
    let this = pair(work.block.sequence.0, (policy.generation << 16) | work.block.reason as u32);
    if H::load(&shared.flags) & BLOCK_REPORTED != 0 && H::load(&shared.reported_block) == this {
        return false;
    }
    H::store(&shared.reported_block, this);
    H::set(&shared.flags, BLOCK_REPORTED);
    true
}

/// Counts a block, and reports it once per position. A verdict that follows from the state of the stream is only
/// counted, because it occurs on every loss. A command is counted when it is reported, once; its segments, including
/// retransmissions, are counted separately.
#[inline(always)]
fn report_block<H: Host>(host: &mut H, work: &mut Work, facts: u8) {
    let (reason, action) = (work.block.reason, work.block.action);
    let enforced = facts & BLOCKED != 0;
    let names = reason >= crate::reason::FIRST_NAME;
    let of_segment = if names { Reason::DroppedCommand.number() } else { reason };
    host.count(counter(of_segment, action, enforced), 1, work.segment.length);
    if facts & FRESH == 0 {
        return;
    }
    if names {
        host.count(counter(reason, action, enforced), 1, work.tally.last_line);
    }
    let from = work.segment.offset_of(work.block.sequence);
    // The line began in an earlier segment, so all bytes up to its end belong to it.
    let from = if from >= work.segment.length { 0 } else { from };
    if work.block.of_command == 0 && work.event.direction == CLIENT {
        report::hide(work);
    } else {
        report::offending(host, work, from);
        report::withhold::<H>(work);
    }
    if work.block.of_command == 0 {
        report::guard(work, reason, action, enforced);
    }
    host.emit(&work.event);
}

/// Mode `monitor`: the segment passes although it was not read in order.
#[inline(always)]
fn unread<H: Host, D: Direction>(host: &mut H, work: &mut Work) -> u8 {
    host.count(counter(Reason::Gap.number(), Action::Pass as u8, true), 1, work.segment.length);
    if !host.load_state(&mut work.state) {
        return 0;
    }
    let end = work.segment.end();
    if !end.is_after(work.state.side[D::INDEX].next) {
        return 0;
    }
    let side = &mut work.state.side[D::INDEX];
    side.bytes += end.since(side.next) as u64;
    side.next = end;
    work.state.memory.forget_ranges();
    if D::IS_CLIENT {
        if work.state.session.runs == 0 {
            // No reply is expected that would end the wait.
            work.state.session.hold = session::verb::Command::NONE;
        }
        if matches!(work.state.session.mode, session::Mode::CHUNK | session::Mode::MASKED_CHUNK) {
            work.state.session.mode = session::Mode::COMMAND;
            work.state.session.doubt |= session::monitor::SEGMENT;
        }
        work.state.line[D::INDEX].begin(false, end);
    } else {
        work.state.line[D::INDEX].begin(true, end);
    }
    STATE_CHANGED
}
