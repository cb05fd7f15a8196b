//! Connections that have closed leave the live table, and what comes late is answered from what is remembered (I8).

use crate::support::*;
use smtp_filter_common::{
    entry::{CLOSED, DEAD},
    event::{Ended, Kind},
    reason::Reason,
    verdict::Verdict,
};
use std::sync::atomic::Ordering;

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;

fn is_live(net: &Net) -> bool {
    net.world.connection(&net.key()).is_some()
}

fn flags(net: &Net) -> u64 {
    net.world.connection(&net.key()).map_or(0, |connection| connection.shared.flags.load(Ordering::Relaxed))
}

/// The FIN of a side in its place, acknowledging what has come.
fn fin(net: &mut Net, client: bool) {
    assert_eq!(net.segment(client, if client { net.client.next } else { net.server.next }, FIN, b""), PASS);
    if client { net.client.next += 1 } else { net.server.next += 1 }
}

/// Both sides close one after the other.
fn closed(client_first: bool) -> Net {
    let mut net = Net::greeted(policy());
    assert_eq!((net.say("QUIT\r\n"), net.reply("221 bye\r\n")), (PASS, PASS));
    fin(&mut net, client_first);
    if client_first {
        net.server_acks();
    } else {
        net.client_acks();
    }
    fin(&mut net, !client_first);
    assert!(is_live(&net), "the last FIN is not acknowledged");
    if client_first {
        assert_eq!(net.client_acks(), PASS);
    } else {
        assert_eq!(net.server_acks(), PASS);
    }
    net
}

#[test]
fn a_connection_that_both_sides_have_closed_leaves() {
    for client_first in [true, false] {
        let mut net = closed(client_first);
        assert!(!is_live(&net));
        assert!(net.world.gone(&net.key()).is_some());
        assert_eq!((net.world.opened, net.world.closed), (1, 1));
        assert_eq!(net.all_events().iter().filter(|event| event.kind == Kind::CLOSE).count(), 1);
    }
}

#[test]
fn fins_that_cross_leave_it_too() {
    let mut net = Net::greeted(policy());
    fin(&mut net, true);
    fin(&mut net, false);
    net.client_acks();
    assert!(is_live(&net));
    net.server_acks();
    assert!(!is_live(&net));
    assert_eq!(net.world.closed, 1);
}

#[test]
fn late_segments_pass_unless_they_bring_something_new() {
    for client_first in [true, false] {
        let mut net = closed(client_first);
        let (client, server) = (net.client.next, net.server.next);
        // Retransmissions: the last acknowledgement was lost.
        assert_eq!(net.segment(true, client - 1, FIN, b""), PASS);
        assert_eq!(net.segment(false, server - 1, FIN, b""), PASS);
        assert_eq!(net.client_at(client, b""), PASS);
        assert_eq!(net.server_at(server, b""), PASS);
        assert_eq!(net.client_at(0, b"QUIT\r\n"), PASS);
        assert_eq!(net.segments(Reason::Late), 5);
        assert_eq!(net.segment(true, client, RST, b""), PASS);
        // Something new.
        assert_eq!(net.client_at(client, b"EHLO x\r\n"), DROP);
        assert_eq!(net.client_at(client - 3, b"EHLO x\r\n"), DROP);
        assert_eq!(net.segment(true, client, FIN, b""), DROP);
        assert_eq!(net.server_at(server, b"250 x\r\n"), DROP);
        net.policy.grace_until = u64::MAX;
        assert_eq!(net.client_at(client, b"EHLO x\r\n"), DROP, "it is not older than the filter");
        assert_eq!(net.segments(Reason::UnknownConnection), 5);
    }
}

#[test]
fn the_port_pair_is_used_again() {
    let mut net = closed(true);
    for again in 2..5 {
        net.client = End { isn: net.client.isn + 5000, next: 0, acked: 0, ..net.client };
        net.server = End { isn: net.server.isn + 5000, next: 0, acked: 0, ..net.server };
        net.handshake();
        assert_eq!(net.world.opened, again);
        assert_eq!(net.reply("220 again\r\n"), PASS);
        assert_eq!(net.say("NOOP\r\n"), PASS);
        fin(&mut net, true);
        net.server_acks();
        fin(&mut net, false);
        net.client_acks();
        assert!(!is_live(&net));
        assert_eq!(net.world.closed, again);
    }
}

#[test]
fn in_tls_too() {
    let mut net = Net::greeted(policy());
    net.say("STARTTLS\r\n");
    net.reply("220 Go\r\n");
    net.say([0x17; 500]);
    net.reply([0x17; 300]);
    fin(&mut net, true);
    net.server_acks();
    fin(&mut net, false);
    net.client_acks();
    assert!(!is_live(&net));
}

/// One leg: nothing can be said of the side that a segment comes from.
#[test]
fn forged_fins_take_no_connection_out() {
    for wild in [50_000_u32, 0_u32.wrapping_sub(50_000), 0x8000_0000, 0x7000_0000] {
        let mut net = Net::new(policy());
        net.inside = net.outside;
        net.handshake();
        net.reply("220 m\r\n");
        net.say("STARTTLS\r\n");
        net.reply("220 Go\r\n");
        net.say([0x17; 500]);
        net.reply([0x17; 300]);
        net.server_acks();
        net.client_acks();
        for client in [true, false] {
            let next = if client { net.client.next } else { net.server.next };
            net.segment(client, next.wrapping_add(wild), FIN, b"");
        }
        net.client_acks();
        net.server_acks();
        assert!(is_live(&net), "{wild:x}");
        // On and past where a FIN was forged.
        for _ in 0..60 {
            assert_eq!(net.say([0x17; 999]), PASS);
            assert_eq!(net.reply([0x17; 997]), PASS);
            net.client_acks();
            net.server_acks();
            assert!(is_live(&net), "{wild:x}");
        }
        // The FINs of both sides count all the same.
        fin(&mut net, true);
        net.server_acks();
        assert!(is_live(&net), "{wild:x}");
        fin(&mut net, false);
        net.client_acks();
        assert!(!is_live(&net), "{wild:x}");
    }
}

/// A retransmission from the time before is no FIN's place.
#[test]
fn a_fin_before_what_is_acknowledged_moves_nothing() {
    let mut net = Net::greeted(policy());
    net.say("STARTTLS\r\n");
    net.reply("220 Go\r\n");
    net.say([0x17; 500]);
    net.reply([0x17; 300]);
    net.server_acks();
    net.client_acks();
    assert_eq!(net.segment(true, net.client.next - 300, FIN, b""), PASS);
    assert_eq!(net.segment(false, net.server.next - 200, FIN, b""), PASS);
    assert_eq!((net.state().side[0].fin, net.state().side[1].fin), (0, 0));
    assert_eq!(net.world.closed, 0);
}

#[test]
fn a_rst_counts_only_with_its_one_sequence_number() {
    for tls in [false, true] {
        let mut net = Net::greeted(policy());
        if tls {
            net.say("STARTTLS\r\n");
            net.reply("220 Go\r\n");
        }
        net.server_acks();
        for off in [1_u32, 5, 0_u32.wrapping_sub(1), 0x4000_0000, 0x9000_0000] {
            net.segment(true, net.client.next.wrapping_add(off), RST, b"");
            assert_eq!(flags(&net) & DEAD, 0, "{off}");
        }
        assert_eq!(net.segment(true, net.client.next, RST, b""), PASS);
        assert_eq!(flags(&net) & (DEAD | CLOSED), DEAD | CLOSED);
        // It was refused, or forged all the same: the connection goes on.
        assert_eq!(net.say(if tls { &b"\x17\x03\x03\x00\x01x"[..] } else { b"NOOP\r\n" }), PASS);
        assert_eq!(flags(&net) & (DEAD | CLOSED), 0);
    }
}

#[test]
fn why_it_ended_is_reported_as_ever() {
    let mut net = closed(true);
    let close = net.all_events().into_iter().find(|event| event.kind == Kind::CLOSE).expect("one");
    assert_eq!(Ended::from_u8(close.summary().ended), Some(Ended::Quit));
}

/// A later connection of the same ports with lower sequence numbers, which lost its entry: nothing of it is a late
/// segment of the one before.
#[test]
fn a_later_connection_with_lower_numbers_is_no_late_segment() {
    let mut net = closed(true);
    (net.client.isn, net.client.next, net.client.acked) = (net.client.isn.wrapping_sub(50_000), 0, 0);
    (net.server.isn, net.server.next, net.server.acked) = (net.server.isn.wrapping_sub(50_000), 0, 0);
    assert_eq!((net.syn(), net.syn_ack()), (PASS, PASS));
    net.world.forget_half_open();
    assert_eq!(net.say("VRFY root\r\n"), DROP);
    assert_eq!(net.segments(Reason::Late), 0);
}

/// And without a SYN-ACK that was seen, one from far before the end.
#[test]
fn what_lies_far_before_the_end_is_no_late_segment() {
    let mut net = closed(true);
    let sequence = net.client.isn.wrapping_sub(1 << 25);
    let frame = net.build(true, sequence, net.server.isn, ACK, b"VRFY root\r\n");
    assert_eq!(net.frame(&frame, net.outside), DROP);
}
