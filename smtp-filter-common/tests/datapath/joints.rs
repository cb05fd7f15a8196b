//! Boundaries where a receiver may go over from one copy to another, in mail data that came out of order (I4). An
//! attacker chooses which segments the server discards: those count for the filter and not for the server.

use crate::support::*;
use smtp_filter_common::{bounds::ENTRY_BOUNDARIES, reason::Reason, verdict::Verdict};

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

/// The attack: every boundary is taken by segments that the server discards, then `filler` ends in the middle of an end
/// of data where mail data that passed out of order begins. The server discards that, too, and acknowledges the joint;
/// what follows it is sent again, `rest` in its place.
fn attack(filler: &[u8], rest: &[u8]) {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    let discarded = shorts(&mut net, base, ENTRY_BOUNDARIES as u32);
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
        let discarded = shorts(&mut net, base, ENTRY_BOUNDARIES as u32);
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

/// A segment fills a gap and ends inside what came out of order, of which no bytes are kept: what follows its end might
/// end the mail. A receiver may go over from one copy to another there.
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

/// What is known of a place stays known, whatever the boundary after it says of it. All but one boundary are taken, so
/// that the last one is the first that is asked.
#[test]
fn what_is_known_of_a_place_is_not_overwritten() {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    let count = ENTRY_BOUNDARIES as u32 - 1;
    assert_eq!(shorts(&mut net, base, count), count);
    let line = base + count * 3;
    assert_eq!(net.client_at(line, b"aaaa\r\n"), Verdict::Pass);
    assert_eq!(net.client_at(line + 6, b".\r\nNOOP\r\n"), Verdict::Pass);
    // It would take the end of data away: what follows is the LF.
    assert_ne!(net.client_at(line, b"aaaaa"), Verdict::Pass);
    assert_eq!(net.client_at(line, b"aaaa\r"), Verdict::Pass);
}

/// What a segment before a gap may begin with, and the ends of what fills the gap that make an end of data of it.
const COMPLETED: [(&[u8], &[u8]); 3] = [(b"\n", b"\r\n.\r"), (b"\r\n", b"\r\n."), (b".\r\n", b"\r\n")];
/// What it goes on with.
const REST: &[u8] = b"and sixteen octets\r\n";
/// Ends of what fills the gap.
const ENDINGS: [&[u8]; 6] = [b"a", b"a\r", b"\r\n", b"\r\n.", b"\r\n.\r", b".\r"];
const GAP: u32 = 20;

/// So many octets that end so.
fn filler(ending: &[u8]) -> Vec<u8> {
    let mut filler = vec![b'a'; GAP as usize - ending.len()];
    filler.extend(ending);
    filler
}

fn held_back(net: &Net) -> u64 {
    net.segments(Reason::OutOfOrder)
}

/// The first octets of a segment could be the last ones of an end of data. It passes before the gap is filled all the
/// same, and comes again like any other; with what fills the gap the mail goes on, up to its end.
#[test]
fn mail_data_that_might_end_the_mail_passes_out_of_order() {
    for (begins, ends_it) in COMPLETED {
        for ending in ENDINGS.into_iter().filter(|ending| *ending != ends_it) {
            let what = format!("{:?} after {:?}", begins.escape_ascii(), ending.escape_ascii());
            let mut net = Net::in_text(policy());
            let base = net.client.next;
            let after = [begins, REST].concat();
            let end = base + GAP + after.len() as u32;
            assert_eq!(net.client_at(base + GAP, &after), Verdict::Pass, "{what}");
            assert_eq!(net.client_at(end, b"more of it\r\n"), Verdict::Pass, "{what}");
            assert_eq!(net.client_at(base + GAP, &after), Verdict::Pass, "{what}, again");
            assert_eq!(net.client_at(base, &filler(ending)), Verdict::Pass, "{what}");
            // Whatever comes again.
            assert_eq!(net.client_at(base, &filler(ending)), Verdict::Pass, "{what}");
            assert_eq!(net.client_at(base + GAP, &after), Verdict::Pass, "{what}");
            assert_eq!(net.client_at(base, &[&filler(ending)[..], &after].concat()), Verdict::Pass, "{what}");
            assert_eq!(net.client_at(end + 12, b".\r\n"), Verdict::Pass, "{what}");
            net.server.acked = end + 15;
            net.reply("250 x\r\n");
            net.client.next = end + 15;
            assert_eq!(net.say("QUIT\r\n"), Verdict::Pass, "{what}");
            assert_eq!(net.verbs().last().map(String::as_str), Some("QUIT"), "{what}");
            assert_eq!(held_back(&net), 0, "{what}");
        }
    }
}

/// The same, and it is one: what came after it is no mail data.
#[test]
fn an_end_of_data_across_a_joint_resets() {
    for (begins, ends_it) in COMPLETED {
        let mut net = Net::in_text(policy());
        let base = net.client.next;
        let after = [begins, b"VRFY root\r\nNOOP\r\n"].concat();
        assert_eq!(net.client_at(base + GAP, &after), Verdict::Pass);
        assert_eq!(net.client_at(base, &filler(ends_it)), Verdict::Reset);
        assert_eq!(net.segments(Reason::LateEndOfData), 1);
        // In two segments.
        let mut net = Net::in_text(policy());
        let base = net.client.next;
        let filler = filler(ends_it);
        assert_eq!(net.client_at(base + GAP, &after), Verdict::Pass);
        assert_eq!(net.client_at(base, &filler[..18]), Verdict::Pass);
        assert_eq!(net.client_at(base + 18, &filler[18..]), Verdict::Reset);
    }
}

/// The part before the joint comes out of order, too: it has to wait, and resets when all before it has come.
#[test]
fn an_end_of_data_across_a_joint_of_two_out_of_order_passes_not() {
    for (begins, ends_it) in COMPLETED {
        for ending in ENDINGS {
            let mut net = Net::in_text(policy());
            let base = net.client.next;
            let (before, after) = (filler(ending), [begins, REST].concat());
            assert_eq!(net.client_at(base + 8 + GAP, &after), Verdict::Pass);
            let passes = if ending == ends_it { Verdict::Drop } else { Verdict::Pass };
            assert_eq!(net.client_at(base + 8, &before), passes);
            assert_eq!(net.client_at(base, b"aaaaaaaa"), Verdict::Pass);
            // What is known of the joint is known to retransmissions of either side.
            for other in ENDINGS {
                let mut expected = if other == ending { Verdict::Pass } else { Verdict::Drop };
                if ending == ends_it {
                    break;
                }
                // The same state by other bytes.
                if (other, ending) == (b".\r", b"a\r") || (other, ending) == (b"a\r", b".\r") {
                    expected = Verdict::Pass;
                }
                assert_eq!(net.client_at(base + 8, &filler(other)), expected, "{other:?} for {ending:?}");
            }
            if ending == ends_it {
                assert_eq!(net.client_at(base + 8, &before), Verdict::Reset);
            }
        }
    }
}

/// Other first octets than those that passed would end the mail data after another state.
#[test]
fn what_passed_before_a_gap_comes_again_with_the_same_first_octets() {
    for (begins, _) in COMPLETED {
        for (others, _) in COMPLETED {
            let mut net = Net::in_text(policy());
            let base = net.client.next;
            assert_eq!(net.client_at(base + GAP, &[begins, b"aaaaaaaaaaaaaaaaaaaa"].concat()), Verdict::Pass);
            let again = [others, b"aaaaaaaa"].concat();
            let expected = if begins == others { Verdict::Pass } else { Verdict::Drop };
            assert_eq!(net.client_at(base + GAP, &again), expected, "{others:?} for {begins:?}");
            assert_eq!(net.client_at(base + GAP + 1, b"\naaaaaaaa"), Verdict::Drop);
            assert_eq!(net.client_at(base + GAP, b"\n.\r\naaaaaaaaaaaaa"), Verdict::Drop);
        }
    }
}

/// A sender puts segments together before it sends them again, and leaves them so: what fills the gap may go beyond the
/// joint. What it has there is never what was barred, nor is it in any retransmission.
#[test]
fn what_fills_the_gap_goes_beyond_the_joint() {
    for (begins, ends_it) in COMPLETED {
        let after = [begins, REST].concat();
        for length in [6, after.len(), after.len() + 8] {
            let mut net = Net::in_text(policy());
            let base = net.client.next;
            let whole = |ending: &[u8], after: &[u8]| {
                let whole = [&filler(ending)[..], after, b"and more"].concat();
                whole[..GAP as usize + length].to_vec()
            };
            assert_eq!(net.client_at(base + GAP, &after), Verdict::Pass);
            // Other octets after the joint, so that the segment has no end of data itself.
            let others = [b"a" as &[u8], &after[1..]].concat();
            assert_eq!(net.client_at(base, &whole(ends_it, &others)), Verdict::Drop, "{length}");
            assert_eq!(net.client_at(base, &whole(b"a", &after)), Verdict::Pass, "{length}");
            assert_eq!(net.client_at(base, &whole(b"a", &after)), Verdict::Pass, "{length}");
            assert_eq!(net.client_at(base, &whole(ends_it, &others)), Verdict::Drop, "{length}");
            assert_eq!(net.client_at(base, &filler(ends_it)), Verdict::Drop, "{length}");
        }
    }
}

/// More gaps than the entry has room for: the same in the shared pool.
#[test]
fn an_end_of_data_across_a_joint_resets_where_the_pool_remembers() {
    for (begins, ends_it) in COMPLETED {
        for bad in [false, true] {
            let mut net = Net::in_text(policy());
            let base = net.client.next;
            for i in 0..40 {
                assert_eq!(net.client_at(base + 1000 + i * 30, b"aaaa"), Verdict::Pass);
            }
            let after = [begins, REST].concat();
            assert_eq!(net.client_at(base + GAP, &after), Verdict::Pass);
            let other = if begins == b"\n" { b"\r\n" } else { b"\n" as &[u8] };
            assert_eq!(net.client_at(base + GAP, &[other, REST].concat()), Verdict::Drop);
            assert_eq!(net.client_at(base + GAP, &after), Verdict::Pass);
            let (ending, expected) = if bad { (ends_it, Verdict::Reset) } else { (b"a" as &[u8], Verdict::Pass) };
            assert_eq!(net.client_at(base, &filler(ending)), expected);
        }
    }
}

/// A short one waits: a client may have sent its QUIT with the end of the mail.
#[test]
fn short_segments_that_might_end_the_mail_wait() {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    for after in ["\nQUIT\r\n", "\r\nQUIT\r\n", ".\r\nQUIT\r\n"] {
        assert_eq!(net.client_at(base + GAP, after.as_bytes()), Verdict::Drop);
    }
    // This one might end it after two states.
    assert_eq!(net.client_at(base + GAP, b"\n.\r\nand sixteen octets"), Verdict::Drop);
    assert_eq!(held_back(&net), 4);
}
