//! A port pair that is used again, and handshakes that a client leaves unfinished in the filter alone: what was known
//! of another connection judges nothing of the new one (I3, I8).

use crate::support::*;
use smtp_filter_common::{action::Action, verdict::Verdict, word::Word};

/// A net whose policy drops VRFY and EHLO.
fn strict() -> smtp_filter_common::policy::Policy {
    let mut policy = policy();
    assert!(policy.set_verb(Word::of("VRFY"), Action::Drop, 12));
    assert!(policy.set_verb(Word::of("EHLO"), Action::Drop, 2));
    policy
}

/// A segment with these numbers, by this side.
fn go(
    net: &mut Net,
    client: bool,
    sequence: u32,
    acknowledged: u32,
    flags: Flags,
    data: &str,
    side: (u32, bool),
) -> Verdict {
    let frame = net.build(client, sequence, acknowledged, flags, data.as_bytes());
    net.frame(&frame, side)
}

/// Linux takes any segment in its window that acknowledges the SYN-ACK for the end of a handshake, and so does the
/// filter.
#[test]
fn a_connection_left_in_mail_data_judges_no_other() {
    for first in [1, 2] {
        let mut net = Net::in_text(policy());
        net.set("VRFY", Action::Drop);
        let (outside, inside) = (net.outside, net.inside);
        net.client_acks();
        let next = net.client.isn + 1 + net.client.next;
        assert_eq!(go(&mut net, true, next, 0, RST, "", outside), Verdict::Pass);
        let (x, y) = (next + 50, 7000);
        assert_eq!(go(&mut net, true, x, 0, SYN, "", outside), Verdict::Pass);
        assert_eq!(go(&mut net, false, y, x + 1, SYN_ACK, "", inside), Verdict::Pass);
        // Not the one that ends the handshake.
        assert_eq!(go(&mut net, true, x + 1, y, ACK, "VRFY root\r\n", outside), Verdict::Drop);
        assert_eq!(go(&mut net, true, x + first, y + 1, ACK, "", outside), Verdict::Pass);
        assert_eq!(go(&mut net, false, y + 1, x + 1, ACK, "220 m\r\n", inside), Verdict::Pass);
        assert_eq!(go(&mut net, true, x + 1, y + 8, ACK, "VRFY root\r\n", outside), Verdict::Drop);
        assert_eq!(go(&mut net, true, x + 1, y + 8, ACK, "NOOP\r\n", outside), Verdict::Pass);
    }
}

#[test]
fn a_connection_that_the_client_made_up_judges_no_other() {
    let mut net = Net::new(strict());
    let (outside, inside) = (net.outside, net.inside);
    let (x0, y0) = (5000, 900_000_000);
    // All of this comes from the client's side, and reaches no server.
    go(&mut net, true, x0, 0, SYN, "", outside);
    go(&mut net, false, y0, x0 + 1, SYN_ACK, "", outside);
    go(&mut net, true, x0 + 1, y0 + 1, ACK, "", outside);
    go(&mut net, false, y0 + 1, x0 + 1, ACK, "220 x\r\n", outside);
    go(&mut net, true, x0 + 1, y0 + 8, ACK, "DATA\r\n", outside);
    go(&mut net, false, y0 + 8, x0 + 7, ACK, "354 x\r\n", outside);
    go(&mut net, true, x0 + 7, y0 + 15, ACK, "", outside);
    let (x, y) = (x0 + 50, 7000);
    go(&mut net, true, x, 0, SYN, "", outside);
    go(&mut net, false, y, x + 1, SYN_ACK, "", inside);
    go(&mut net, true, x + 2, y + 1, ACK, "", outside);
    go(&mut net, false, y + 1, x + 1, ACK, "220 m\r\n", inside);
    assert_eq!(go(&mut net, true, x + 1, y + 8, ACK, "EHLO evil\r\n", outside), Verdict::Drop);
    assert_eq!(go(&mut net, true, x + 1, y + 8, ACK, "EHLO evil\r\nVRFY root\r\n", outside), Verdict::Drop);
}

/// Between two of the ports, a client that answers a SYN that it sent in the server's name is no server.
#[test]
fn a_mirrored_connection_judges_nothing() {
    let mut net = Net::new(strict());
    net.client_port = 25;
    let (outside, inside) = (net.outside, net.inside);
    let (x, y) = (net.client.isn, net.server.isn);
    net.syn();
    net.syn_ack();
    go(&mut net, false, y, 0, SYN, "", outside);
    go(&mut net, true, x, y + 1, SYN_ACK, "", outside);
    go(&mut net, false, y + 1, x + 1, ACK, "", outside);
    go(&mut net, true, x + 2, y + 1, ACK, "", outside);
    let banner = "220 m ESMTP\r\n";
    go(&mut net, false, y + 1, x + 1, ACK, banner, inside);
    let after = y + 1 + banner.len() as u32;
    assert_eq!(go(&mut net, true, x + 1, after, ACK, "EHLO evil\r\n", outside), Verdict::Drop);
}
