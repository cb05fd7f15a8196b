//! Which connection a segment belongs to, and what can move it (I3, I8).

use crate::support::{ACK, FIN, Net, RST, SYN, SYN_ACK, policy};
use smtp_filter_common::{action::Action, entry, reason::Reason, verdict::Verdict};

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;

#[test]
fn handshake_makes_a_connection_live() {
    for v6 in [false, true] {
        let mut net = Net::new(policy());
        net.v6 = v6;
        assert_eq!(net.syn(), PASS);
        assert!(net.world.half_open(&net.key()).is_some());
        assert_eq!(net.syn_ack(), PASS);
        assert!(net.world.connection(&net.key()).is_none());
        assert_eq!(net.client_acks(), PASS);
        assert!(net.world.connection(&net.key()).is_some());
        assert!(net.world.half_open(&net.key()).is_none());
        assert_eq!(net.world.opened, 1);
    }
}

#[test]
fn first_bytes_may_complete_the_handshake() {
    let mut net = Net::new(policy());
    net.syn();
    net.syn_ack();
    assert_eq!(net.say("EHLO early.example\r\n"), PASS);
    assert_eq!(net.verbs(), ["EHLO"]);
}

#[test]
fn syn_ack_chooses_the_candidate() {
    let mut net = Net::new(policy());
    net.client.isn = 5;
    assert_eq!(net.syn(), PASS);
    net.client.isn = 7000;
    assert_eq!(net.syn(), PASS);
    assert_eq!(net.syn_ack(), PASS);
    // The one that does not count completes nothing.
    net.client.isn = 5;
    assert_eq!(net.client_acks(), DROP);
    net.client.isn = 7000;
    assert_eq!(net.client_acks(), PASS);
    assert_eq!(net.state().side[0].isn.0, 7000);
}

#[test]
fn syn_ack_that_answers_no_syn_is_unknown() {
    let mut net = Net::new(policy());
    assert_eq!(net.syn_ack(), DROP);
    net.syn();
    net.client.isn = 77;
    assert_eq!(net.syn_ack(), DROP);
    assert_eq!(net.segments(Reason::UnknownConnection), 2);
}

#[test]
fn forged_syn_ack_from_the_clients_side_moves_nothing() {
    let mut net = Net::new(policy());
    net.syn();
    net.syn_ack();
    let real = net.server.isn;
    net.server.isn = 123;
    let forged = net.build(false, 123, net.client.isn.wrapping_add(1), SYN_ACK, b"");
    assert_eq!(net.frame(&forged, net.outside), DROP);
    assert_eq!(net.client_acks(), DROP, "the forged number completes nothing");
    net.server.isn = real;
    assert_eq!(net.client_acks(), PASS);
    assert_eq!(net.segment_at(false, 0, ACK, b"220 forged\r\n", net.outside), DROP);
    assert_eq!(net.segments(Reason::SpoofedServer), 1);
}

#[test]
fn forged_syn_ack_before_the_servers_own_is_found_out() {
    // The client promotes a connection of its own making, and then uses the server's.
    for again in [false, true] {
        let mut net = Net::new(policy());
        net.syn();
        let real = net.server.isn;
        net.server.isn = 123;
        let forged = net.build(false, 123, net.client.isn.wrapping_add(1), SYN_ACK, b"");
        net.frame(&forged, net.outside);
        net.client_acks();
        if again {
            net.syn();
        }
        net.server.isn = real;
        net.syn_ack();
        // It does not take the place that would complete the real one, but one in the server's window.
        net.client.next = 1;
        net.client_acks();
        net.server.isn = 123;
        for forged in ["220 x\r\n", "250 x\r\n", "354 x\r\n"] {
            assert_ne!(net.segment_at(false, net.server.next, ACK, forged.as_bytes(), net.outside), PASS);
        }
        net.server.isn = real;
        net.client.next = 0;
        if again {
            // That completes the real one, which begins with it.
            assert_eq!(net.say("DATA\r\n"), PASS);
            assert_eq!(net.segment_at(false, 0, ACK, b"220 x\r\n354 x\r\n", net.outside), DROP);
        }
        assert_ne!(net.client_at(net.client.next, b"NOOP\r\n"), PASS, "again: {again}");
    }
}

#[test]
fn handshake_forged_in_mid_connection_moves_nothing() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    assert_eq!(net.say("EH"), PASS);
    let (client, server) = (net.client.isn, net.server.isn);
    // Numbers that would make the filter begin anew right behind `EH`.
    net.client.isn = client.wrapping_add(2);
    net.server.isn = server.wrapping_add(net.server.next);
    net.syn();
    let forged = net.build(false, net.server.isn, net.client.isn.wrapping_add(1), SYN_ACK, b"");
    assert_eq!(net.frame(&forged, net.outside), DROP);
    let frame = net.build(true, net.client.isn.wrapping_add(1), net.server.isn.wrapping_add(1), ACK, b"");
    net.frame(&frame, net.outside);
    (net.client.isn, net.server.isn) = (client, server);
    net.events();
    assert_eq!(net.say("LO x\r\n"), DROP);
    assert_eq!(net.verbs(), ["EHLO"]);
}

#[test]
fn spoofed_server_is_dropped() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("DATA\r\n"), PASS);
    assert_eq!(net.segment_at(false, net.server.next, ACK, b"354 forged\r\n", net.outside), DROP);
    assert_eq!(net.segments(Reason::SpoofedServer), 1);
    assert_eq!(net.mode(), smtp_filter_common::session::Mode::COMMAND);
}

#[test]
fn one_way_in_for_both_sides_works() {
    let mut net = Net::new(policy());
    net.inside = net.outside;
    net.handshake();
    assert_eq!(net.reply("220 x\r\n"), PASS);
    assert_eq!(net.say("NOOP\r\n"), PASS);
}

#[test]
fn closing_flags_in_mid_connection_move_nothing() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    assert_eq!(net.say("EH"), PASS);
    assert_eq!(net.segment(true, 500, RST, b""), PASS);
    assert_eq!(net.segment(true, net.client.next, RST, b""), PASS);
    assert_eq!(net.segment(true, 1000, FIN, b""), PASS);
    net.syn();
    net.client.isn = net.client.isn.wrapping_add(1);
    net.syn();
    net.client.isn = net.client.isn.wrapping_sub(1);
    assert_eq!(net.say("LO x\r\n"), DROP);
    assert_eq!(net.verbs(), ["EHLO"]);
}

#[test]
fn port_pair_is_used_again() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("EHL"), PASS);
    net.client.isn = 0x8000_0000;
    net.server.isn = 0x1234;
    (net.client.next, net.server.next, net.client.acked, net.server.acked) = (0, 0, 0, 0);
    net.handshake();
    assert_eq!(net.world.opened, 2);
    assert_eq!(net.reply("220 again\r\n"), PASS);
    assert_eq!(net.say("NOOP\r\n"), PASS);
    let events = net.events();
    assert_eq!(events.len(), 1);
    assert_eq!(crate::support::name(&events[0]), "NOOP");
    assert_eq!(events[0].connection, 2);
}

#[test]
fn payload_in_the_handshake_is_dropped() {
    let mut net = Net::new(policy());
    let frame = net.build(true, net.client.isn, 0, SYN, b"EHLO x\r\n");
    assert_eq!(net.frame(&frame, net.outside), DROP);
    net.syn();
    let frame = net.build(false, net.server.isn, net.client.isn.wrapping_add(1), SYN_ACK, b"220 x\r\n");
    assert_eq!(net.frame(&frame, net.inside), DROP);
    let frame = net.build(true, net.client.isn, 1, SYN_ACK, b"EHLO x\r\n");
    assert_eq!(net.frame(&frame, net.outside), DROP, "a SYN-ACK to the server");
    assert_eq!(net.segments(Reason::SynData), 3);
}

#[test]
fn unknown_connection_and_its_grace() {
    let mut net = Net::new(policy());
    assert_eq!(net.client_at(0, b"EHLO x\r\n"), DROP);
    assert_eq!(net.server_at(0, b"250 x\r\n"), DROP);
    assert_eq!(net.client_at(0, b""), DROP);
    assert_eq!(net.segments(Reason::UnknownConnection), 3);
    net.policy.grace_until = net.now + 1_000_000;
    assert_eq!(net.client_at(0, b"EHLO x\r\n"), PASS);
    assert_eq!(net.server_at(0, b"250 x\r\n"), PASS);
    net.now += 2_000_000;
    assert_eq!(net.client_at(0, b"EHLO x\r\n"), DROP);
}

#[test]
fn a_filter_that_nobody_confirmed_does_nothing_any_more() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    net.policy.off_at = net.now + 1_000_000;
    assert_eq!(net.say("EHLO x\r\n"), DROP);
    net.now += 1_000_000;
    let counted = net.world.counted(Reason::Commands.number());
    assert_eq!(net.say("EHLO x\r\n"), PASS);
    assert_eq!(net.client_at(1_000_000, b"beyond everything"), PASS);
    assert_eq!(net.server_at(0, b"no reply\r\n"), PASS);
    assert_eq!(net.world.counted(Reason::Commands.number()), counted, "it does not even count");
    net.policy.off_at = 0;
    assert_eq!(net.say("EHLO x\r\n"), DROP);
}

#[test]
fn urgent_bytes_are_dropped() {
    let mut net = Net::greeted(policy());
    let flags = crate::support::Flags { urg: true, ..ACK };
    assert_eq!(net.segment(true, 0, flags, b"NOOP\r\n"), DROP);
    assert_eq!(net.segment(true, 0, flags, b""), DROP, "the pointer reaches into later segments");
    assert_eq!(net.segments(Reason::Urgent), 2);
}

#[test]
fn after_a_reset_nothing_passes_and_rsts_are_rate_limited() {
    let mut net = Net::greeted(policy());
    net.set("VRFY", Action::Reset);
    assert_eq!(net.say("VRFY x\r\n"), Verdict::Reset);
    assert_eq!(net.say("VRFY x\r\n"), Verdict::ResetSender);
    assert_eq!(net.say("NOOP\r\n"), DROP);
    assert_eq!(net.server_acks(), DROP);
    net.now += 20_000_000;
    assert_eq!(net.server_acks(), Verdict::ResetSender);
    assert_eq!(net.segment(true, net.client.next, RST, b""), PASS);
    assert_eq!(net.segment(false, net.server.next, RST, b""), PASS);
    assert_eq!(net.segments(Reason::OwnReset), 2);
    assert_eq!(net.verbs(), ["VRFY"]);
    // A new connection on the same ports is none of it.
    net.client.isn = 77;
    (net.client.next, net.server.next) = (0, 0);
    net.handshake();
    assert_eq!(net.reply("220 again\r\n"), PASS);
    assert_eq!(net.say("NOOP\r\n"), PASS);
}

#[test]
fn urgent_with_reset_resets_the_connection() {
    let mut net = Net::greeted(policy());
    net.policy.guards[Reason::Urgent.number() as usize] = Action::Reset as u8;
    let flags = crate::support::Flags { urg: true, ..ACK };
    assert_ne!(net.segment(true, 0, flags, b"NOOP\r\n"), PASS);
    assert_eq!(net.say("NOOP\r\n"), Verdict::ResetSender);
}

#[test]
fn both_sides_closing_is_counted_once() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("QUIT\r\n"), PASS);
    assert_eq!(net.reply("221 bye\r\n"), PASS);
    assert_eq!(net.segment(false, net.server.next, FIN, b""), PASS);
    assert_eq!(net.world.closed, 0);
    assert_eq!(net.segment(true, net.client.next, FIN, b""), PASS);
    assert_eq!(net.world.closed, 1);
    assert_eq!(net.segment(true, net.client.next, FIN, b""), PASS);
    assert_eq!(net.segment(false, net.server.next, FIN, b""), PASS);
    assert_eq!(net.world.closed, 1);
    let flags = smtp_filter_common::userspace::World::connection(&net.world, &net.key()).unwrap();
    let flags = flags.shared.flags.load(std::sync::atomic::Ordering::Relaxed);
    assert_ne!(flags & entry::CLOSED, 0);
}

#[test]
fn both_ports_may_be_the_policys() {
    let mut net = Net::new(policy());
    net.client_port = 25;
    net.handshake();
    assert_eq!(net.reply("220 x\r\n"), PASS);
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert_eq!(net.reply("250 x\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP"]);
}

#[test]
fn monitor_passes_all_of_it() {
    let mut net = Net::new(policy());
    net.monitor();
    assert_eq!(net.client_at(0, b"EHLO x\r\n"), PASS);
    assert_eq!(net.world.counter(Reason::UnknownConnection.number(), Action::Drop, false).segments, 1);
    net.handshake();
    assert_eq!(net.segment_at(false, 0, ACK, b"220 forged\r\n", net.outside), PASS);
}
