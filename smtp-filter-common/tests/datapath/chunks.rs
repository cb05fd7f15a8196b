//! Chunks in flight (RFC 3030): any number of them without waiting, in any order, and retransmissions of them (I1, I3,
//! I4).

use crate::support::{Net, policy, stream::rounds};
use smtp_filter_common::{reason::Reason, session, verdict::Verdict};
use smtp_filter_testkit::Random;

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;

fn offered() -> Net {
    let mut net = Net::greeted(policy());
    net.say("EHLO x\r\n");
    net.reply("250-x\r\n250 CHUNKING\r\n");
    net.server_acks();
    net.events();
    net.client.window = 0xffff;
    net.server.scale = Some(14);
    net
}

fn bdat(octets: usize, last: bool) -> Vec<u8> {
    let last = if last { " LAST" } else { "" };
    let mut bytes = format!("BDAT {octets}{last}\r\n").into_bytes();
    bytes.extend((0..octets).map(|i| if i % 9 == 0 { b'\n' } else { b'Q' }));
    bytes
}

#[test]
fn any_number_of_chunks_alike_flows_without_an_acknowledgement() {
    for octets in [1, 300, 1024, 8192] {
        let mut net = offered();
        for i in 0..2000 {
            assert_eq!(net.say(bdat(octets, false)), PASS, "{i} of {octets}");
            if net.client.next > 1_000_000 {
                break;
            }
        }
        assert_eq!(net.segments(Reason::Backlog), 0);
        let next = net.client.next;
        assert_eq!(net.say("BDAT 3 LAST\r\nxyzNOOP\r\n"), PASS);
        assert_eq!(net.verbs().last().map(String::as_str), Some("NOOP"));
        // A retransmission of all, cut otherwise, passes; one with another size does not.
        let whole = bdat(octets, false);
        let all: Vec<u8> = whole.iter().copied().cycle().take(whole.len() + 4000).collect();
        let base = next - (next - 8) / whole.len() as u32 * whole.len() as u32;
        for (at, length) in [(0, 700), (3, 1448), (100, 61), (whole.len() + 2, 900)] {
            let offset = base + at as u32;
            if offset + length > next {
                continue;
            }
            let bytes = &all[at..at + length as usize];
            assert_eq!(net.client_at(offset, bytes), PASS, "{octets}: {at}");
            let mut other = bytes.to_vec();
            let line =
                other.windows(5).position(|five| five == b"BDAT ").map(|at| at + 5).filter(|at| *at < other.len());
            if let Some(digit) = line {
                other[digit] ^= 3;
                assert_eq!(net.client_at(offset, &other), DROP, "{octets}: {at}");
            }
        }
    }
}

/// A dialogue of chunks, torn into segments that come in any order, are lost, and come again with the same and with
/// other bytes. What a receiver that keeps the first copy and one that keeps the last copy assemble is what was judged.
#[test]
fn chunks_in_any_order_read_as_they_were_judged() {
    for seed in 0..rounds() {
        let mut dice = Random::new(seed * 2 + 1);
        let mut net = offered();
        let base = net.client.next;
        let (mut stream, mut verbs, mut lines, mut ends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..1 + dice.below(30) {
            let at = stream.len();
            if dice.one_in(6) {
                stream.extend(b"NOOP\r\n");
                verbs.push("NOOP");
            } else {
                let octets = if dice.one_in(2) { 40 } else { 1 + dice.below(120) as usize };
                stream.extend(bdat(octets, dice.one_in(5)));
                stream.truncate(stream.len() - octets);
                lines.push((at, stream.len()));
                stream.extend(vec![b'x'; octets]);
                verbs.push("BDAT");
                ends.push(stream.len());
                continue;
            }
            lines.push((at, stream.len()));
            ends.push(stream.len());
        }
        // What each kind of receiver has.
        let mut first: Vec<Option<u8>> = vec![None; stream.len()];
        let mut last = first.clone();
        let mut queue = Vec::new();
        let mut replied = 0;
        let mut at = 0;
        while at < stream.len() {
            let length = (1 + dice.below(90) as usize).min(stream.len() - at);
            queue.push((at, length));
            at += length;
        }
        for round in 0..4000 {
            if queue.is_empty() {
                break;
            }

            assert!(round < 3999, "seed {seed}: it stands still");
            let which = if dice.one_in(3) { dice.below(queue.len() as u32) as usize } else { 0 };
            let (at, length) = queue[which];
            let evil = dice.one_in(4);
            let mut bytes = stream[at..at + length].to_vec();
            if evil {
                let place = dice.below(length as u32) as usize;
                bytes[place] = b"5\r\nE "[dice.below(5) as usize];
                // What has not passed yet is what the sender says it is.
                if first[at..at + length].iter().any(Option::is_none) {
                    continue;
                }
            }
            if net.client_at(base + at as u32, &bytes) == PASS {
                for (i, byte) in bytes.iter().enumerate() {
                    first[at + i].get_or_insert(*byte);
                    last[at + i] = Some(*byte);
                }
                if !evil && dice.one_in(2) {
                    queue.remove(which);
                }
            } else {
                assert!(evil || which > 0 || net.segments(Reason::ChangedRetransmission) == 0 || at > 0, "seed {seed}");
            }
            if dice.one_in(8) {
                // An acknowledgement of what a receiver may have.
                let whole = first.iter().take_while(|byte| byte.is_some()).count() as u32;
                let acked = base + whole.saturating_sub(dice.below(100));
                if acked > net.server.acked {
                    net.server.acked = acked;
                    let due = ends.iter().filter(|end| base + **end as u32 <= acked).count();
                    let replies = "250 ok\r\n".repeat(due - replied);
                    replied = due;
                    assert_eq!(net.server_at(net.server.next, replies.as_bytes()), PASS);
                    net.server.next += replies.len() as u32;
                    net.client.acked = net.server.next;
                }
            }
        }
        let reported: Vec<String> = net.verbs().into_iter().filter(|name| !name.starts_with("guards.")).collect();
        assert_eq!(reported, verbs, "seed {seed}");
        for (from, to) in lines {
            for copy in [&first, &last] {
                let line: Vec<u8> = copy[from..to].iter().map(|byte| byte.expect("all has passed")).collect();
                assert!(line.eq_ignore_ascii_case(&stream[from..to]), "seed {seed}: {}", line.escape_ascii());
            }
        }
        assert_eq!(net.mode(), session::Mode::COMMAND);
    }
}

/// Bytes that come after the server has refused the chunk are nobody's chunk.
#[test]
fn a_hole_in_a_refused_chunk_is_not_filled() {
    let mut net = offered();
    assert_eq!(net.say("BDAT 100\r\n"), PASS);
    let at = net.client.next;
    assert_eq!(net.client_at(at + 90, b"xxxxxxxxxx"), PASS);
    net.server.acked = at;
    assert_eq!(net.reply("503 no\r\n"), PASS);
    assert_eq!(net.client_at(at, b"VRFY root\r\n"), Verdict::Reset);
    assert_eq!(net.segments(Reason::BdatRefused), 1);
}

#[test]
fn a_hole_is_filled_where_the_chunk_is_taken() {
    let mut net = offered();
    assert_eq!(net.say("BDAT 100\r\n"), PASS);
    let at = net.client.next;
    assert_eq!(net.client_at(at + 90, b"xxxxxxxxxxNOOP\r\n"), PASS);
    assert_eq!(net.client_at(at, &[b'y'; 90]), PASS);
    net.client.next = at + 106;
    net.server_acks();
    assert_eq!(net.reply("250 ok\r\n"), PASS);
    assert_eq!(net.say("BDAT 5 LAST\r\n12345"), PASS);
    assert_eq!(net.state().memory.missing, 0);
}
