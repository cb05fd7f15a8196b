//! From a segment's facts to a verdict: the one way of every segment, in the kernel and in user space.

use crate::{
    action::Action,
    entry::{
        BLOCK_REPORTED, CLOSED, CUT, DEAD, FIN_PASSED, FINISHED, HELLO, MAIL_DATA, MARKED, PHASE, REPLACED, SEALED,
        SPOKE, SYN_NOTED, Shared, TLS, TRANSACTION, UNCERTAIN, first, pair, second,
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
    stream::{self, acceptable, ahead, backlog, client::Taken, normalise},
    verdict::Verdict,
    wire::{ACK, FIN, Kind, RST, SYN, Segment, URG},
    work::{Found, MISSING, Next, Passed, Run, Work},
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

const FROM_CLIENT: usize = CLIENT as usize;
const FROM_SERVER: usize = SERVER as usize;

/// A RST for a segment behind a reset goes out at most this often, a connection.
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
        Self { next: if from == FROM_CLIENT { Next::FIND_CLIENT } else { Next::FIND_SERVER }, reason: 0, verdict: 0 }
    }

    const fn to_read(from: usize) -> Self {
        Self { next: if from == FROM_CLIENT { Next::READ_CLIENT } else { Next::READ_SERVER }, reason: 0, verdict: 0 }
    }
}

/// Judges a frame whose headers are read: the steps one after the other, each of which says in `Work::found` how to go on.
/// `None` where there is no policy.
///
/// In the kernel they are a chain of programs: [`begin`] belongs to the two at the hooks, [`handshake()`], the three for the
/// client, the three for the server and [`finish`] are one each. All that they have to tell one another lies in the working
/// place.
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
        // It is the first one of its connection.
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

/// The policy of the segment's scope gave way to a newer one in the meantime. The segment is held back: its sender sends it
/// again.
#[inline(always)]
pub fn without_policy<H: Host>(host: &mut H, work: &Work) -> Verdict {
    host.count(counter(Reason::Busy.number(), Action::Drop as u8, true), 1, work.segment.length);
    Verdict::Drop
}

/// First step: who sends it, by the ports alone.
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
    Found::to_find(if from_client { FROM_CLIENT } else { FROM_SERVER })
}

/// Which of a segment's ports are the policy's.
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

    /// Whether the client sends it. Without readable ports nobody can say which end is the client. It is for its own policy to
    /// say what becomes of what it sends unread.
    #[inline(always)]
    const fn is_clients(&self) -> bool {
        !self.from_server | (self.to_server & !self.answers)
    }
}

/// Second step, where [`Next::FIND_CLIENT`] was found: the connection, and what can be said without reading on. With [`Next::READ_CLIENT`]
/// the connection's lock is held. `Work::scope` says whose policy judges it in all that follows. [`Next::HANDSHAKE`] where no
/// connection is known, or another one may begin.
#[inline(always)]
pub fn find_client<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.found = find::<H, P, FROM_CLIENT>(host, policies, work);
}

/// Second step, where [`Next::FIND_SERVER`] was found: the same of the server.
#[inline(always)]
pub fn find_server<H: Host, P: Policies>(host: &mut H, policies: &P, work: &mut Work) {
    work.found = find::<H, P, FROM_SERVER>(host, policies, work);
}

#[inline(always)]
fn find<H: Host, P: Policies, const FROM: usize>(host: &mut H, policies: &P, work: &mut Work) -> Found {
    let there = host.find(&work.key);
    let known = match host.shared() {
        Some(shared) if there => H::load(&shared.flags) & SYN_NOTED == 0 || work.greeted != 0,
        _ => false,
    };
    if !known {
        // It came with the handshake, and another CPU took it away again.
        let busy = Found::held_back(Reason::Busy);
        return if work.greeted != 0 { busy } else { Found { next: Next::HANDSHAKE, reason: 0, verdict: 0 } };
    }
    let policy = policies.of_scope(0).and_then(|whole| scope::choose(host, policies, whole, work, true));
    let Some(policy) = policy else { return Found::held_back(Reason::Busy) };
    begin_event(policy, work, FROM == FROM_SERVER);
    live::<H, FROM>(host, policy, work)
}

/// Second step, where [`Next::HANDSHAKE`] was found: what begins a connection, and what belongs to none. Where it turns out to belong
/// to one after all, [`Next::FIND_CLIENT`] or [`Next::FIND_SERVER`] follows, and not this again.
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
            // The port is the client's own.
            _ => Found::passes(Reason::Handshake),
        };
    }
    let known = handshake::known(host, work, there, from_client);
    if known == NO_ROOM {
        return Found::held_back(Reason::TableFull);
    }
    if known == KNOWN {
        return Found::to_find(if from_client { FROM_CLIENT } else { FROM_SERVER });
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
    // Between two of the ports only a handshake whose sides came different ways says who the server is: else a client
    // could answer a SYN that it sent in the server's name, and be the server of what it says.
    let mirrored = |host: &H| host.shared().is_none_or(|shared| first(H::load(&shared.ways)) == 0);
    if from_client || !to_server || !host.find(&work.key) || mirrored(host) {
        return handshake::stranger(host, policy, work, met);
    }
    Found::to_find(FROM_SERVER)
}

/// Third step, where [`Next::READ_CLIENT`] was found: the longest chains of calls begin here, and so it keeps nothing for later.
#[inline(always)]
pub fn read_client<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    read::<H, FROM_CLIENT>(host, policy, work);
}

/// Third step, where [`Next::READ_SERVER`] was found.
#[inline(always)]
pub fn read_server<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    read::<H, FROM_SERVER>(host, policy, work);
}

/// Fourth step, after [`read_client`].
#[inline(always)]
pub fn decide_client<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.found = decide::<H, FROM_CLIENT>(host, policy, work);
}

/// Fourth step, after [`read_server`].
#[inline(always)]
pub fn decide_server<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.found = decide::<H, FROM_SERVER>(host, policy, work);
}

/// The last step of most segments: counts one that passes. `None` where there is more to be done: [`finish`] does it.
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

/// Last step: counts and reports what has not been counted yet, and what ends a connection.
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

/// What the policy says of a guard, outside of a connection's state.
#[inline(always)]
fn guard<H: Host>(host: &mut H, policy: &Policy, work: &mut Work, reason: u16) -> Verdict {
    let action = policy.guard(reason);
    let enforced = policy.enforces() || action <= Action::Log as u8;
    // Whoever is not known to be the connection's own end resets nothing: the segment is dropped.
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
fn live<H: Host, const FROM: usize>(host: &mut H, policy: &Policy, work: &mut Work) -> Found {
    let met = work.met;
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    work.begin(!policy.enforces());
    // First: what is read behind it belongs to this connection if it still stands there afterwards.
    let id = H::load(&shared.id);
    let flags = H::load(&shared.flags);
    work.event.connection = id;
    // Another CPU may have been quicker.
    let idle = met.now.saturating_sub(H::load(&shared.seen));
    if FROM == FROM_SERVER && first(H::load(&shared.ways)) == met.side() {
        return Found::guarded(Reason::SpoofedServer);
    }
    // Only in mode `enforce`. Without a branch, for the verifier would walk on twice.
    let barred = flags & 0_u64.wrapping_sub(policy.mode as u64 & 1);
    if barred & CUT != 0 {
        return after_reset::<H>(shared, work, met);
    }
    if barred & REPLACED != 0 && !work.segment.has(RST) {
        return Found::guarded(Reason::UnknownConnection);
    }
    if barred & UNCERTAIN != 0 {
        // Bytes passed unread in mode `monitor`: what stands in the state may be wrong.
        return Found::guarded(Reason::UnknownConnection);
    }
    if let Some(reason) = normalise::refused::<H, FROM>(policy, shared, &work.segment, flags, idle, met.egress) {
        return Found::held_back(reason);
    }
    if work.segment.length > 0 && flags & TLS == 0 && !normalise::intact(host, policy, work) {
        return Found::guarded(Reason::Checksum);
    }
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    let segment = &work.segment;
    let place = acceptable::place::<H, FROM>(shared, segment);
    // Its receiver takes nothing of it, and so nothing in it is believed. In mode `monitor` a capture may lack what
    // would have opened the window.
    let enforces = policy.mode & 1 != 0;
    if enforces && place == acceptable::BEYOND {
        return Found::held_back(Reason::BeyondWindow);
    }
    // Without payload too: the pointer reaches into segments that come later (RFC 9293 section 3.8.5).
    if segment.has(URG) {
        let resets = policy.guard(Reason::Urgent.number()) == Action::Reset as u8;
        // Who forges a segment in somebody's name does not know the numbers. Of one without payload, and in TLS, nobody has looked at
        // checksum and hop limit, so its receiver may discard it: it is dropped, and with it what it says.
        let looked_at = segment.length > 0 && flags & TLS == 0;
        if enforces
            && resets
            && looked_at
            && place == acceptable::WITHIN
            && acceptable::acknowledges::<H, FROM>(shared, segment)
        {
            H::set(&shared.flags, CUT);
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
    // Nor of what is not known to come from the connection's own end: a RST is taken whatever it acknowledges.
    let own = place == acceptable::WITHIN && acceptable::acknowledges::<H, FROM>(shared, segment) && !segment.has(RST);
    let believed = own || !enforces && !segment.has(RST);
    if segment.has(ACK) && believed {
        let moved = peer::note::<H, FROM>(shared, segment);
        if FROM == FROM_SERVER && (moved || segment.length > 0) {
            backlog::clear::<H>(shared);
        }
        normalise::note::<H, FROM>(shared, segment, flags);
    }
    // The last acknowledgement may come with this one.
    work.closing = ((flags / FINISHED) & 1) as u8;
    work.marked = ((flags / MARKED) & 1) as u8 & (1 ^ work.monitors);
    if segment.has(RST) {
        // It moves nothing: its receiver may refuse it, and falls silent if it does not (I3). Its payload reaches no
        // application. That the connection counts as closed is for the count of live ones and its event alone.
        work.ends = Ended::ClientReset as u8 + FROM as u8;
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
    if sealed::<H, FROM>(shared, flags, segment) && !segment.has(FIN) && H::load(&shared.id) == id {
        return Found::passes(Reason::Tls);
    }
    if FROM == FROM_CLIENT && policy.enforces() && backlog::waits::<H>(shared, work) {
        return Found::held_back(Reason::Backlog);
    }
    if segment.has(FIN) && flags & TLS != 0 && !believed {
        // There the FIN's sequence number is compared with nothing else.
        return Found::passes(Reason::Closing);
    }
    if id == 0 || !lock::take::<H>(&shared.lock) {
        return Found::held_back(Reason::Busy);
    }
    // The table may have given the entry to another connection meanwhile.
    if H::load(&shared.id) != id {
        lock::release::<H>(&shared.lock);
        return Found::held_back(Reason::Busy);
    }
    Found::to_read(FROM)
}

/// Whether a segment lies in TLS, of which nothing is read.
#[inline(always)]
fn sealed<H: Host, const FROM: usize>(shared: &Shared, flags: u64, segment: &Segment) -> bool {
    let from = H::load(&shared.tls_from);
    let from = if FROM == FROM_CLIENT { first(from) } else { second(from) };
    let sealed = SEALED << FROM;
    if flags & (TLS | sealed) == TLS && ahead(first(H::load(&shared.peer[FROM])), from) >= 0 {
        H::set(&shared.flags, sealed);
    }
    flags & sealed != 0 || flags & TLS != 0 && ahead(segment.sequence, from) >= 0
}

/// A further segment of a connection that was reset.
#[inline(always)]
fn after_reset<H: Host>(shared: &Shared, work: &Work, met: Met) -> Found {
    if work.segment.has(RST) {
        // The filter's own on its way through another hook, or the end's own.
        return Found::passes(Reason::OwnReset);
    }
    if !work.segment.has(ACK) || met.now.wrapping_sub(H::load(&shared.reset_at)) < RESET_EVERY {
        return Found::held_back(Reason::AfterReset);
    }
    H::store(&shared.reset_at, met.now);
    Found { verdict: Verdict::ResetSender as u8, ..Found::held_back(Reason::AfterReset) }
}

/// Reads a segment, and once more to tell of its commands where they are several of different kinds or with events: they are
/// reported when they pass.
struct Passes<'a, H, const FROM: usize> {
    host: &'a mut H,
    policy: &'a Policy,
    work: &'a mut Work,
}

/// `Work::taken`: the state changed.
const CHANGED: u32 = 1 << 16;
/// `Work::taken`: the connection's state is not there.
const NOTHING: u32 = 0;

impl<H: Host, const FROM: usize> Step for Passes<'_, H, FROM> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        if !host.load_state(&mut work.state) {
            return true;
        }
        work.run = Run::EMPTY;
        work.run.reporting = index as u8;
        let Some(shared) = host.shared() else { return true };
        work.run.gap = (H::load(&shared.flags) & UNCERTAIN != 0) as u8;
        let peer = H::load(&shared.peer[FROM]);
        let (acknowledged, edge) = (first(peer), second(peer));
        // What the server has of the client's bytes.
        work.run.acknowledged = first(H::load(&shared.peer[FROM_CLIENT]));
        let taken = if FROM == FROM_CLIENT {
            stream::client::payload(host, self.policy, work, acknowledged, edge)
        } else {
            stream::server::payload(host, self.policy, work, acknowledged, edge)
        };
        work.taken = match taken {
            Taken::Changed(reason) => CHANGED | reason.number() as u32,
            Taken::Unchanged(reason) => reason.number() as u32,
        };
        work.run.cut != 0 || (work.run.commands < 2 || work.run.several == 0) && work.run.rewrites == 0
    }
}

/// Facts of a segment that has been read, in bits.
const STATE_CHANGED: u8 = 1;
/// It is cut.
const BLOCKED: u8 = 2;
/// Something of it passed unread in mode `monitor`, or may be missing.
const UNREAD: u8 = 4;
/// Both sides have closed.
const CLOSES: u8 = 8;
/// This cut has not been reported yet.
const FRESH: u8 = 16;

/// With the lock held: reads what there is to be read.
#[inline(always)]
fn read<H: Host, const FROM: usize>(host: &mut H, policy: &Policy, work: &mut Work) {
    work.run = Run::EMPTY;
    work.taken = NOTHING;
    let Some(shared) = host.shared() else { return };
    if work.segment.length > 0 && !sealed::<H, FROM>(shared, H::load(&shared.flags), &work.segment) {
        work.taken = Reason::Closing.number() as u32;
        H::repeat(2, &mut Passes::<H, FROM> { host, policy, work });
    } else if host.load_state(&mut work.state) {
        work.taken = Reason::Closing.number() as u32;
    }
}

/// With the lock held; gives it back.
#[inline(always)]
fn decide<H: Host, const FROM: usize>(host: &mut H, policy: &Policy, work: &mut Work) -> Found {
    let taken = work.taken;
    if taken == NOTHING {
        return Found::held_back(Reason::Busy);
    }
    let mut facts = 0;
    if work.run.cut != 0 {
        facts = BLOCKED;
        if !policy.enforces() {
            facts = UNREAD | unread::<H, FROM>(host, work);
        }
    } else if taken & CHANGED != 0 {
        facts = STATE_CHANGED;
    }
    let mut facts = work.unknown::<H>(facts | (UNREAD * (work.uncertain != 0) as u8));
    if work.segment.has(FIN) && facts & BLOCKED == 0 {
        facts |= fin::<FROM>(work);
        facts = work.unknown::<H>(facts);
    }
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    if H::load(&shared.id) != work.event.connection {
        // The table gave the entry to another connection in the midst of it: nothing of it is ours any more.
        return Found::held_back(Reason::Busy);
    }
    if facts & STATE_CHANGED != 0 {
        host.save_state(&work.state);
        if FROM == FROM_SERVER && work.run.keeps_line != 0 {
            stream::alike::keep(host, work);
        }
    }
    let Some(shared) = host.shared() else { return Found::held_back(Reason::Busy) };
    set_flags::<H, FROM>(shared, work, facts);
    let marked = ((H::load(&shared.flags) / MARKED) & 1) as u8 & (1 ^ work.monitors);
    if FROM == FROM_CLIENT && facts & BLOCKED != 0 {
        backlog::note::<H>(shared, work);
    }
    let read = work.run.cut == 0;
    if read {
        let Passed { place, reason, action } = work.passed;
        work.cut(reason, action, place);
    }
    if work.run.cut != 0 && note_block::<H>(shared, policy, work) {
        facts |= FRESH;
    }
    lock::release::<H>(&shared.lock);
    let facts = work.unknown::<H>(facts);
    if read {
        let taken = if work.uncertain & MISSING != 0 { Reason::Gap.number() } else { taken as u16 };
        host.count(counter(taken, Action::Pass as u8, true), 1, work.segment.length);
        if work.run.commands != 0 && work.run.reporting == 0 {
            report::report_all(host, work);
        }
        if work.run.unmatched != 0 {
            unmatched(host, policy, work);
        }
        // Another CPU may have been asked for the mark in between.
        work.marked |= work.run.mark | marked;
    }
    if work.run.cut != 0 {
        report_block(host, work, facts);
    }
    Found::settled(if facts & BLOCKED == 0 {
        Verdict::Pass
    } else if work.run.cut == Action::Reset as u8 {
        Verdict::Reset
    } else {
        Verdict::Drop
    })
}

/// Counts and reports a reply that answers nothing. The segment passes: the client reads it for itself.
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

/// A FIN in its place; before a gap it comes again.
#[inline(always)]
fn fin<const FROM: usize>(work: &mut Work) -> u8 {
    let end = work.segment.end();
    let side = &mut work.state.side[FROM];
    // Where TLS stands is not followed: a FIN may be forged there, and the last one counts.
    let tls = work.state.session.mode == session::Mode::TLS;
    if side.fin == 0 || tls {
        if side.next != end && !tls {
            return 0;
        }
        side.fin = 1;
        side.fin_at = end;
    }
    if work.state.side[1 - FROM].fin != 0 { STATE_CHANGED | CLOSES } else { STATE_CHANGED }
}

/// Flags that others read without the lock.
#[inline(always)]
fn set_flags<H: Host, const FROM: usize>(shared: &Shared, work: &mut Work, facts: u8) {
    if facts & STATE_CHANGED != 0 {
        let mode = work.state.session.mode;
        let side = &work.state.side;
        H::store(&shared.tls_from, pair(side[FROM_CLIENT].next, side[FROM_SERVER].next));
        if mode == session::Mode::TLS {
            H::set(&shared.flags, TLS);
        }
        if FROM == FROM_SERVER && work.run.gap != 0 && session::monitor::is_certain(work) {
            H::retain(&shared.flags, !UNCERTAIN);
        }
        set_phase::<H>(shared, work);
    }
    let cuts = facts & BLOCKED != 0 && work.run.cut == Action::Reset as u8;
    let set = if work.run.mark != 0 { MARKED } else { 0 }
        | if facts & UNREAD != 0 { UNCERTAIN } else { 0 }
        | if facts & CLOSES != 0 { FINISHED } else { 0 }
        | if work.segment.has(FIN) && facts & BLOCKED == 0 { FIN_PASSED << FROM } else { 0 }
        | if cuts { CUT } else { 0 };
    work.ends = Ended::Fin as u8 * ((facts / CLOSES) & 1) + Ended::Reset as u8 * cuts as u8;
    if set != 0 {
        H::set(&shared.flags, set);
    }
}

/// What the connection is at, for those who look for one that may give way.
#[inline(always)]
fn set_phase<H: Host>(shared: &Shared, work: &Work) {
    let session = &work.state.session;
    let sends = matches!(session.mode, session::Mode::MAIL_DATA | session::Mode::CHUNK | session::Mode::MASKED_CHUNK);
    let phase = if work.state.side[FROM_CLIENT].bytes != 0 { SPOKE } else { 0 }
        | if session.hello != 0 { HELLO } else { 0 }
        | if session.transaction != 0 { TRANSACTION } else { 0 }
        | if sends { MAIL_DATA } else { 0 };
    if H::load(&shared.flags) & PHASE != phase {
        H::retain(&shared.flags, phase | !PHASE);
        H::set(&shared.flags, phase);
    }
}

/// Whether the stream forced it, rather than the policy.
#[inline(always)]
const fn is_forced(reason: u16) -> bool {
    reason >= Reason::OutOfOrder.number() && reason < crate::reason::FIRST_NAME
}

/// Notes which cut was reported last; whether this one is another.
#[inline(always)]
fn note_block<H: Host>(shared: &Shared, policy: &Policy, work: &Work) -> bool {
    if is_forced(work.run.reason) {
        // It is never reported, and happens between two retransmissions of what is.
        return false;
    }
    let this = pair(work.run.place, (policy.generation << 16) | work.run.reason as u32);
    if H::load(&shared.flags) & BLOCK_REPORTED != 0 && H::load(&shared.cut) == this {
        return false;
    }
    H::store(&shared.cut, this);
    H::set(&shared.flags, BLOCK_REPORTED);
    true
}

/// Counts a cut and tells of it, once a place. What the stream forces has counters alone: it happens on every loss. A
/// command is counted as it is told, once; its segments, retransmissions too, are counted apart.
#[inline(always)]
fn report_block<H: Host>(host: &mut H, work: &mut Work, facts: u8) {
    let (reason, action) = (work.run.reason, work.run.cut);
    let enforced = facts & BLOCKED != 0;
    let names = reason >= crate::reason::FIRST_NAME;
    let of_segment = if names { Reason::DroppedCommand.number() } else { reason };
    host.count(counter(of_segment, action, enforced), 1, work.segment.length);
    if facts & FRESH == 0 {
        return;
    }
    if names {
        host.count(counter(reason, action, enforced), 1, work.run.line);
    }
    let from = work.run.place.wrapping_sub(work.segment.sequence);
    // The line began in an earlier segment: what is here belongs to it.
    let from = if from >= work.segment.length { 0 } else { from };
    if work.run.line_blocked == 0 && work.event.direction == CLIENT {
        report::hide(work);
    } else {
        report::offending(host, work, from);
        report::withhold::<H>(work);
    }
    if work.run.line_blocked == 0 {
        report::guard(work, reason, action, enforced);
    }
    host.emit(&work.event);
}

/// Mode `monitor`: the segment passes although it was not read in its place.
#[inline(always)]
fn unread<H: Host, const FROM: usize>(host: &mut H, work: &mut Work) -> u8 {
    host.count(counter(Reason::Gap.number(), Action::Pass as u8, true), 1, work.segment.length);
    if !host.load_state(&mut work.state) {
        return 0;
    }
    let end = work.segment.end();
    if ahead(end, work.state.side[FROM].next) <= 0 {
        return 0;
    }
    let side = &mut work.state.side[FROM];
    side.bytes += end.wrapping_sub(side.next) as u64;
    side.next = end;
    work.state.memory.forget_ranges();
    if FROM == FROM_CLIENT {
        if work.state.session.runs == 0 {
            // No reply will come that ends the wait.
            work.state.session.hold = session::verb::Command::NONE;
        }
        if matches!(work.state.session.mode, session::Mode::CHUNK | session::Mode::MASKED_CHUNK) {
            work.state.session.mode = session::Mode::COMMAND;
            work.state.session.doubt |= session::monitor::SEGMENT;
        }
        work.state.line[FROM].begin(false, end);
    } else {
        work.state.line[FROM].begin(true, end);
    }
    STATE_CHANGED
}
