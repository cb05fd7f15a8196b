//! Of a segment that its receiver does not take, nothing is believed (I3, I8).

use crate::support::*;
use smtp_filter_common::{
    action::Action,
    entry::{RESET, first, second},
    reason::Reason,
    session,
    verdict::Verdict,
};
use std::sync::atomic::Ordering;

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;
const URGENT: Flags = Flags { urg: true, ..ACK };

fn strict() -> smtp_filter_common::policy::Policy {
    let mut policy = policy();
    policy.guards[Reason::Urgent.number() as usize] = Action::Reset as u8;
    policy
}

fn in_tls() -> Net {
    let mut net = Net::greeted(strict());
    assert_eq!((net.say("STARTTLS\r\n"), net.reply("220 Go\r\n")), (PASS, PASS));
    assert_eq!((net.say([0x17; 500]), net.reply([0x17; 500])), (PASS, PASS));
    net.client_acks();
    net
}

fn is_blocked(net: &Net) -> bool {
    let connection = net.world.connection(&net.key()).expect("live");
    connection.shared.flags.load(Ordering::Relaxed) & RESET != 0
}

/// What is known of both sides' acknowledgements and windows.
fn peers(net: &Net) -> [u64; 2] {
    let connection = net.world.connection(&net.key()).expect("live");
    [0, 1].map(|from: usize| connection.shared.peer[from].load(Ordering::Relaxed))
}

#[test]
fn forged_urgent_segments_reset_nothing() {
    for mut net in [in_tls(), Net::greeted(strict())] {
        for client in [true, false] {
            let (next, acked) =
                if client { (net.client.next, net.client.acked) } else { (net.server.next, net.server.acked) };
            // The sequence number is not in the window, or the acknowledgement is of what nobody sent.
            for (sequence, acknowledged) in [
                (next.wrapping_add(0x1000_0000), acked),
                (next.wrapping_add(0x7000_0000), acked),
                (next.wrapping_sub(5000), acked),
                (next.wrapping_sub(0x7000_0000), acked),
                (next, acked.wrapping_add(0x2000_0000)),
                (next, acked.wrapping_sub(0x2000_0000)),
                (next.wrapping_sub(70_000), acked.wrapping_add(0x4000_0000)),
            ] {
                for payload in [&b""[..], b"NOOP\r\n"] {
                    let side = if client { &mut net.client } else { &mut net.server };
                    let before = std::mem::replace(&mut side.acked, acknowledged);
                    assert_ne!(net.segment(client, sequence, URGENT, payload), PASS);
                    if client {
                        net.client.acked = before
                    } else {
                        net.server.acked = before
                    }
                    assert!(!is_blocked(&net), "{client} {sequence:x} {acknowledged:x}");
                }
            }
        }
        let said: &[u8] = if net.mode() == session::Mode::TLS { &[0x17; 100] } else { b"NOOP\r\n" };
        assert_eq!(net.say(said), PASS);
        // Nor those whose checksum and hop limit nobody has looked at.
        assert_ne!(net.segment(true, net.client.next, URGENT, b""), PASS);
        assert!(!is_blocked(&net));
        // One that is in its place is the client's own, or might be.
        net.segment(true, net.client.next, URGENT, b"NOOP\r\n");
        assert_eq!(is_blocked(&net), net.mode() != session::Mode::TLS);
    }
}

#[test]
fn what_lies_after_the_window_moves_nothing() {
    for mut net in [in_tls(), Net::greeted(policy())] {
        net.server_acks();
        let before = peers(&net);
        for client in [true, false] {
            let window = 0xffff << 7;
            let next = if client { net.client.next } else { net.server.next };
            for flags in [ACK, FIN] {
                for payload in [&b""[..], b"250 x\r\n"] {
                    let side = if client { &mut net.client } else { &mut net.server };
                    side.acked = side.acked.wrapping_add(1_000_000);
                    for far in [window + 2, 0x1000_0000, 0x7000_0000] {
                        assert_eq!(net.segment(client, next.wrapping_add(far), flags, payload), DROP, "{far:x}");
                    }
                    let side = if client { &mut net.client } else { &mut net.server };
                    side.acked = side.acked.wrapping_sub(1_000_000);
                }
            }
        }
        assert_eq!(peers(&net), before);
        // What they acknowledge was never sent either.
        assert_eq!(net.segments(Reason::BeyondWindow) + net.segments(Reason::OutsideAcknowledgement), 24);
    }
}

#[test]
fn what_lies_before_moves_nothing_and_passes() {
    let mut net = in_tls();
    net.server_acks();
    let before = peers(&net);
    for client in [true, false] {
        let next = if client { net.client.next } else { net.server.next };
        let side = if client { &mut net.client } else { &mut net.server };
        side.acked = side.acked.wrapping_add(1_000_000);
        for old in [1, 10, 0x1000_0000, 0x6000_0000] {
            assert_eq!(net.segment(client, next.wrapping_sub(old), ACK, b""), PASS);
        }
        let side = if client { &mut net.client } else { &mut net.server };
        side.acked = side.acked.wrapping_sub(1_000_000);
    }
    assert_eq!(peers(&net), before);
}

#[test]
fn honest_stacks_keep_their_segments() {
    let mut net = Net::greeted(policy());
    net.say("NOOP\r\n");
    net.reply("250 Ok\r\n");
    net.client_acks();
    // Keep-alives (RFC 9293 section 3.8.4).
    for client in [true, false] {
        let next = if client { net.client.next } else { net.server.next };
        assert_eq!(net.segment(client, next - 1, ACK, b""), PASS);
        assert_eq!(net.segment(client, next - 1, ACK, b"\n"), PASS);
    }
    // A window that shrinks, and is closed: a probe of one byte, and one of none.
    net.server.window = 4;
    net.server_acks();
    let edge = second(peers(&net)[0]).wrapping_sub(net.client.isn.wrapping_add(1));
    assert!(edge > net.client.next + 4, "what was announced counts");
    assert_eq!(net.client_at(edge, b""), PASS);
    // A FIN where the window ends, and the acknowledgement after it.
    assert_eq!(net.client_at(edge + 1, b""), PASS);
    // Acknowledgements that come in another order.
    net.server.window = 0xffff;
    net.reply("250 Ok\r\n");
    net.client_acks();
    net.client.acked -= 8;
    assert_eq!(net.client_at(net.client.next, b""), PASS);
    assert_eq!(first(peers(&net)[1]).wrapping_sub(net.server.isn + 1), net.server.next);
}

#[test]
fn mode_monitor_believes_what_a_capture_lacks_the_reason_for() {
    let mut net = Net::greeted(policy());
    net.monitor();
    // The acknowledgements that opened the window are not in the capture.
    let far = 20_000_000;
    net.client.acked = net.server.next;
    assert_eq!(net.client_at(far, b"NOOP\r\n"), PASS);
    assert_eq!(first(peers(&net)[1]).wrapping_sub(net.server.isn + 1), net.server.next);
    net.client.next = far + 6;
    net.reply("250 Ok\r\n");
    assert_eq!(first(peers(&net)[0]).wrapping_sub(net.client.isn + 1), far + 6);
}

/// A RST that its receiver refuses, and in TLS any segment that a blind attacker hits the window with: what it
/// acknowledges moves nothing, or the honest segments after it would be the ones that are not believed.
#[test]
fn what_a_blind_attacker_acknowledges_moves_nothing() {
    const RST_ONLY: Flags = Flags { rst: true, ..ACK };
    for tls in [false, true] {
        for flags in [RST_ONLY, ACK, FIN] {
            for wild in [1000_u32.wrapping_sub(0xffff << 7), 0x0010_0000, 0x0900_0000, 0x4000_0000, 0x7fff_0000_u32] {
                for client in [true, false] {
                    // Within the window both numbers of a segment that is no RST are plausible.
                    if !flags.rst && wild > 0x8000_0000 {
                        continue;
                    }
                    let mut net = if tls { in_tls() } else { Net::greeted(policy()) };
                    net.server_acks();
                    let before = peers(&net);
                    let (end, other) = if client { (net.client, net.server) } else { (net.server, net.client) };
                    let sequence = end.isn.wrapping_add(1 + end.next + 1000);
                    let acknowledgement =
                        other.isn.wrapping_add(1 + other.next).wrapping_add(0xffff << 7).wrapping_add(wild);
                    let frame = net.build(client, sequence, acknowledgement, flags, b"");
                    let side = if client { net.outside } else { net.inside };
                    net.frame(&frame, side);
                    assert_eq!(peers(&net), before, "{tls} {flags:?} {wild:x} {client}");
                    let said: &[u8] = if tls { &[0x17; 100] } else { b"NOOP\r\n" };
                    assert_eq!(net.say(said), PASS);
                    net.server_acks();
                    assert_eq!(net.reply(if tls { "any bytes" } else { "250 Ok\r\n" }), PASS);
                    assert_eq!(net.say(said), PASS);
                }
            }
        }
    }
}

/// Payload in the server's name that the client discards, for what it acknowledges is too old: read for a reply, it
/// would make the real one a changed retransmission.
#[test]
fn what_the_client_discards_is_no_reply() {
    for back in [0x0001_2000, 0x1000_0000, 0x7000_0000_u32] {
        let mut net = Net::greeted(policy());
        for _ in 0..100 {
            assert_eq!(net.say("NOOP\r\n"), PASS);
            assert_eq!(net.reply("250 Ok\r\n"), PASS);
        }
        assert_eq!(net.say("NOOP\r\n"), PASS);
        net.server.acked = net.client.next.wrapping_sub(back);
        assert_eq!(net.server_at(net.server.next, b"550 forged\r\n"), DROP, "{back:x}");
        assert_eq!(net.reply("250 Ok\r\n"), PASS);
    }
}
