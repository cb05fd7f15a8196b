//! The SMTP automaton: what is judged, and when (I1, I2, I3, I6).

use crate::support::{Net, arg, name, policy};
use proptest::prelude::*;
use smtp_filter_common::{
    action::Action,
    bounds::WORD,
    entry::{Line, Session, Side},
    event::{ARG_WITHHELD, Event},
    reason::{FIRST_NAME, Reason},
    session::{Mode, verb::Command},
    verdict::Verdict,
};

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;

/// What one side says.
#[derive(Clone, Copy)]
enum Turn {
    Client(&'static str),
    Server(&'static str),
}
use Turn::{Client as C, Server as S};

const PLAIN: &[Turn] = &[
    S("220-mail.example\r\n220 ready\r\n"),
    C("helo c.example\r\n"),
    S("250 mail.example\r\n"),
    C("NOOP\r\n"),
    S("250 OK\r\n"),
    C("QUIT\r\n"),
    S("221 bye\r\n"),
];

const MAIL: &[Turn] = &[
    S("220 mail.example ESMTP\r\n"),
    C("EHLO c.example\r\n"),
    S("250-mail.example\r\n250-PIPELINING\r\n250-chunking\r\n250 SIZE 1000\r\n"),
    C("MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\n"),
    S("250 OK\r\n250 OK\r\n250 OK\r\n354 Go\r\n"),
    C("Subject: x\r\n\r\n.EHLO in.text\r\nEHLO in.text\r\n..\r\n.\r\nRSET\r\n"),
    S("250 taken\r\n250 OK\r\n"),
    C("MAIL FROM:<a@a.example>\r\n"),
    S("250 OK\r\n"),
    C("RCPT TO:<b@b.example>\r\n"),
    S("250 OK\r\n"),
    C("DATA\r\n"),
    S("354 Go\r\n"),
    C(".\r\nQUIT\r\n"),
    S("250 taken\r\n221 bye\r\n"),
];

const CHUNKS: &[Turn] = &[
    S("220 mail.example ESMTP\r\n"),
    C("EHLO c.example\r\n"),
    S("250-mail.example\r\n250 CHUNKING\r\n"),
    C("MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nBDAT 11\r\nEHLO a\r\n.\r\nBDAT 3 LAST\r\nEHLVRFY y\r\n"),
    S("250 OK\r\n250 OK\r\n250 11 octets\r\n250 taken\r\n252 no\r\n"),
    C("BDAT 0 LAST\r\nNOOP\r\n"),
    S("503 no\r\n250 OK\r\n"),
];

const AUTH: &[Turn] = &[
    S("220 mail.example ESMTP\r\n"),
    C("EHLO c.example\r\n"),
    S("250-mail.example\r\n250-AUTH=LOGIN\r\n250 AUTH PLAIN LOGIN\r\n"),
    C("AUTH PLAIN AGEAYg==\r\n"),
    S("535 no\r\n"),
    C("AUTH LOGIN\r\n"),
    S("334 VXNlcm5hbWU6\r\n"),
    C("EHLO\r\n"),
    S("334 UGFzc3dvcmQ6\r\n"),
    C("VRFY x\r\n"),
    S("235 yes\r\n"),
    C("NOOP\r\n"),
    S("250 OK\r\n"),
];

const STARTTLS: &[Turn] = &[
    S("220 mail.example ESMTP\r\n"),
    C("EHLO c.example\r\n"),
    S("250-mail.example\r\n250 STARTTLS\r\n"),
    C("STARTTLS\r\n"),
    S("220 go\r\n"),
    C("\x16\x03\x01EHLO x\r\n"),
    S("\x16\x03\x03250 x\r\n"),
    C("\x17\x03\x03DATA\r\n"),
];

const DIALOGUES: [&[Turn]; 5] = [PLAIN, MAIL, CHUNKS, AUTH, STARTTLS];

/// What does not depend on how the bytes were cut.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<(String, Vec<u8>, u8, u16, u8)>,
    session: Session,
    lines: [Line; 2],
    halves: [(u32, u64); 2],
}

fn facts(event: &Event) -> (String, Vec<u8>, u8, u16, u8) {
    (name(event), arg(event), event.arg_flags, event.reason, event.action)
}

/// Runs a dialogue; `cut` gives the length of the next segment, of what is left.
fn run(dialogue: &[Turn], mut cut: impl FnMut(usize) -> usize) -> Outcome {
    let mut net = Net::established(policy());
    for turn in dialogue {
        let (client, bytes) = match turn {
            C(bytes) => (true, bytes.as_bytes()),
            S(bytes) => (false, bytes.as_bytes()),
        };
        let mut left = bytes;
        while !left.is_empty() {
            let (now, later) = left.split_at(cut(left.len()).clamp(1, left.len()));
            let verdict = if client { net.say(now) } else { net.reply(now) };
            assert_eq!(verdict, PASS, "{:?} in {:?}", String::from_utf8_lossy(now), String::from_utf8_lossy(bytes));
            // Each is acknowledged, so that nothing waits for room.
            if client {
                net.server_acks();
            } else {
                net.client_acks();
            }
            left = later;
        }
    }
    let state = net.state();
    let ends = |side: &Side| (side.next.0, side.bytes);
    let mut session = state.session;
    session.since = 0;
    Outcome {
        events: net.events().iter().map(facts).collect(),
        session,
        lines: state.line,
        halves: [ends(&state.side[0]), ends(&state.side[1])],
    }
}

fn verbs(outcome: &Outcome) -> Vec<&str> {
    outcome.events.iter().map(|event| event.0.as_str()).collect()
}

#[test]
fn dialogues_unsplit() {
    let whole = |dialogue| run(dialogue, |left| left);
    assert_eq!(verbs(&whole(PLAIN)), ["HELO", "NOOP", "QUIT"]);
    let mail = whole(MAIL);
    assert_eq!(verbs(&mail), ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA", "QUIT"]);
    assert_eq!(mail.session.messages, 2);
    assert_eq!(mail.session.recipients, 3);
    assert_eq!(mail.session.commands, 10);
    assert_eq!(mail.session.chunking, 1);
    assert_eq!((mail.session.runs, mail.session.hold, mail.session.mode), (0, Command::NONE, Mode::COMMAND));
    let chunks = whole(CHUNKS);
    assert_eq!(verbs(&chunks), ["EHLO", "MAIL", "RCPT", "BDAT", "BDAT", "VRFY", "BDAT", "NOOP"]);
    assert_eq!(chunks.session.messages, 1);
    let auth = whole(AUTH);
    assert_eq!(verbs(&auth), ["EHLO", "AUTH", "AUTH", "NOOP"]);
    assert_eq!((auth.events[1].1.as_slice(), auth.events[1].2), (b"".as_slice(), ARG_WITHHELD));
    let tls = whole(STARTTLS);
    assert_eq!(verbs(&tls), ["EHLO", "STARTTLS"]);
    assert_eq!(tls.session.mode, Mode::TLS);
}

#[test]
fn a_byte_a_segment_changes_nothing() {
    for dialogue in DIALOGUES {
        assert_eq!(run(dialogue, |_| 1), run(dialogue, |left| left));
    }
}

#[test]
fn every_split_point_changes_nothing() {
    for dialogue in DIALOGUES {
        let whole = run(dialogue, |left| left);
        let longest = dialogue.iter().map(|(C(bytes) | S(bytes))| bytes.len()).max().unwrap_or(0);
        for at in 1..longest {
            let mut previous = 0;
            let split = run(dialogue, |left| {
                let first = left != previous;
                previous = if first && left > at { left - at } else { 0 };
                if first { at } else { left }
            });
            assert_eq!(split, whole, "split at {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn any_split_changes_nothing(lengths in prop::collection::vec(1_usize..12, 1..300), which in 0..DIALOGUES.len()) {
        let mut lengths = lengths.iter().cycle();
        let split = run(DIALOGUES[which], |_| *lengths.next().unwrap());
        prop_assert_eq!(split, run(DIALOGUES[which], |left| left));
    }
}

#[test]
fn data_that_the_server_refuses_is_no_data() {
    // CVE-2000-1022.
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    assert_eq!(net.say("DATA\r\n"), PASS);
    assert_eq!(net.say("EHLO x\r\n"), DROP, "held until the reply");
    assert_eq!(net.segments(Reason::Sync), 1);
    assert_eq!(net.reply("503 no recipients\r\n"), PASS);
    net.events();
    assert_eq!(net.say("EHLO x\r\n"), DROP);
    assert_eq!(net.verbs(), ["EHLO"]);
}

#[test]
fn bytes_after_data_wait_for_the_reply() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("DATA\r\nSubject: x\r\n"), DROP);
    assert_eq!(net.segments(Reason::Sync), 1);
    assert!(net.verbs().iter().all(|verb| verb != "DATA"), "it did not pass");
    assert_eq!(net.say("DATA\r\n"), PASS);
    assert_eq!(net.reply("354 Go\r\n"), PASS);
    assert_eq!(net.say("Subject: x\r\n"), PASS);
    assert_eq!(net.mode(), Mode::MAIL_DATA);
}

#[test]
fn bytes_after_starttls_reset() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("STARTTLS\r\nRSET\r\n"), Verdict::Reset);
    assert_eq!(net.segments(Reason::StarttlsInjection), 1);
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("STARTTLS\r\n"), PASS);
    assert_eq!(net.reply("220 go\r\n250-AUTH PLAIN\r\n"), Verdict::Reset);
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("STARTTLS\r\n"), PASS);
    assert_eq!(net.reply("454 no\r\n"), PASS);
    assert_eq!(net.say("RSET\r\n"), PASS);
}

#[test]
fn tls_passes_closing_too() {
    let mut net = Net::greeted(policy());
    assert_eq!(net.say("STARTTLS\r\n"), PASS);
    assert_eq!(net.reply("220 go\r\n"), PASS);
    assert_eq!(net.say("\x16\x03\x01hello"), PASS);
    assert_eq!(net.reply("\x16\x03\x01hello"), PASS);
    let flags = crate::support::FIN;
    assert_eq!(net.segment(false, net.server.next, flags, b"\x15\x03\x03\0\x02"), PASS);
    assert_eq!(net.segment(true, net.client.next, flags, b"\x15\x03\x03\0\x02"), PASS);
    assert_eq!(net.world.closed, 1);
}

#[test]
fn refused_bdat() {
    let mut net = Net::greeted(policy());
    net.say("EHLO x\r\n");
    net.reply("250-x\r\n250 CHUNKING\r\n");
    assert_eq!(net.say("BDAT 100\r\n12345"), PASS);
    assert_eq!(net.reply("503 no\r\n"), PASS);
    assert_eq!(net.say("67890"), Verdict::Reset);
    assert_eq!(net.segments(Reason::BdatRefused), 1);
}

#[test]
fn bdat_that_is_not_offered_or_malformed_holds_what_follows() {
    let mut net = Net::greeted(policy());
    net.say("EHLO x\r\n");
    net.reply("250 x\r\n");
    assert_eq!(net.say("BDAT 10\r\n"), PASS);
    assert_eq!(net.say("EHLO\r\n"), Verdict::Reset);
    for size in [
        "",
        "x",
        "-1",
        "+1",
        "0x10",
        "1 2",
        "1 LASTING",
        "1 LAST x",
        "LAST",
        "1LAST",
        "9999999999999999999",
        "1\u{b}2",
        "100000000000000000000000000000",
        "1 LAS",
        "1\tLAST",
        // Some servers count from another place, or keep 32 bits, or do not take the line at all.
        "006",
        "4294967296",
        "6 ",
        " 6",
        "6  LAST",
        "6 LAST ",
    ] {
        let mut net = Net::greeted(policy());
        net.say("EHLO x\r\n");
        net.reply("250-x\r\n250 CHUNKING\r\n");
        assert_eq!(net.say(format!("BDAT {size}\r\n")), PASS, "{size}");
        assert_eq!(net.say("EHLO\r\n"), Verdict::Reset, "{size}");
    }
    for line in ["BDAT\x0110\r\n", "BDAT\x7f10\r\n", "BDAT\t10\r\n", " BDAT 10\r\n", "BDAT 10\n"] {
        let mut net = Net::greeted(policy());
        net.say("EHLO x\r\n");
        net.reply("250-x\r\n250 CHUNKING\r\n");
        assert_eq!(net.say(format!("{line}EHLO\r\n")), Verdict::Reset, "{line:?}");
    }
    for (size, last) in [("6", false), ("6 LAST", true), ("6 last", true)] {
        let mut net = Net::greeted(policy());
        net.say("EHLO x\r\n");
        net.reply("250-x\r\n250 CHUNKING\r\n");
        assert_eq!(net.say(format!("bdat {size}\r\nEHLO\r\n")), PASS, "{size}");
        assert_eq!(net.reply("250 OK\r\n"), PASS);
        assert_eq!(net.state().session.messages, last as u32, "{size}");
        assert_eq!(net.say("NOOP\r\n"), PASS);
        assert_eq!(net.verbs(), ["EHLO", "BDAT", "NOOP"], "{size}");
    }
}

#[test]
fn chunking_in_the_first_line_is_the_servers_name() {
    let mut net = Net::greeted(policy());
    net.say("EHLO x\r\n");
    net.reply("250 CHUNKING\r\n");
    assert_eq!(net.state().session.chunking, 0);
    net.say("EHLO x\r\n");
    net.reply("250-CHUNKING\r\n250-CHUNKING\r\n250 x\r\n");
    assert_eq!(net.state().session.chunking, 1);
    net.say("HELO x\r\n");
    net.reply("250 x\r\n");
    assert_eq!(net.state().session.chunking, 0);
}

#[test]
fn how_a_verb_may_be_written() {
    for (line, verb, argument) in [
        ("EHLO x\r\n", "EHLO", "x"),
        ("ehlo x\n", "EHLO", "x"),
        ("  eHlO\t x\r\n", "EHLO", "x"),
        ("EHLO\0x\r\n", "EHLO", "x"),
        ("\0\0EHLO\r\n", "EHLO", ""),
        ("EHLO\r\n", "EHLO", ""),
        ("EHLO \r\n", "EHLO", ""),
        ("EHLO\rx\r\n", "EHLO", "x"),
        ("ABCDEFGHIJKLMNOP x\r\n", "ABCDEFGHIJKLMNOP", "x"),
        ("ABCDEFGHIJKLMNOPQ x\r\n", "<17>", "x"),
        ("\r\n", "", ""),
        ("\n", "", ""),
        ("EHLO\u{e9} x\r\n", "EHLO\u{c3}\u{a9}", "x"),
    ] {
        let mut net = Net::greeted(policy());
        assert_eq!(net.say(line), PASS, "{line:?}");
        let events = net.events();
        assert_eq!(events.len(), 1, "{line:?}");
        assert_eq!(name(&events[0]), verb, "{line:?}");
        let argument = argument.as_bytes();
        assert_eq!(arg(&events[0]), argument, "{line:?}");
        let reason = if verb == "EHLO" { crate::support::verb("EHLO") } else { FIRST_NAME };
        assert_eq!(events[0].reason, reason, "{line:?}");
    }
    assert_eq!(WORD, 16);
}

#[test]
fn other_is_what_is_not_named() {
    let mut net = Net::greeted(policy());
    net.policy.other = Action::Drop as u8;
    assert_eq!(net.say("XYZZY\r\n"), DROP);
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert_eq!(net.say("\r\n"), DROP);
    assert_eq!(net.say("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n"), DROP);
}

#[test]
fn long_words_do_not_wrap_around() {
    let mut net = Net::greeted(policy());
    for length in [127, 128, 129, 255, 256, 257, 260, 512, 1000] {
        let mut line = vec![b'A'; length - 4];
        line.extend(b"EHLO x\r\n");
        assert_eq!(net.say(line), PASS);
        let events = net.events();
        assert_eq!(events[0].reason, FIRST_NAME, "{length}");
        assert!(events[0].verb_length as usize > WORD, "{length}");
        net.server_acks();
    }
}

#[test]
fn server_says_421() {
    let mut net = Net::greeted(policy());
    net.say("NOOP\r\n");
    assert_eq!(net.reply("421 closing\r\n"), PASS);
    assert_eq!(net.state().session.end, smtp_filter_common::session::state::End::BY_SERVER);
}

#[test]
fn drop_commits_nothing_and_is_reported_once() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    let before = net.state();
    for _ in 0..3 {
        assert_eq!(net.say("EHLO x\r\n"), DROP);
    }
    assert_eq!(net.state(), before);
    let events = net.events();
    assert_eq!(events.len(), 1);
    assert_eq!((name(&events[0]).as_str(), arg(&events[0]).as_slice()), ("EHLO", b"x".as_slice()));
    assert_eq!(events[0].enforced, 1);
    assert_eq!(events[0].excerpt_bytes(), 8);
    assert_eq!(&events[0].excerpt[..8], b"EHLO x\r\n");
    // One command, in three segments.
    let counted = |reason| net.world.counter(reason, Action::Drop, true);
    let (command, segments) = (counted(crate::support::verb("EHLO")), counted(Reason::DroppedCommand.number()));
    assert_eq!([(command.segments, command.bytes), (segments.segments, segments.bytes)], [(1, 8), (3, 24)]);
    net.set("EHLO", Action::Log);
    assert_eq!(net.say("EHLO x\r\n"), PASS);
    assert_eq!(net.verbs(), ["EHLO"]);
    net.set("EHLO", Action::Drop);
    // A repeat of what passed gets the same as the first time, also after a change (I4).
    assert_eq!(net.client_at(0, b"EHLO x\r\n"), PASS);
    assert_eq!(net.segments(Reason::Retransmission), 1);
    assert_eq!(net.say("EHLO x\r\n"), DROP);
}

#[test]
fn commands_before_the_dropped_one_are_reported_when_they_pass() {
    let mut net = Net::greeted(policy());
    net.set("VRFY", Action::Drop);
    let group = "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nVRFY b\r\n";
    assert_eq!(net.say(group), DROP);
    assert_eq!(net.verbs(), ["VRFY"]);
    net.set("VRFY", Action::Log);
    assert_eq!(net.say(group), PASS);
    assert_eq!(net.verbs(), ["MAIL", "RCPT", "VRFY"]);
    assert_eq!(net.world.counted(crate::support::verb("MAIL")).segments, 1);
}

#[test]
fn a_line_dropped_in_a_later_segment() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    assert_eq!(net.say("EHLO x"), PASS);
    assert_eq!(net.say("\r\n"), DROP);
    let events = net.events();
    assert_eq!(events.len(), 1);
    assert_eq!(&events[0].excerpt[..events[0].excerpt_bytes()], b"\r\n");
}

#[test]
fn mark_stays() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Mark);
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert!(!net.world.marked);
    assert_eq!(net.say("EHLO x\r\n"), PASS);
    assert!(net.world.marked);
    assert_eq!(net.reply("250 x\r\n"), PASS);
    assert!(net.world.marked);
    assert_eq!(net.client_acks(), PASS);
    assert!(net.world.marked);
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert!(net.world.marked);
}

#[test]
fn mark_of_one_among_several() {
    let mut net = Net::greeted(policy());
    net.set("RCPT", Action::Mark);
    assert_eq!(net.say("MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nRCPT TO:<c@b>\r\n"), PASS);
    assert!(net.world.marked);
    assert_eq!(net.verbs(), ["MAIL", "RCPT", "RCPT"]);
}

#[test]
fn monitor_drops_nothing_and_says_so() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    net.set("RCPT", Action::Mark);
    net.monitor();
    assert_eq!(net.say("EHLO x\r\n"), PASS);
    let events = net.events();
    assert_eq!((events.len(), events[0].enforced, events[0].action), (1, 0, Action::Drop as u8));
    assert_eq!(net.reply("250 x\r\n"), PASS);
    assert_eq!(net.say("RCPT TO:<a@a>\r\n"), PASS);
    assert!(!net.world.marked);
    assert_eq!(net.reply("250 x\r\n"), PASS);
    net.enforce();
    net.events();
    assert_eq!(net.say("EHLO x\r\n"), DROP, "the state is right all the same");
    assert_eq!(net.verbs(), ["EHLO"]);
}

#[test]
fn a_gap_in_monitor_mode_is_uncertain_until_a_reply() {
    let mut net = Net::greeted(policy());
    net.monitor();
    net.client.next += 7;
    assert_eq!(net.say("OOP\r\n"), PASS);
    assert_eq!(net.segments(Reason::Gap), 1);
    net.enforce();
    assert_eq!(net.say("NOOP\r\n"), DROP, "treated as unknown");
    net.monitor();
    assert_eq!(net.reply("250 OK\r\n"), PASS);
    net.enforce();
    net.events();
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP"]);
}

#[test]
fn a_gap_before_mail_data_in_monitor_mode() {
    // Two commands pass unread; the 354 says what comes next.
    let mut net = Net::greeted(policy());
    net.monitor();
    net.client.next += 20;
    assert_eq!(net.say("DATA\r\n"), PASS);
    assert_eq!(net.reply("250 OK\r\n"), PASS);
    assert_eq!(net.reply("354 Go\r\n"), PASS);
    net.events();
    assert_eq!(net.say("EHLO in.text\r\nBDAT 100\r\n"), PASS);
    assert_eq!(net.verbs(), [""; 0], "I6");
    assert_eq!(net.say(".\r\n"), PASS);
    assert_eq!(net.reply("250 OK\r\n"), PASS);
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP"]);
}

#[test]
fn a_gap_in_mail_data_in_monitor_mode() {
    let mut net = Net::in_text(policy());
    net.monitor();
    net.client.next += 100;
    assert_eq!(net.say("x\r\n.\r\n"), PASS);
    assert_eq!(net.reply("250 OK\r\n"), PASS);
    net.events();
    assert_eq!(net.say("NOOP\r\n"), PASS);
    assert_eq!(net.verbs(), ["NOOP"]);
}

#[test]
fn more_replies_than_commands_give_nothing_away() {
    // A server that takes one line for two commands: the 354 answers what was taken for something else.
    let mut net = Net::greeted(policy());
    net.say("EHLO x\r\n");
    net.reply("250-x\r\n250 CHUNKING\r\n");
    net.set("EHLO", Action::Drop);
    assert_eq!(net.say("NOOP\rDATA\r\n"), PASS);
    assert_eq!(net.reply("250 OK\r\n354 Go\r\n"), PASS);
    net.events();
    assert_ne!(net.say("BDAT 30\r\n"), PASS);
}

/// What the stream forces between two copies of a dropped command is not reported, and does not make the second one
/// new.
#[test]
fn a_dropped_command_is_reported_once_whatever_comes_between() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Drop);
    for _ in 0..3 {
        assert_eq!(net.say("EHLO x\r\n"), DROP);
        assert_eq!(net.client_at(net.client.next + 8, b"NOOP\r\n"), DROP);
    }
    assert_eq!(net.verbs(), ["EHLO"]);
}

/// Eight regions are in use and acknowledged when the reply to DATA begins another.
#[test]
fn the_reply_to_data_passes_where_all_regions_are_in_use() {
    let mut net = Net::greeted(policy());
    assert_eq!((net.say("EHLO x\r\n"), net.reply("250-x\r\n250 CHUNKING\r\n")), (PASS, PASS));
    for count in 0..12 {
        let mut said = "BDAT 1\r\nxNOOP\r\n".repeat(count);
        said.push_str("BDAT 1 LAST\r\nxMAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n");
        if net.say(&said) != PASS {
            break;
        }
        net.server_acks();
        let replies = "250 x\r\n".repeat(count * 2 + 3);
        assert_eq!((net.reply(replies), net.reply("354 x\r\n")), (PASS, PASS), "{count}");
        assert_eq!((net.say("x\r\n.\r\n"), net.reply("250 x\r\n")), (PASS, PASS));
    }
}

/// An event of a guard shows nothing that may be an address or credentials.
#[test]
fn guards_show_no_byte_of_the_client() {
    let secret = "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n";
    for before in ["", "STARTTLS\r\n", "DATA\r\n", "NOOP\r\n"] {
        let mut policy = policy();
        for reason in
            [Reason::UnknownConnection, Reason::Sync, Reason::StarttlsInjection, Reason::ChangedRetransmission]
        {
            policy.guards[reason.number() as usize] = Action::Drop as u8;
        }
        let mut net = if before.is_empty() { Net::new(policy) } else { Net::greeted(policy) };
        net.events();
        if !before.is_empty() {
            assert_eq!(net.say(before), PASS);
        }
        if before == "NOOP\r\n" {
            net.client.next -= 6;
        }
        assert_ne!(net.say(secret), PASS, "{before}");
        let events = net.events();
        let guard = events.last().expect("it is reported");
        assert_eq!((guard.kind, guard.excerpt_bytes()), (smtp_filter_common::event::Kind::GUARD, 0), "{before}");
        assert!(guard.excerpt.iter().all(|byte| *byte == 0));
    }
}

/// A mark that was asked for in mode `enforce` is not set in mode `monitor`.
#[test]
fn mode_monitor_marks_nothing_that_was_marked() {
    let mut net = Net::greeted(policy());
    net.set("EHLO", Action::Mark);
    assert_eq!(net.say("EHLO x\r\n"), PASS);
    assert!(net.world.marked);
    net.monitor();
    assert_eq!(net.reply("250 x\r\n"), PASS);
    assert!(!net.world.marked);
}
