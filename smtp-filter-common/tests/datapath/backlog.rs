//! A segment for which there is no room: it is held back, and reading it again costs nothing until there may be room.
//!
//! Invariants: I8.

use crate::support::*;
use smtp_filter_common::{
    action::Action,
    bounds::{LINES, PENDING},
    reason::Reason,
    verdict::Verdict,
};

const MILLISECOND: u64 = 1_000_000;

/// Empty lines, and commands after them for which there is no room.
fn empty_lines() -> String {
    "\n".repeat(200) + &"RSET\r\nQUIT\r\n".repeat(PENDING)
}

/// Whether a segment that is held back was read: then it is noted anew.
fn read(net: &mut Net, segment: &str) -> bool {
    let key = net.key();
    let held = |net: &Net| {
        net.world.connection(&key).expect("it is live").shared.held.load(std::sync::atomic::Ordering::Relaxed)
    };
    let before = held(net);
    assert_eq!(net.client_at(net.client.next, segment.as_bytes()), Verdict::Drop);
    held(net) != before
}

#[test]
fn what_found_no_room_is_not_read_again_before_the_server_speaks() {
    let mut net = Net::greeted(policy());
    let segment = empty_lines();
    assert!(read(&mut net, &segment));
    for _ in 0..20 {
        net.now += MILLISECOND;
        assert!(!read(&mut net, &segment));
        assert!(!read(&mut net, &(segment.clone() + "NOOP\r\n")), "nor what brings more");
    }
    assert_eq!(net.segments(Reason::Backlog), 41);
    // An acknowledgement of what was acknowledged already makes no room.
    assert_eq!(net.server_acks(), Verdict::Pass);
    assert!(!read(&mut net, &segment));
    // A reply does.
    assert_eq!(net.reply("250 unasked\r\n"), Verdict::Pass);
    assert!(read(&mut net, &segment));
    // Time does: a sender cuts its segments smaller then.
    net.now += 150 * MILLISECOND;
    assert!(read(&mut net, &segment));
}

#[test]
fn a_smaller_one_passes_after_a_while() {
    let mut net = Net::greeted(policy());
    assert!(read(&mut net, &empty_lines()));
    net.now += 200 * MILLISECOND;
    assert_eq!(net.say("NOOP\r\n"), Verdict::Pass);
}

#[test]
fn lines_of_one_segment_are_bounded() {
    for (lines, verdict) in [(LINES, Verdict::Pass), (LINES + 1, Verdict::Drop)] {
        for line in ["\n", "\r\n", "NOOP\r\n"] {
            let mut net = Net::greeted(policy());
            assert_eq!(net.say(line.repeat(lines as usize)), verdict, "{lines} {line:?}");
            assert_eq!(net.segments(Reason::ManyLines), u64::from(verdict == Verdict::Drop));
        }
    }
}

/// A merged segment holds many small chunks: their sender never cuts it smaller where all others pass.
#[test]
fn large_segments_have_more_lines() {
    for (octets, verdict) in [(23, Verdict::Pass), (22, Verdict::Drop)] {
        let mut net = Net::greeted(policy());
        net.say("EHLO x\r\n");
        net.reply("250-x\r\n250 CHUNKING\r\n");
        let chunk = format!("BDAT {octets}\r\n{}", "x".repeat(octets));
        assert_eq!(net.say(chunk.repeat(2000)), verdict, "{octets}");
        assert_eq!(net.segments(Reason::ManyLines), u64::from(verdict == Verdict::Drop));
    }
}

/// A segment with many lines that is blocked, and good bytes in between: it is not read each time.
#[test]
fn what_was_blocked_after_many_lines_is_not_read_again_at_once() {
    let mut net = Net::greeted(policy());
    net.set("VRFY", Action::Drop);
    let crowd = "\n".repeat(200) + "VRFY root\r\n";
    assert!(read(&mut net, &crowd));
    for _ in 0..20 {
        net.now += MILLISECOND;
        assert!(!read(&mut net, &crowd));
        assert!(!read(&mut net, "NOOP\r\n"), "nor what is good");
        net.reply("250 unasked\r\n");
    }
    assert_eq!(net.segments(Reason::DroppedCommand), 1);
    net.now += 200 * MILLISECOND;
    assert_eq!(net.say("NOOP\r\n"), Verdict::Pass, "a limit slows down, and ends");
    assert!(read(&mut net, &crowd));
}

/// An honest client's short group with a dropped command goes on with its next retransmission, once it is allowed.
#[test]
fn what_was_blocked_after_few_lines_is_read_again() {
    let mut net = Net::greeted(policy());
    net.set("VRFY", Action::Drop);
    let group = "RSET\r\n".repeat(10) + "VRFY root\r\n";
    assert!(!read(&mut net, &group));
    net.set("VRFY", Action::Pass);
    assert_eq!(net.say(group), Verdict::Pass);
}

/// Segments that bring nothing new, or begin elsewhere, are judged as ever.
#[test]
fn other_segments_go_on() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("NOOP\r\n"), Verdict::Pass);
    let noop = net.client.next - 6;
    assert!(read(&mut net, &empty_lines()));
    assert_eq!(net.client_at(noop, b"NOOP\r\n"), Verdict::Pass, "a retransmission");
    assert_eq!(net.segments(Reason::Retransmission), 1);
}
