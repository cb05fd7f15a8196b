//! The shared pool: a slot in use is its owner's, and where none is free a segment waits (I4, I8).

use crate::support::{End, Net, policy};
use smtp_filter_common::{bounds::POOL, reason::Reason, verdict::Verdict};

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;
const MINUTE: u64 = 60_000_000_000;

fn group() -> String {
    "RCPT TO:<somebody@example.org>\r\n".repeat(20)
}

/// A client for each port, with an address of its own.
fn at(net: &mut Net, port: u16) {
    let [high, low] = port.to_be_bytes();
    (net.client_address, net.client_port) = ([10, 0, high, low], port);
}

/// Another connection, in the same tables.
fn another(net: &mut Net, port: u16) -> (End, End) {
    let before = (net.client, net.server);
    at(net, port);
    let fresh = Net::new(policy());
    (net.client, net.server) = (fresh.client, fresh.server);
    net.handshake();
    assert_eq!(net.reply("220 mail.example ESMTP\r\n"), PASS);
    before
}

/// Connections with a slot each, until one has to wait.
fn fill(net: &mut Net) -> u16 {
    let mut port = 10_000;
    loop {
        another(net, port);
        if net.say(group()) == DROP {
            return port;
        }
        port += 1;
        assert!(u32::from(port) < 10_000 + POOL + 10);
    }
}

#[test]
fn a_slot_in_use_is_not_taken_and_who_finds_none_waits() {
    let mut net = Net::greeted(policy());
    let first = (net.client_port, net.client.next);
    let address = net.client_address;
    assert_eq!(net.say(group()), PASS);
    let owner = (net.client, net.server);
    let waiting = fill(&mut net);
    assert_eq!(net.segments(Reason::Pool), 1);
    // In a segment of its own each line passes, and its slot is had once others have given theirs back.
    assert_eq!(net.say("RCPT TO:<somebody@example.org>\r\n"), PASS);
    let last = (net.client, net.server);
    // The first one's retransmission is still compared.
    (net.client_address, net.client_port, net.client, net.server) = (address, first.0, owner.0, owner.1);
    assert_eq!(net.client_at(first.1, group().as_bytes()), PASS);
    assert_eq!(net.client_at(first.1, group().replace('T', "t").as_bytes()), DROP);
    assert_eq!(net.segments(Reason::ChangedRetransmission), 1);
    assert_eq!(net.segments(Reason::Forgotten), 0);
    // All answered: the slots are free.
    for port in 10_000..waiting {
        at(&mut net, port);
        net.client = End { next: group().len() as u32, acked: 24, ..owner.0 };
        net.server = End { next: 24, ..owner.1 };
        assert_eq!(net.reply("250 ok\r\n"), PASS);
    }
    at(&mut net, waiting);
    (net.client, net.server) = last;
    assert_eq!(net.say(group()), PASS);
}

#[test]
fn what_an_idle_owner_lost_is_unknown_and_not_changed() {
    let mut net = Net::greeted(policy());
    let (address, port, at) = (net.client_address, net.client_port, net.client.next);
    assert_eq!(net.say(group()), PASS);
    let owner = (net.client, net.server);
    // Minutes later every slot is another's.
    net.now += 10 * MINUTE;
    fill(&mut net);
    (net.client_address, net.client_port, net.client, net.server) = (address, port, owner.0, owner.1);
    for _ in 0..3 {
        assert_eq!(net.client_at(at, group().as_bytes()), DROP);
    }
    assert_eq!(net.segments(Reason::ChangedRetransmission), 0);
    assert_eq!(net.segments(Reason::Forgotten), 3);
    // Once it is acknowledged, the connection goes on.
    assert_eq!(net.server_acks(), PASS);
    assert_eq!(net.say("NOOP\r\n"), PASS);
}

/// One address leaves room to others, and has most of it while nobody else wants any.
#[test]
fn one_address_does_not_have_all_slots() {
    let mut net = Net::greeted(policy());
    let (address, mut had, mut refused) = (net.client_address, 0, 0);
    for port in 10_000..10_000 + 2 * POOL as u16 {
        another(&mut net, port);
        net.client_address = address;
        let fresh = Net::new(policy());
        (net.client, net.server) = (fresh.client, fresh.server);
        net.handshake();
        assert_eq!(net.reply("220 mail.example ESMTP\r\n"), PASS);
        match net.say(group()) {
            PASS => had += 1,
            _ => refused += 1,
        }
    }
    assert!(refused > 0 && had > POOL / 2 && had < POOL * 7 / 8, "{had}");
    let others = (40_000..40_100).filter(|port| {
        another(&mut net, *port);
        net.say(group()) == PASS
    });
    let count = others.count();
    assert!(count > 90, "{count} {had}");
}
