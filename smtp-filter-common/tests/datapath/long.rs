//! Connections that carry more than 2^31 bytes: sequence numbers that are compared across so many turn round.
//!
//! Invariants: I1.

use crate::support::*;
use smtp_filter_common::{reason::Reason, verdict::Verdict};

/// Bytes of a merged frame (BIG TCP).
const MERGED: u32 = 1 << 20;

/// A merged frame of the client's at an offset.
fn merged(net: &mut Net, offset: u32, payload: &[u8]) -> Verdict {
    let sequence = net.client.isn.wrapping_add(1).wrapping_add(offset);
    let acknowledgement = net.server.isn.wrapping_add(1).wrapping_add(net.client.acked);
    let mut frame = net.build(true, sequence, acknowledgement, ACK, b"");
    // The length does not fit the IPv4 header.
    frame[16..18].fill(0);
    frame.extend(payload);
    net.piece = 1448;
    let side = net.outside;
    let verdict = net.frame(&frame, side);
    net.piece = 0;
    verdict
}

/// Sends `count` merged frames, each of them acknowledged.
fn send(net: &mut Net, count: u32) {
    let payload = vec![b'a'; MERGED as usize];
    for _ in 0..count {
        let at = net.client.next;
        assert_eq!(merged(net, at, &payload), Verdict::Pass);
        net.client.next = at.wrapping_add(MERGED);
        assert_eq!(net.server_acks(), Verdict::Pass);
    }
}

/// A server whose window takes such frames.
fn server(scale: u8) -> Net {
    let mut net = Net::new(policy());
    net.server.scale = Some(scale);
    net.client.scale = Some(scale);
    net.handshake();
    assert_eq!(net.reply("220 mail.example ESMTP\r\n"), Verdict::Pass);
    net
}

#[test]
fn retransmissions_are_checked_after_2_to_the_31_bytes_of_one_mail() {
    let mut net = server(14);
    assert_eq!(net.say("MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n"), Verdict::Pass);
    assert_eq!(net.reply("250 OK\r\n250 OK\r\n354 Go\r\n"), Verdict::Pass);
    for _ in 0..4 {
        send(&mut net, (1 << 29) / MERGED + 1);
        let at = net.client.next;
        assert_eq!(net.client_at(at, b"aaaaaaaaaaaaaaaa"), Verdict::Pass);
        assert_eq!(net.client_at(at, b"aaaaaaaaaaaaaaaa"), Verdict::Pass, "an honest retransmission");
        assert_ne!(net.client_at(at, b"a\r\n.\r\nVRFY root"), Verdict::Pass, "one that ends the mail");
        net.client.next = at.wrapping_add(16);
        assert_eq!(net.server_acks(), Verdict::Pass);
    }
    assert_eq!(net.say("\r\n.\r\n"), Verdict::Pass);
    assert_eq!(net.reply("250 Taken\r\n"), Verdict::Pass);
    assert_eq!(net.say("QUIT\r\n"), Verdict::Pass);
}

/// TLS is known by where it began. That comparison, too.
#[test]
fn tls_goes_on_after_2_to_the_31_bytes() {
    let mut net = server(14);
    assert_eq!(net.say("STARTTLS\r\n"), Verdict::Pass);
    assert_eq!(net.reply("220 Go\r\n"), Verdict::Pass);
    for _ in 0..9 {
        send(&mut net, (1 << 29) / MERGED + 1);
        let drops = net.segments(Reason::Retransmission) + net.segments(Reason::OutOfOrder);
        assert_eq!(net.say("\r\n.\r\nany bytes of a record"), Verdict::Pass);
        assert_eq!(net.segments(Reason::Retransmission) + net.segments(Reason::OutOfOrder), drops);
    }
}
