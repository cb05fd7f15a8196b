//! A connection whose handshake was seen is never taken for one that is older than the filter (I8).

use crate::support::*;
use smtp_filter_common::{action::Action, policy::Policy, reason::Reason, verdict::Verdict};

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;

/// In the grace.
fn young() -> Policy {
    Policy { grace_until: u64::MAX, ..policy() }
}

/// After the SYN-ACK.
fn answered() -> Net {
    let mut net = Net::new(young());
    net.set("VRFY", Action::Drop);
    assert_eq!((net.syn(), net.syn_ack()), (PASS, PASS));
    net
}

fn is_live(net: &Net) -> bool {
    net.world.connection(&net.key()).is_some()
}

#[test]
fn any_segment_that_the_server_takes_completes_it() {
    for first in [0, 1, 2, 1000, 0xffff] {
        let mut net = answered();
        assert_eq!(net.client_at(first, b""), PASS, "{first}");
        assert!(is_live(&net), "{first}");
        net.reply("220 m\r\n");
        assert_eq!(net.say("VRFY root\r\n"), DROP, "{first}");
        assert_eq!(net.say("NOOP\r\n"), PASS, "{first}");
    }
}

#[test]
fn later_data_completes_it_and_is_out_of_order() {
    let mut net = answered();
    assert_eq!(net.client_at(1, b"RFY root\r\n"), DROP);
    assert_eq!(net.segments(Reason::OutOfOrder), 1);
    assert!(is_live(&net));
    assert_eq!(net.client_at(0, b"VRFY root\r\n"), DROP);
    assert_eq!(net.verbs(), ["VRFY"]);
}

#[test]
fn what_completes_nothing_is_held_back_in_the_grace_too() {
    for (sequence, acknowledged, flags) in
        [(0_u32.wrapping_sub(1), 0_u32, ACK), (0x1_0000, 0, ACK), (0, 0_u32.wrapping_sub(1), ACK), (0, 0x1_0000, FIN)]
    {
        let mut net = answered();
        net.client.acked = acknowledged;
        assert_eq!(net.segment(true, sequence, flags, b"VRFY root\r\n"), DROP);
        assert!(!is_live(&net));
        assert_eq!((net.segments(Reason::Unfinished), net.segments(Reason::UnknownConnection)), (1, 0));
        assert_eq!(net.segment(true, 0, RST, b""), PASS, "it refuses the connection");
    }
}

#[test]
fn the_servers_data_completes_it() {
    let mut net = answered();
    // Without payload it does not: a server answers so in front of the handshake's end, too.
    assert_eq!(net.server_at(0, b""), DROP);
    assert!(!is_live(&net));
    assert_eq!(net.reply("220 m\r\n"), PASS);
    assert!(is_live(&net));
    assert_eq!(net.say("VRFY root\r\n"), DROP);
    assert_eq!(net.say("NOOP\r\n"), PASS);

    // Data that the client sends in the server's name does not.
    let mut net = answered();
    assert_eq!(net.segment_at(false, 0, ACK, b"220 m\r\n", net.outside), DROP);
    assert!(!is_live(&net));
}

#[test]
fn a_capture_may_have_the_acknowledgement_before_the_syn_ack() {
    for v6 in [false, true] {
        let mut net = Net::new(young());
        net.v6 = v6;
        net.monitor();
        net.syn();
        net.client_acks();
        net.syn_ack();
        net.reply("220 m\r\n");
        net.say("NOOP\r\n");
        assert_eq!(net.verbs(), ["NOOP"]);

        let mut net = Net::new(young());
        net.monitor();
        net.syn();
        net.client_acks();
        net.syn_ack();
        net.say("NOOP\r\n");
        assert_eq!(net.verbs(), ["NOOP"]);
    }
}

#[test]
fn a_forged_syn_ends_no_older_connection() {
    let mut net = Net::new(young());
    assert_eq!(net.client_at(5000, b"NOOP\r\n"), PASS);
    net.client.isn = 77;
    net.syn();
    net.client.isn = 1000;
    // The server answers with an acknowledgement of what it has (RFC 5961 section 4.2), not with a SYN-ACK.
    assert_eq!(net.server_at(5000, b""), PASS);
    assert_eq!(net.client_at(5006, b"NOOP\r\n"), PASS);
    assert_eq!(net.server_at(5000, b"250 Ok\r\n"), PASS);
}

/// A client fills the table of half-open connections, and so pushes its own out.
#[test]
fn a_handshake_that_was_forgotten_is_not_an_older_connection() {
    let mut net = answered();
    net.world.forget_half_open();
    assert_eq!(net.client_at(0, b"VRFY root\r\n"), DROP);
    assert_eq!(net.segments(Reason::UnknownConnection), 1);
    assert_eq!(net.world.counter(Reason::UnknownConnection.number(), Action::Pass, true).segments, 0);
    // Others are not taken for it.
    for port in 0..10_000 {
        net.client_port = 50_000 + port % 10_000;
        net.server_port = PORT;
        assert_eq!(net.client_at(0, b""), PASS);
    }
}

#[test]
fn what_is_remembered_of_many_handshakes_takes_few_for_others() {
    let mut net = Net::new(young());
    for port in 1..=60_000 {
        net.client_port = port;
        net.syn();
        net.syn_ack();
    }
    net.world.forget_half_open();
    net.v6 = true;
    let held = (1..=60_000).filter(|port| {
        net.client_port = *port;
        net.client_at(0, b"") != PASS
    });
    let held = held.count();
    assert!(held <= 3, "{held} of 60,000");
    net.v6 = false;
    let passed = (1..=60_000).filter(|port| {
        net.client_port = *port;
        net.client_at(0, b"") == PASS
    });
    assert_eq!(passed.count(), 0);
}
