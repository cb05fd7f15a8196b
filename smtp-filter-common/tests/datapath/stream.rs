//! The sequence discipline: new, repeated, early and impossible bytes (I1, I4, I9).

use crate::support::{ACK, End, Net, policy};
use proptest::prelude::*;
use smtp_filter_common::{
    action::Action,
    bounds::{ENTRY_RANGES, POOL_RANGES},
    reason::Reason,
    session,
    verdict::Verdict,
};

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

/// A greeted connection whose sequence numbers wrap after so many bytes of each side.
fn wrapping(after: u32) -> Net {
    let mut net = Net::new(policy());
    net.client.isn = 0_u32.wrapping_sub(1 + after);
    net.server.isn = 0_u32.wrapping_sub(1 + after);
    net.handshake();
    net.reply("220 mail.example\r\n");
    net
}

#[test]
fn retransmissions_are_read_once() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("NOOP\r\nRSET\r\n"), PASS);
    for (offset, bytes) in [(0, "NOOP\r\nRSET\r\n"), (0, "NOOP\r\n"), (6, "RSET\r\n"), (3, "P\r\nRS"), (11, "\n")] {
        assert_eq!(net.client_at(offset, bytes.as_bytes()), PASS, "{bytes:?}");
    }
    assert_eq!(net.verbs(), ["NOOP", "RSET"]);
    // Overlapping: the new part is read at its place.
    assert_eq!(net.client_at(6, b"RSET\r\nQU"), PASS);
    assert_eq!(net.client_at(10, b"\r\nQUIT\r\n"), PASS);
    assert_eq!(net.verbs(), ["QUIT"]);
    assert_eq!(net.segments(Reason::Retransmission), 5);
}

#[test]
fn retransmissions_with_other_bytes_are_dropped() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("NOOP\r\n"), PASS);
    for (offset, bytes) in [(0, "EHLO\r\n"), (0, "N"), (5, "x"), (0, "NOOP\r\r"), (4, "\n\n"), (0, "EHLO\r\nRSET\r\n")]
    {
        let same = b"NOOP\r\nRSET\r\n"[offset as usize..].starts_with(bytes.as_bytes());
        assert_eq!(net.client_at(offset, bytes.as_bytes()), if same { PASS } else { DROP }, "{bytes:?}");
    }
    assert_eq!(net.segments(Reason::ChangedRetransmission), 5);
    net.events();
    // What the server has acknowledged it does not take again.
    net.server_acks();
    assert_eq!(net.client_at(0, b"EHLO\r\n"), PASS);
    assert_eq!(net.client_at(0, b"EHLO\r\nRSET\r\n"), PASS);
    assert_eq!(net.verbs(), ["RSET"]);
}

#[test]
fn replies_with_other_bytes_are_dropped() {
    let mut net = Net::established(policy());
    net.say("EHLO x\r\n");
    net.reply("220 a\r\n250 b\r\n");
    assert_eq!(net.server_at(0, b"220 a\r\n"), PASS);
    assert_eq!(net.server_at(0, b"354 a\r\n"), DROP);
    net.client_acks();
    assert_eq!(net.server_at(0, b"354 a\r\n"), PASS);
}

#[test]
fn out_of_order_commands_and_replies_are_held_back() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.client_at(6, b"RSET\r\n"), DROP);
    assert_eq!(net.segments(Reason::OutOfOrder), 1);
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert_eq!(net.say("RSET\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP", "RSET"]);
    assert_eq!(net.server_at(net.server.next + 8, b"250 OK\r\n"), DROP);
    assert_eq!(net.segments(Reason::OutOfOrder), 2);
}

#[test]
fn bytes_beyond_the_window_are_dropped() {
    let mut net = Net::new(policy());
    net.server.window = 100;
    net.server.scale = Some(0);
    net.handshake();
    net.reply("220 x\r\n");
    assert_eq!(net.client_at(0, &[b'x'; 102]), DROP);
    assert_eq!(net.client_at(0, &[b'x'; 101]), DROP, "a receiver might cut it off in its midst");
    assert_eq!(net.segments(Reason::BeyondWindow), 2);
    assert_eq!(net.client_at(0, &[b'x'; 100]), PASS);
    assert_eq!(net.client_at(100, b"x"), PASS, "a probe of the window");
    net.client.next = 101;
    assert_eq!(net.client_at(101, b"y"), DROP);
    net.server_acks();
    assert_eq!(net.client_at(101, b"y"), PASS);
}

#[test]
fn windows_are_scaled() {
    let mut net = Net::new(policy());
    net.server.window = 2;
    net.server.scale = Some(4);
    net.client.window = 100;
    net.client.scale = Some(2);
    net.handshake();
    // In the SYN-ACK it is not scaled, so two bytes; then 32.
    net.reply("220 x\r\n");
    assert_eq!(net.client_at(0, &[b'x'; 33]), DROP);
    assert_eq!(net.client_at(0, &[b'x'; 32]), PASS);
    // Without the option of both sides nothing is.
    let mut net = Net::new(policy());
    net.server = End { window: 20, ..net.server };
    net.client.scale = None;
    net.handshake();
    assert_eq!(net.client_at(0, &[b'x'; 21]), DROP);
    assert_eq!(net.client_at(0, &[b'x'; 20]), PASS);
}

#[test]
fn sequence_numbers_wrap() {
    for after in 0..60 {
        let mut net = wrapping(after);
        for (command, answer) in [
            ("EHLO x\r\n", "250 x\r\n"),
            ("MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n", "250 x\r\n250 x\r\n354 x\r\n"),
            ("text\r\n..\r\nEHLO y\r\n.\r\n", "250 x\r\n"),
            ("QUIT\r\n", "221 x\r\n"),
        ] {
            let at = net.client.next;
            assert_eq!(net.say(command), PASS);
            assert_eq!(net.client_at(at, command.as_bytes()), PASS, "a repeat");
            let at = net.server.next;
            assert_eq!(net.reply(answer), PASS);
            assert_eq!(net.server_at(at, answer.as_bytes()), PASS, "a repeat");
        }
        assert_eq!(net.verbs(), ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"], "after {after}");
    }
}

#[test]
fn no_end_of_data_is_taken_for_read_where_sequence_numbers_wrap() {
    // The end of the forged copy stands at number 0.
    let mut net = wrapping(6 + 10);
    net.say("DATA\r\n");
    net.reply("354 x\r\n");
    assert_eq!(net.say("xxxxxxxxxxEHLO x\r\n"), PASS);
    assert_eq!(net.client_at(6, b"xxxxx\r\n.\r\n"), DROP);
}

#[test]
fn late_end_of_data_resets() {
    let mut net = Net::in_text(policy());
    let at = net.client.next;
    assert_eq!(net.client_at(at + 5, b"EHLO behind\r\n"), PASS);
    assert_eq!(net.segments(Reason::OutOfOrderData), 1);
    assert_eq!(net.client_at(at, b"x\r\n.\r"), PASS);
    let mut net = Net::in_text(policy());
    let at = net.client.next;
    assert_eq!(net.client_at(at + 6, b"EHLO behind\r\n"), PASS);
    assert_eq!(net.client_at(at, b"x\r\n.\r\n"), Verdict::Reset);
    assert_eq!(net.segments(Reason::LateEndOfData), 1);
}

#[test]
fn mail_data_with_a_possible_end_of_data_is_held_back() {
    for early in ["\nxxxx", "\r\nxxx", ".\r\nxx", "x\r\n.\r\n", "abc", "\r\n.\r\nx"] {
        let mut net = Net::in_text(policy());
        let at = net.client.next;
        assert_eq!(net.client_at(at + 10, early.as_bytes()), DROP, "{early:?}");
        assert_eq!(net.segments(Reason::OutOfOrder), 1);
    }
}

#[test]
fn out_of_order_text_of_more_gaps_than_are_remembered_waits() {
    let mut net = Net::in_text(policy());
    let at = net.client.next;
    let gaps = (ENTRY_RANGES + POOL_RANGES) as u32;
    for i in 0..gaps {
        assert_eq!(net.client_at(at + 10 * (gaps - i), b"xxxx"), PASS, "{i}");
    }
    assert_eq!(net.client_at(at + 10 * gaps + 100, b"xxxx"), DROP);
    assert_eq!(net.segments(Reason::OutOfOrder), 1);
    // After one that is there it fits, and between two that it joins.
    assert_eq!(net.client_at(at + 14, b"xxxx"), PASS);
    assert_eq!(net.client_at(at + 24, b"xxxxxx"), PASS);
    assert_eq!(net.client_at(at + 10 * gaps + 100, b"xxxx"), PASS);
    // A repeat of each of them passes, one with an end of data does not.
    for i in 0..gaps {
        assert_eq!(net.client_at(at + 10 * (gaps - i), b"xxxx"), PASS, "{i}");
    }
    assert_eq!(net.client_at(at + 40, b"\n.\r\n"), DROP);
    // What fills the gaps goes on where they end, and the slot is given back.
    let reached = |net: &Net| {
        let half = net.state().side[0];
        half.next.since(half.isn) - 1
    };
    loop {
        let next = reached(&net);
        if next >= at + 10 * gaps + 4 {
            break;
        }
        assert_eq!(net.client_at(next, b"xxxxxx"), PASS, "{}", next - at);
    }
    assert_ne!(net.state().memory.slot, 0);
    net.client.next = reached(&net);
    let rest = at + 10 * gaps + 100 - net.client.next;
    assert_eq!(net.say("x".repeat(rest as usize)), PASS);
    net.client.next = reached(&net);
    assert_eq!(net.client.next, at + 10 * gaps + 104);
    assert_eq!(net.say("x\r\n.\r\n"), PASS);
    assert_eq!(net.mode(), session::Mode::COMMAND);
    // The slot is given back with the reply.
    assert_eq!(net.reply("250 ok\r\n"), PASS);
    assert_eq!(net.state().memory.slot, 0);
}

#[test]
fn chunk_bytes_may_be_out_of_order_up_to_its_end() {
    let mut net = Net::greeted(policy());
    net.say("EHLO x\r\n");
    net.reply("250-x\r\n250 CHUNKING\r\n");
    assert_eq!(net.say("BDAT 20\r\n"), PASS);
    let at = net.client.next;
    assert_eq!(net.client_at(at + 21, b"NOOP"), DROP, "after the chunk");
    assert_eq!(net.client_at(at + 15, b"67890"), PASS);
    assert_eq!(net.client_at(at, b"1234567890"), PASS);
    assert_eq!(net.client_at(at + 10, b"12345"), PASS);
    assert_eq!(net.mode(), session::Mode::COMMAND);
    net.client.next = at + 20;
    net.events();
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP"]);
}

#[test]
fn a_chunk_filled_by_a_segment_that_goes_on() {
    let mut net = Net::greeted(policy());
    net.say("EHLO x\r\n");
    net.reply("250-x\r\n250 CHUNKING\r\n");
    net.say("BDAT 10\r\n");
    net.events();
    let at = net.client.next;
    assert_eq!(net.client_at(at + 5, b"67890"), PASS);
    assert_eq!(net.client_at(at, b"1234567890NOOP\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP"]);
    net.client.next = at + 16;
    assert_eq!(net.say("RSET\r\n"), PASS);
    assert_eq!(net.verbs(), ["RSET"]);
}

#[test]
fn long_groups_are_kept_in_a_wide_window() {
    let mut net = Net::greeted(policy());
    let group = "RCPT TO:<somebody@example.org>\r\n".repeat(60);
    assert_eq!(net.say(&group), PASS);
    assert_eq!(net.client_at(0, group.as_bytes()), PASS);
    let mut other = group.clone().into_bytes();
    other[1900] ^= 1;
    assert_eq!(net.client_at(0, &other), DROP);
    assert_eq!(net.client_at(1000, &group.as_bytes()[1000..1100]), PASS);
    assert_eq!(net.segments(Reason::ChangedRetransmission), 1);
    // More than that waits for acknowledgements.
    for _ in 0..3 {
        assert_eq!(net.say(&group), PASS);
    }
    assert_eq!(net.say(&group), DROP);
    assert_eq!(net.segments(Reason::Backlog), 1);
    net.server_acks();
    assert_eq!(net.say(&group), PASS);
    assert_eq!(net.verbs().iter().filter(|verb| *verb == "RCPT").count(), 300);
    net.server_acks();
    let at = net.client.next;
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert_eq!(net.client_at(at, b"NOOP\r\n"), PASS);
    assert_eq!(net.client_at(at, b"EHLO\r\n"), DROP);
}

#[test]
fn from_a_narrow_window_to_a_wide_one() {
    let mut net = Net::greeted(policy());
    let line = "RCPT TO:<somebody@example.org>\r\n";
    for _ in 0..20 {
        assert_eq!(net.say(line), PASS);
    }
    for at in 0..20 {
        assert_eq!(net.client_at(at * 32, line.as_bytes()), PASS, "{at}");
        assert_eq!(net.client_at(at * 32, b"EHLO"), DROP, "{at}");
    }
    let whole = line.repeat(20);
    assert_eq!(net.client_at(0, whole.as_bytes()), PASS);
}

#[test]
fn mail_data_over_many_segments_with_retransmissions_of_what_lies_around_it() {
    let mut net = Net::in_text(policy());
    let data = net.client.next - 6;
    let at = net.client.next;
    // The acknowledgement of DATA was in the 354; the text's is not.
    assert_eq!(net.say("a\r\n.\r\nNOOP\r\n"), PASS);
    assert_eq!(net.client_at(at, b"a\r\n.\r\nNOOP\r\n"), PASS);
    assert_eq!(net.client_at(at, b"b\r\n.\r\nNOOP\r\n"), PASS, "text may change");
    assert_eq!(net.client_at(at, b"a\r\n.\r\nEHLO\r\n"), DROP, "commands may not");
    assert_eq!(net.client_at(at, b"a\r\n..\rNOOP\r\n"), DROP, "nor the end");
    assert_eq!(net.client_at(data, b"DATA\r\na\r\n.\r\nNOOP\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP", "guards.changed_retransmission"]);
}

#[test]
fn after_a_drop_the_retransmission_passes_once_the_policy_allows_it() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    assert_eq!(net.say("EH"), PASS);
    assert_eq!(net.client_at(0, b"EHLO x\r\n"), DROP);
    assert_eq!(net.client_at(0, b"XX"), DROP);
    net.set("EHLO", Action::Log);
    net.events();
    assert_eq!(net.client_at(0, b"EHLO x\r\n"), PASS);
    assert_eq!(net.verbs(), ["EHLO"]);
}

/// Segments of a text: where each begins.
fn cut(text: &[u8], lengths: &[usize]) -> Vec<(u32, Vec<u8>)> {
    let (mut out, mut at) = (Vec::new(), 0);
    for length in lengths {
        let to = (at + length).min(text.len());
        if to > at {
            out.push((at as u32, text[at..to].to_vec()));
        }
        at = to;
    }
    if at < text.len() {
        out.push((at as u32, text[at..].to_vec()));
    }
    out
}

/// Sends segments in this order, each again until it passes, as a client does; the server acknowledges what it has.
fn deliver(net: &mut Net, segments: &[(u32, Vec<u8>)], acks: bool) {
    let at = net.client.next;
    let length: usize = segments.iter().map(|segment| segment.1.len()).sum();
    let mut have = vec![false; length];
    let mut waiting = segments.to_vec();
    for _ in 0..segments.len() + 1 {
        waiting.retain(|(offset, bytes)| {
            let verdict = net.client_at(at + offset, bytes);
            assert_ne!(verdict, Verdict::Reset, "{:?}", String::from_utf8_lossy(bytes));
            if verdict == PASS {
                have[*offset as usize..*offset as usize + bytes.len()].fill(true);
                if acks {
                    let got = have.iter().take_while(|have| **have).count();
                    net.server.acked = at + got as u32;
                    net.server_at(net.server.next, b"");
                }
            }
            verdict != PASS
        });
    }
    assert!(waiting.is_empty(), "stuck: {waiting:?}");
    net.client.next = at + length as u32;
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn an_end_of_data_split_into_five_is_found_once_in_any_order(
        order in Just((0..7_usize).collect::<Vec<_>>()).prop_shuffle(),
        acks: bool,
    ) {
        let segments = cut(b"text\r\n.\r\n", &[4, 1, 1, 1, 1, 1]);
        let segments: Vec<_> = order.iter().filter_map(|i| segments.get(*i).cloned()).collect();
        let mut net = Net::in_text(policy());
        deliver(&mut net, &segments, acks);
        prop_assert_eq!(net.mode(), session::Mode::COMMAND);
        net.reply("250 OK\r\n");
        prop_assert_eq!(net.state().session.messages, 1);
    }

    #[test]
    fn segments_of_a_mail_in_any_order(
        lengths in prop::collection::vec(1_usize..30, 5),
        order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(),
        lines in prop::collection::vec("[a-z.]{0,12}", 1..12),
        acks: bool,
    ) {
        let mut text = Vec::new();
        for line in &lines {
            if line.starts_with('.') {
                text.push(b'.');
            }
            text.extend(line.as_bytes());
            text.extend(b"\r\n");
        }
        let end = text.len() + 3;
        text.extend(b".\r\n");
        let segments = cut(&text, &lengths);
        let segments: Vec<_> = order.iter().filter_map(|i| segments.get(*i).cloned()).collect();
        let mut net = Net::in_text(policy());
        let at = net.client.next;
        deliver(&mut net, &segments, acks);
        prop_assert_eq!(net.mode(), session::Mode::COMMAND);
        let state = net.state();
        let found = state.memory.end_of_data[0].0.wrapping_sub(net.client.isn).wrapping_sub(1).wrapping_sub(at);
        prop_assert_eq!(found as usize, end);
        prop_assert_eq!(state.side[0].bytes, u64::from(net.client.next));
    }

    #[test]
    fn commands_in_any_order_with_retransmissions(
        lengths in prop::collection::vec(1_usize..20, 1..8),
        order in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle(),
        repeats in prop::collection::vec((0_u32..60, 1_usize..40), 0..6),
    ) {
        let text = b"MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nRCPT TO:<c@c>\r\nRSET\r\n";
        let mut net = Net::greeted(policy());
        let at = net.client.next;
        let segments = cut(text, &lengths);
        let segments: Vec<_> = order.iter().filter_map(|i| segments.get(*i).cloned()).collect();
        deliver(&mut net, &segments, false);
        for (offset, length) in repeats {
            let from = (offset as usize).min(text.len() - 1);
            let to = (from + length).min(text.len());
            prop_assert_eq!(net.client_at(at + from as u32, &text[from..to]), PASS);
        }
        prop_assert_eq!(net.verbs(), ["MAIL", "RCPT", "RCPT", "RSET"]);
    }
}

#[test]
fn commands_after_an_end_of_data_that_comes_late() {
    // RFC 2920 section 3.1 lets them follow at once. Where the end is lost they have passed as text: the one way out.
    let mut net = Net::in_text(policy());
    let at = net.client.next;
    assert_eq!(net.client_at(at + 7, b"QUIT\r\n"), PASS);
    assert_eq!(net.client_at(at, b"xx\r\n.\r\n"), Verdict::Reset);
}

#[test]
fn a_forged_acknowledgement_of_what_has_not_passed_says_nothing() {
    let mut net = Net::greeted(policy());
    net.server.acked = 5000;
    assert_eq!(net.server_at(net.server.next, b""), Verdict::Drop);
    assert_eq!(net.segments(Reason::OutsideAcknowledgement), 1);
    assert_eq!(net.client_at(0, b"NOOP\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP"]);
}

/// A repeat that ended between the CR and the LF of the line's end, while nothing had come behind it, was acknowledged
/// there: what begins there again is known by what came behind.
#[test]
fn text_goes_on_from_an_acknowledgement_within_a_lines_end() {
    let mut net = Net::in_text(policy());
    let start = net.client.next;
    assert_eq!(net.say("hello\r\n"), Verdict::Pass);
    assert_eq!(net.client_at(start, b"hello\r"), Verdict::Pass);
    net.server.acked = start + 6;
    assert_eq!(net.segment(false, net.server.next, ACK, b""), Verdict::Pass);
    for _ in 0..3 {
        assert_eq!(net.client_at(start + 6, b"\nworld\r\n"), Verdict::Pass);
    }
    assert_eq!(net.client_at(start + 6, b"\nw"), Verdict::Pass);
    // Not one that another line's end was made of.
    assert_eq!(net.client_at(start + 6, b"\n.\r\nx"), Verdict::Drop);
    assert_eq!(net.client_at(start + 6, b"xworld\r\n"), Verdict::Drop);
}
