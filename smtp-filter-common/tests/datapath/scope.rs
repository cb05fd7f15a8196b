//! Whose policy judges: the scope's that client and server fall into, found out once a connection and a generation.

use std::{cell::Cell, sync::atomic::Ordering};

use crate::support::{ACK, CLIENT, Net, SERVER, SYN, SYN_ACK, policy};
use smtp_filter_common::{
    action::Action,
    event,
    policy::{MONITOR, Policy},
    reason::Reason,
    scope::{Policies, Scopes},
    userspace::SliceFrame,
    verdict::Verdict,
    word::Word,
};

/// The name's number of the scope.
const NAME: u16 = 7;

/// The whole's own policy, and a scope's for the client before the server.
struct Scoped {
    policies: [Policy; 2],
    /// Look-ups so far.
    asked: Cell<u32>,
    /// Whether this generation is over.
    over: bool,
    /// How often the scope's policy is found before it is gone.
    left: Cell<u32>,
    /// Whether nobody falls into it by IPv4.
    only_v6: bool,
}

impl Scoped {
    /// The whole logs everything; the scope drops EHLO.
    fn new() -> Self {
        let mut whole = policy();
        whole.scopes = 1;
        let mut scope = whole.clone();
        scope.scope = NAME;
        assert!(scope.set_verb(Word::of("EHLO"), Action::Drop, 2));
        Self { policies: [whole, scope], asked: Cell::new(0), over: false, left: Cell::new(u32::MAX), only_v6: false }
    }

    fn renew(&mut self) {
        for policy in &mut self.policies {
            policy.generation += 1;
        }
    }
}

impl Policies for Scoped {
    fn of_scope(&self, scope: u32) -> Option<&Policy> {
        if scope != 0 {
            self.left.set(self.left.get().checked_sub(1)?);
        }
        self.policies.get(scope as usize)
    }
}

impl Scopes for Scoped {
    fn class(&self, side: u8, address: &[u8; 16]) -> Option<u32> {
        self.asked.set(self.asked.get() + 1);
        let known = if side == event::CLIENT { CLIENT } else { SERVER };
        let falls_in = address[12..] == known && !(self.only_v6 && address[10..12] == [0xff; 2]);
        (!self.over).then_some(u32::from(falls_in) << if side == event::CLIENT { 1 } else { 0 })
    }

    /// By twice the client's class plus the server's.
    fn pair(&self, index: u32) -> Option<u8> {
        Some(u8::from(index == 3))
    }
}

fn judge(net: &mut Net, policies: &Scoped, frame: &[u8], side: (u32, bool)) -> Verdict {
    net.now += 1_000;
    let met = net.met(side);
    net.world.frame(policies, SliceFrame::ethernet(frame), met)
}

/// A segment of the client or of the server with its next bytes, which count as sent if they pass.
fn say(net: &mut Net, policies: &Scoped, from_client: bool, payload: &[u8]) -> Verdict {
    let (end, other) = if from_client { (net.client, net.server) } else { (net.server, net.client) };
    let (sequence, acknowledgement) = (end.isn + 1 + end.next, other.isn + 1 + other.next);
    let frame = net.build(from_client, sequence, acknowledgement, ACK, payload);
    let side = if from_client { net.outside } else { net.inside };
    let verdict = judge(net, policies, &frame, side);
    if verdict == Verdict::Pass {
        let end = if from_client { &mut net.client } else { &mut net.server };
        end.next += payload.len() as u32;
    }
    verdict
}

/// An established connection whose banner has been read.
fn greeted(policies: &Scoped, client_port: u16) -> Net {
    greeted_on(Net::new(policies.policies[0].clone()), policies, client_port)
}

fn greeted_on(mut net: Net, policies: &Scoped, client_port: u16) -> Net {
    net.client_port = client_port;
    let syn = net.build(true, net.client.isn, 0, SYN, b"");
    let answer = net.build(false, net.server.isn, net.client.isn + 1, SYN_ACK, b"");
    let (outside, inside) = (net.outside, net.inside);
    assert_eq!(judge(&mut net, policies, &syn, outside), Verdict::Pass);
    assert_eq!(judge(&mut net, policies, &answer, inside), Verdict::Pass);
    assert_eq!(say(&mut net, policies, true, b""), Verdict::Pass);
    assert_eq!(say(&mut net, policies, false, b"220 mail.example ESMTP\r\n"), Verdict::Pass);
    net
}

#[test]
fn the_scopes_policy_judges_and_events_name_it() {
    let policies = Scoped::new();
    let mut net = greeted(&policies, 41234);
    assert_eq!(say(&mut net, &policies, true, b"EHLO client.example\r\n"), Verdict::Drop);
    assert_eq!(say(&mut net, &policies, true, b"HELO client.example\r\n"), Verdict::Pass);
    let events = net.all_events();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events.iter().all(|event| event.scope == NAME), "{events:?}");
    // The other way round it is another pair.
    let mut others = Scoped::new();
    others.policies.swap(0, 1);
    let mut net = greeted(&others, 41234);
    assert_eq!(say(&mut net, &others, true, b"EHLO client.example\r\n"), Verdict::Pass);
}

#[test]
fn an_entry_remembers_its_scope_until_the_policy_changes() {
    let mut policies = Scoped::new();
    let mut net = greeted(&policies, 41234);
    assert_eq!(say(&mut net, &policies, true, b"HELO client.example\r\n"), Verdict::Pass);
    let asked = policies.asked.get();
    for _ in 0..3 {
        assert_eq!(say(&mut net, &policies, true, b"NOOP\r\n"), Verdict::Pass);
        assert_eq!(say(&mut net, &policies, false, b"250 OK\r\n"), Verdict::Pass);
    }
    assert_eq!(policies.asked.get(), asked, "looked up once");
    policies.renew();
    assert!(policies.policies[1].set_verb(Word::of("NOOP"), Action::Drop, 8));
    assert_eq!(say(&mut net, &policies, true, b"NOOP\r\n"), Verdict::Drop, "the next command is judged by the new one");
    assert_eq!(policies.asked.get(), asked + 2, "and once more");
}

#[test]
fn what_was_found_out_of_another_connection_counts_for_nothing() {
    let mut policies = Scoped::new();
    policies.only_v6 = true;
    let mut scoped = Net::new(policies.policies[0].clone());
    scoped.v6 = true;
    let scoped = greeted_on(scoped, &policies, 41234);
    let mut net = greeted(&policies, 41234);
    // The table gave the entry of the one to the other between the look-up and the note of it.
    let [from, to] = [&scoped, &net].map(|net| &net.world.connections().next().unwrap().1.shared.scope);
    to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    assert_eq!(say(&mut net, &policies, true, b"EHLO client.example\r\n"), Verdict::Pass);
    assert!(net.all_events().iter().all(|event| event.scope == 0));
}

#[test]
fn what_a_generation_that_is_over_cannot_say_is_held_back() {
    let mut policies = Scoped::new();
    let mut net = greeted(&policies, 41234);
    policies.renew();
    policies.over = true;
    assert_eq!(say(&mut net, &policies, true, b"HELO client.example\r\n"), Verdict::Drop);
    assert_eq!(net.segments(Reason::Busy), 1);
    policies.policies[0].mode = MONITOR;
    assert_eq!(say(&mut net, &policies, true, b"HELO client.example\r\n"), Verdict::Pass);
}

#[test]
fn a_policy_that_is_gone_in_the_middle_of_a_judgement_locks_nobody_out() {
    let policies = Scoped::new();
    let mut busy = 0;
    for left in 0..4 {
        let mut net = greeted(&policies, 41234);
        let at = net.client.next;
        policies.left.set(left);
        let first = say(&mut net, &policies, true, b"HELO client.example\r\n");
        policies.left.set(u32::MAX);
        busy += net.segments(Reason::Busy);
        net.client.next = at;
        assert_eq!(say(&mut net, &policies, true, b"HELO client.example\r\n"), Verdict::Pass, "{left}, {first:?}");
    }
    assert!(busy >= 2);
}

#[test]
fn between_two_of_the_ports_the_handshake_says_who_the_client_is() {
    let policies = Scoped::new();
    let mut net = greeted(&policies, 25);
    assert_eq!(say(&mut net, &policies, true, b"EHLO client.example\r\n"), Verdict::Drop);
    assert_eq!(say(&mut net, &policies, true, b"HELO client.example\r\n"), Verdict::Pass);
    assert_eq!(say(&mut net, &policies, false, b"250 OK\r\n"), Verdict::Pass);
    let events = net.all_events();
    assert!(events.iter().all(|event| event.scope == NAME && event.client[12..] == CLIENT), "{events:?}");
}

/// Cut before its ports, a fragment gets no more from a lenient policy of others than it would get whole.
#[test]
fn a_fragment_without_ports_is_judged_by_its_senders_policy() {
    let mut policies = Scoped::new();
    for guard in [Reason::Fragment, Reason::Unreadable] {
        policies.policies[0].guards[guard.number() as usize] = Action::Log as u8;
    }
    let mut net = Net::new(policies.policies[0].clone());
    let whole = net.build(true, 5_000, 1, ACK, b"EHLO client.example\r\n");
    // More fragments follow; of the TCP header there are 20 bytes, then 2.
    for bytes in [20, 2] {
        let mut frame = whole[..14 + 20 + bytes].to_vec();
        frame[16..18].copy_from_slice(&(20 + bytes as u16).to_be_bytes());
        frame[20] = 0x20;
        let outside = net.outside;
        assert_eq!(judge(&mut net, &policies, &frame, outside), Verdict::Drop, "{bytes}");
        let events = net.all_events();
        assert_eq!(events.iter().map(|event| event.scope).collect::<Vec<_>>(), [NAME], "{events:?}");
    }
}
