//! Boundaries where a receiver may go over from one copy to another, in mail data that came out of order (I4). An attacker
//! chooses which segments the server discards: those count for the filter and not for the server.

mod support;

use smtp_filter_common::{limits::MARKS, verdict::Verdict};
use support::*;

/// Segments that fill the remembered boundaries: each is too short to say what follows it.
const SHORT: &[u8] = b"aaa";

/// What the server assembled, and whether it holds an end of data.
fn ends(assembled: &[u8]) -> bool {
    [b"\r\n", assembled].concat().windows(5).any(|bytes| bytes == b"\r\n.\r\n")
}

/// Sends `count` short segments from offset `at` on; those that pass are counted.
fn shorts(net: &mut Net, at: u32, count: u32) -> u32 {
    (0..count).filter(|i| net.client_at(at + i * 3, SHORT) == Verdict::Pass).count() as u32
}

/// The attack: every boundary is taken by segments that the server discards, then `filler` ends in the middle of an end of
/// data where mail data that passed out of order begins. The server discards that, too, and acknowledges the joint; what
/// follows it is sent again, `rest` in its place.
fn attack(filler: &[u8], rest: &[u8]) {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    let discarded = shorts(&mut net, base, MARKS as u32);
    let head = base + discarded * 3;
    let joint = head + filler.len() as u32;
    // Discarded by the server.
    let after = vec![b'b'; rest.len() + 4];
    let _ = net.client_at(joint, &after);
    // Taken by the server.
    let mut assembled = Vec::new();
    let filled = net.client_at(head, filler) == Verdict::Pass;
    for i in 0..discarded {
        assert_eq!(net.client_at(base + i * 3, SHORT), Verdict::Pass, "an honest retransmission passes");
        assembled.extend(SHORT);
    }
    if !filled {
        return;
    }
    assembled.extend(filler);
    net.server.acked = joint;
    assert_eq!(net.server_at(net.server.next, b""), Verdict::Pass);
    if net.client_at(joint, rest) == Verdict::Pass {
        assembled.extend(rest);
    }
    assert!(!ends(&assembled), "{}", String::from_utf8_lossy(&assembled));
}

#[test]
fn no_end_of_data_is_assembled_across_a_joint() {
    const END: &[u8] = b"\r\n.\r\n";
    for at in 1..END.len() {
        for spaces in [4, 5, 1400] {
            let filler = [&vec![b'a'; spaces][..], &END[..at]].concat();
            let rest = [&END[at..], b"VRFY root\r\nNOOP"].concat();
            attack(&filler, &rest);
        }
    }
}

/// The same where two pieces that came out of order touch: the first one ends within an end of data.
#[test]
fn no_end_of_data_is_assembled_where_two_pieces_out_of_order_touch() {
    const END: &[u8] = b"\r\n.\r\n";
    for at in 1..END.len() {
        let mut net = Net::in_text(policy());
        let base = net.client.next;
        let discarded = shorts(&mut net, base, MARKS as u32);
        let gap = base + discarded * 3;
        let first = [b"aaaa", &END[..at]].concat();
        let joint = gap + 8 + first.len() as u32;
        let rest = [&END[at..], b"VRFY root\r\nNOOP"].concat();
        // Discarded.
        let _ = net.client_at(joint, &vec![b'b'; rest.len() + 4]);
        let passed = net.client_at(gap + 8, &first) == Verdict::Pass;
        let mut assembled = Vec::new();
        for i in 0..discarded {
            assert_eq!(net.client_at(base + i * 3, SHORT), Verdict::Pass);
            assembled.extend(SHORT);
        }
        if !passed || net.client_at(gap, b"aaaaaaaa") != Verdict::Pass {
            continue;
        }
        assembled.extend(b"aaaaaaaa");
        assembled.extend(&first);
        net.server.acked = joint;
        assert_eq!(net.server_at(net.server.next, b""), Verdict::Pass);
        if net.client_at(joint, &rest) == Verdict::Pass {
            assembled.extend(&rest);
        }
        assert!(!ends(&assembled), "{}", String::from_utf8_lossy(&assembled));
    }
}

/// A segment fills a gap and ends inside what came out of order, of which no bytes are kept: what follows its end might end
/// the mail. A receiver may go over from one copy to another there.
#[test]
fn a_segment_that_ends_inside_one_out_of_order_leaves_a_boundary() {
    const AFTER: &[u8] = b"aa.\r\naa";
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    assert_eq!(net.client_at(base + 8, AFTER), Verdict::Pass);
    assert_eq!(net.client_at(base, b"aaaaaaaaaa"), Verdict::Pass);
    // With the rest of what came out of order: an end of data.
    assert_ne!(net.client_at(base, b"aaaaaaaa\r\na"), Verdict::Pass);
    // Honest ones pass.
    assert_eq!(net.client_at(base, b"aaaaaaaaaa"), Verdict::Pass);
    assert_eq!(net.client_at(base + 8, AFTER), Verdict::Pass);
    assert_eq!(net.client_at(base, &[b"aaaaaaaa", AFTER].concat()), Verdict::Pass);
}

/// What is known of a place stays known, whatever the boundary after it says of it. All but one boundary are taken, so that
/// the last one is the first that is asked.
#[test]
fn what_is_known_of_a_place_is_not_overwritten() {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    let count = MARKS as u32 - 1;
    assert_eq!(shorts(&mut net, base, count), count);
    let line = base + count * 3;
    assert_eq!(net.client_at(line, b"aaaa\r\n"), Verdict::Pass);
    assert_eq!(net.client_at(line + 6, b".\r\nNOOP\r\n"), Verdict::Pass);
    // It would take the end of data away: what follows is the LF.
    assert_ne!(net.client_at(line, b"aaaaa"), Verdict::Pass);
    assert_eq!(net.client_at(line, b"aaaa\r"), Verdict::Pass);
}
