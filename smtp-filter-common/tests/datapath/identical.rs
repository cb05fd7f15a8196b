//! Replies in flight, more than a window holds: the same line again and again passes, and so do honest retransmissions
//! of it; none with other bytes does (I4).

use crate::support::{ACK, Net, policy, stream::rounds};
use smtp_filter_common::{bounds::WIDE_WINDOW, reason::Reason, verdict::Verdict};
use smtp_filter_testkit::Random;

const PASS: Verdict = Verdict::Pass;
const LINE: &[u8] = b"250 2.0.0 Ok: 1024 bytes\r\n";

/// A client that has sent many chunks, all of them acknowledged by the server and none answered.
fn chunks(count: usize) -> Net {
    let mut net = Net::greeted(policy());
    net.say("EHLO x\r\n");
    net.reply("250-x\r\n250 CHUNKING\r\n");
    net.client_acks();
    for _ in 0..count {
        assert_eq!(net.say("BDAT 4\r\nabcd"), PASS);
        net.server_acks();
    }
    net
}

/// The client acknowledges what comes before an offset.
fn acknowledge(net: &mut Net, offset: u32) {
    net.client.acked = offset;
    assert_eq!(net.segment(true, net.client.next, ACK, b""), PASS);
}

#[test]
fn any_number_of_replies_alike_flows_without_an_acknowledgement() {
    for (at_once, line) in [(1, LINE), (40, LINE), (700, LINE), (1, b"250 ok\r\n"), (2000, b"250 ok\r\n")] {
        let mut net = chunks(4000);
        let from = net.server.next;
        let replies = line.repeat(at_once);
        let mut sent = Vec::new();
        while sent.len() / line.len() + at_once <= 4000 {
            assert_eq!(net.reply(&replies), PASS, "{at_once}, {} bytes in flight", sent.len());
            sent.extend_from_slice(&replies);
        }
        assert!(sent.len() > 2 * WIDE_WINDOW && net.segments(Reason::Backlog) == 0);
        for (at, length) in [(0, 1448), (5, 1), (3000, 20_000), (sent.len() - 9000, 9000), (sent.len() - 1448, 1448)] {
            let copy = &sent[at..at + length];
            assert_eq!(net.server_at(from + at as u32, copy), PASS, "{at_once}: {at}, {length}");
            for place in [0, length / 2, length - 1] {
                let mut other = copy.to_vec();
                other[place] ^= 1;
                let verdict = net.server_at(from + at as u32, &other);
                assert_ne!(verdict, PASS, "{at_once}: {at}, {length}: byte {place}");
                assert!(net.segments(Reason::ChangedRetransmission) > 0);
            }
        }
    }
}

#[test]
fn what_differs_ends_them_and_others_begin() {
    let mut net = chunks(3000);
    let from = net.server.next;
    let other = b"250 2.0.0 Ok: 77 bytes\r\n";
    let mut sent = LINE.repeat(1000);
    sent.extend(other.repeat(1000));
    let changes = LINE.len() * 1000;
    for at in 0..2000 {
        assert_eq!(net.reply(if at < 1000 { LINE } else { other }), PASS, "{at}");
        match at {
            // Those before and after the change fit into a window.
            999 => acknowledge(&mut net, from + changes as u32 - 4000),
            1100 => acknowledge(&mut net, from + changes as u32 + 100),
            _ => {}
        }
    }
    for at in [changes + 100, changes + 7777, sent.len() - 1448] {
        assert_eq!(net.server_at(from + at as u32, &sent[at..at + 1448]), PASS);
        assert_ne!(net.server_at(from + at as u32, &LINE.repeat(60)[..1448]), PASS);
    }
}

/// Replies, often alike, in segments cut anywhere; acknowledgements of any part; retransmissions cut otherwise. Every
/// copy of a byte that passes is the same; what is in the window is known in any case.
#[test]
fn retransmitted_replies_are_what_they_were() {
    let (mut passed, mut far) = (0, 0);
    for seed in 0..rounds() / 30 {
        let mut dice = Random::new(seed * 2 + 1);
        let mut net = chunks(3000);
        let from = net.server.next;
        let mut stream = Vec::new();
        let mut line = Vec::new();
        let mut left = 2900;
        while left > 0 {
            if line.is_empty() || dice.one_in(200) {
                line = format!("250 {}\r\n", "x".repeat(dice.below(70) as usize)).into_bytes();
            }
            let count = (1 + dice.below(300)).min(left);
            stream.extend(line.repeat(count as usize));
            left -= count;
        }
        let (mut next, mut acked, mut stalled) = (0, 0, 0);
        while next < stream.len() && stalled < 20 {
            let length = match dice.below(4) {
                0 => 1 + dice.below(100),
                1 => 1448,
                2 => line.len() as u32,
                _ => 1 + dice.below(30_000),
            };
            let to = stream.len().min(next + length as usize);
            if net.server_at(from + next as u32, &stream[next..to]) == PASS {
                next = to;
                stalled = 0;
            } else {
                stalled += 1;
                acked += dice.below((next - acked) as u32 + 1) as usize;
                acknowledge(&mut net, from + acked as u32);
            }
            if dice.one_in(3) {
                acked += dice.below((next - acked) as u32 + 1) as usize;
                acknowledge(&mut net, from + acked as u32);
            }
            if next == acked {
                continue;
            }
            let at = acked + dice.below((next - acked) as u32) as usize;
            let end = at + 1 + dice.below((next - at) as u32) as usize;
            let end = end.min(next);
            let verdict = net.server_at(from + at as u32, &stream[at..end]);
            assert_ne!(verdict, Verdict::Reset, "seed {seed}");
            assert_eq!(net.segments(Reason::ChangedRetransmission), 0, "seed {seed}: an honest one");
            assert!(verdict == PASS || at + WIDE_WINDOW < next || net.segments(Reason::Forgotten) > 0, "seed {seed}");
            passed += u32::from(verdict == PASS);
            far += u32::from(verdict == PASS && at + WIDE_WINDOW < next);
            if dice.one_in(8) {
                let mut other = stream[at..end].to_vec();
                let place = dice.below((end - at) as u32) as usize;
                other[place] ^= 1 << dice.below(8);
                let verdict = net.server_at(from + at as u32, &other);
                assert_ne!(verdict, PASS, "seed {seed}: {at}..{end}, byte {place}");
                break;
            }
        }
    }
    assert!(passed > 100 && far > 20, "{passed}, {far}");
}
