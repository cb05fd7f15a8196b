//! Mode `monitor` is never blind (I13): what enforcement would have dropped or reset is reported as that, and reading
//! goes on as a server would read. Words of a mail are never reported as verbs.

use crate::support::*;
use smtp_filter_common::{action::Action, reason::Reason, session::Mode, verdict::Verdict};

fn net() -> Net {
    let mut policy = policy();
    policy.guards[Reason::Sync.number() as usize] = Action::Drop as u8;
    policy.guards[Reason::UnmatchedReply.number() as usize] = Action::Log as u8;
    let mut net = Net::greeted(policy);
    net.monitor();
    net.events();
    net
}

/// A dialogue of lines: the client's begin with `C `, the server's with `S `; `\n` in one stands for CRLF.
#[track_caller]
fn play(net: &mut Net, lines: &[&str]) {
    for line in lines {
        let (who, said) = line.split_at(2);
        let said = said.replace('\n', "\r\n") + "\r\n";
        let verdict = if who == "C " { net.say(said) } else { net.reply(said) };
        assert_eq!(verdict, Verdict::Pass, "{line}");
    }
}

const WHOLE: &str = "EHLO c.example\nMAIL FROM:<a@a.example>\nRCPT TO:<b@b.example>\nDATA\n\
                     Subject: RSET and QUIT\n\nVRFY root\nQUIT\n.\nRSET\nQUIT";
const VERBS: [&str; 6] = ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "QUIT"];

#[test]
fn a_whole_dialogue_in_one_write() {
    let mut net = net();
    play(&mut net, &[&format!("C {WHOLE}")]);
    assert_eq!(net.verbs(), [&VERBS[..], &["guards.sync"]].concat());
    play(&mut net, &["S 250 x", "S 250 x", "S 250 x", "S 354 x", "S 250 x", "S 250 x", "S 221 x"]);
    assert!(net.events().is_empty());
    let session = net.state().session;
    assert_eq!((session.mode, session.messages, session.runs), (Mode::COMMAND, 1, 0));
}

#[test]
fn a_whole_dialogue_split_anywhere() {
    let whole = WHOLE.replace('\n', "\r\n") + "\r\n";
    for cut in 1..whole.len() {
        let mut net = net();
        net.say(&whole[..cut]);
        net.say(&whole[cut..]);
        let mut verbs = net.verbs();
        verbs.retain(|verb| verb != "guards.sync");
        assert_eq!(verbs, VERBS, "cut at {cut}");
    }
}

#[test]
fn mails_in_one_write() {
    let mut net = net();
    let mail = "MAIL FROM:<a@a.example>\nRCPT TO:<b@b.example>\nDATA\nRSET\n.\n";
    play(&mut net, &[&format!("C {}QUIT", mail.repeat(9))]);
    let verbs = net.verbs();
    assert_eq!(verbs.iter().filter(|verb| *verb == "DATA").count(), 9);
    assert!(!verbs.contains(&"RSET".to_owned()));
    for _ in 0..9 {
        play(&mut net, &["S 250 x", "S 250 x", "S 354 x", "S 250 x"]);
    }
    play(&mut net, &["S 221 x", "C NOOP", "S 250 x"]);
    assert_eq!(net.verbs(), ["NOOP"]);
    assert_eq!(net.mode(), Mode::COMMAND);
}

/// The server takes what came too early for commands.
#[test]
fn data_that_is_refused() {
    let mut net = net();
    play(&mut net, &["C DATA\nSubject: x\nQUIT now", "S 503 x", "S 500 x", "S 221 x", "C VRFY root", "S 252 x"]);
    let verbs = net.verbs();
    assert_eq!(verbs, ["DATA", "guards.sync", "VRFY"]);
    assert_eq!(net.mode(), Mode::COMMAND);
}

#[test]
fn mail_data_that_goes_on_after_the_reply() {
    let mut net = net();
    play(&mut net, &["C DATA\nRSET", "S 354 x", "C RSET\n.\nNOOP", "S 250 x", "S 250 x"]);
    assert_eq!(net.verbs(), ["DATA", "guards.sync", "NOOP"]);
}

#[test]
fn credentials_that_come_too_soon_are_never_shown() {
    let mut net = net();
    play(&mut net, &["C AUTH LOGIN\ndXNlcg==\ncGFzcw==\nMAIL FROM:<a@a.example>", "S 334 x", "S 334 x", "S 235 x"]);
    play(&mut net, &["S 250 x", "C RCPT TO:<b@b.example>", "S 250 x"]);
    let events = net.events();
    let verbs: Vec<_> = events.iter().map(name).collect();
    assert_eq!(verbs, ["AUTH", "MAIL", "guards.sync", "RCPT"]);
    for event in &events {
        let cut = &event.excerpt[..event.excerpt_bytes()];
        assert!(!cut.windows(4).any(|bytes| bytes == b"dXNl" || bytes == b"cGFz"), "{event:?}");
    }
    assert_eq!(net.state().session.runs, 0);
}

/// AUTH itself was lost: what 334 asks for is not shown all the same.
#[test]
fn credentials_after_a_gap_are_never_shown() {
    let mut net = net();
    net.client.next += 12;
    play(&mut net, &["S 334 VXNlcm5hbWU6", "C dXNlcg==", "S 334 x", "C cGFzcw==", "S 235 x", "C NOOP", "S 250 x"]);
    assert_eq!(net.verbs(), ["NOOP"]);
}

#[test]
fn commands_after_starttls() {
    let mut net = net();
    play(&mut net, &["C STARTTLS\nRSET\nMAIL FROM:<a@a.example>"]);
    assert_eq!(net.verbs(), ["STARTTLS", "RSET", "MAIL", "guards.starttls_injection"]);
    play(&mut net, &["S 220 x"]);
    assert_eq!(net.mode(), Mode::TLS);
}

#[test]
fn tls_that_comes_too_soon_is_not_read_as_commands() {
    let mut net = net();
    play(&mut net, &["C STARTTLS\n\x16\x03\x01\x02\x00\x01\nabc\nQUITE a lot\nRSET"]);
    assert_eq!(net.verbs(), ["STARTTLS", "guards.starttls_injection"]);
}

#[test]
fn a_chunk_that_was_not_offered() {
    for reply in ["S 250 x", "S 500 x"] {
        let mut net = net();
        play(&mut net, &["C BDAT 32\nVRFY a\nVRFY b", "C VRFY c\nVRFY d", reply, "C RSET", "S 250 x"]);
        assert_eq!(net.verbs(), ["BDAT", "guards.bdat_refused", "RSET"], "{reply}");
        assert_eq!(net.state().session.runs, 0);
    }
}

/// A server that speaks BDAT reads a chunk to its end whatever it answers (RFC 3030 section 2).
#[test]
fn a_chunk_that_is_refused_in_its_midst() {
    let mut net = net();
    play(&mut net, &["C EHLO x", "S 250-x\n250 CHUNKING", "C BDAT 40\nVRFY a", "S 503 x"]);
    assert_eq!(net.say([b'a'; 32]), Verdict::Pass);
    play(&mut net, &["C NOOP", "S 250 x"]);
    let mut verbs = net.verbs();
    verbs.retain(|verb| !verb.starts_with("extensions") && verb.parse::<u16>().is_err());
    assert_eq!(verbs, ["EHLO", "BDAT", "NOOP"]);
}

/// Chunks in flight, more than anything remembers: all of them are read, and nothing is reported that is none of them.
#[test]
fn chunks_without_end() {
    let mut net = net();
    play(&mut net, &["C EHLO x", "S 250-x\n250 CHUNKING"]);
    net.events();
    let chunk = "QUIT\r\n.\r\nRSET\r\n".repeat(90);
    for size in 0..1500 {
        let chunk = &chunk[..900 + size % 100];
        net.say(format!("BDAT {}\r\n{chunk}", chunk.len()));
    }
    let verbs = net.verbs();
    assert_eq!(verbs.len(), 1500);
    assert!(verbs.iter().all(|verb| verb == "BDAT"));
    assert_eq!(net.world.counted(Reason::Backlog.number()).segments, 0, "nothing is held back, nothing would be lost");
}

/// Commands without a reply, more than are remembered.
#[test]
fn commands_without_end() {
    let mut net = net();
    let group = "NOOP\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nRSET\r\n".repeat(40);
    for _ in 0..20 {
        net.say(&group);
    }
    assert_eq!(net.verbs().len(), 20 * 160);
    for _ in 0..20 * 160 {
        net.reply("250 x\r\n");
    }
    assert!(net.events().is_empty());
    play(&mut net, &["C DATA", "S 354 x"]);
    assert_eq!(net.mode(), Mode::MAIL_DATA);
}

#[test]
fn a_lost_segment_of_commands_costs_its_own_commands_alone() {
    let mut net = net();
    net.client.next += 31;
    play(&mut net, &["C RCPT TO:<b@b.example>", "S 250 x\n250 x", "C DATA", "S 354 x", "C RSET\n.", "S 250 x"]);
    assert_eq!(net.verbs(), ["RCPT", "DATA"]);
    assert_eq!(net.state().session.messages, 1);
}

#[test]
fn segments_out_of_order() {
    let mut net = net();
    let (first, second) = (b"MAIL FROM:<a@a.example>\r\n", b"RCPT TO:<b@b.example>\r\nDATA\r\n");
    let at = net.client.next;
    net.client_at(at + first.len() as u32, second);
    net.client_at(at, first);
    net.client.next += (first.len() + second.len()) as u32;
    assert_eq!(net.verbs(), ["RCPT", "DATA", "MAIL"]);
    play(&mut net, &["S 250 x\n250 x\n354 x", "C RSET\n.", "S 250 x", "C QUIT", "S 221 x"]);
    assert_eq!(net.verbs(), ["QUIT"]);
    assert_eq!(net.state().session.messages, 1);
}

/// The end of data is in a gap after which nothing of the client's has come yet: the server's reply acknowledges it.
#[test]
fn an_end_of_data_that_the_reply_alone_shows() {
    for text in ["", "Line"] {
        let mut net = net();
        play(
            &mut net,
            &["C MAIL FROM:<a@a.example>", "S 250 x", "C RCPT TO:<b@b.example>", "S 250 x", "C DATA", "S 354 x"],
        );
        if !text.is_empty() {
            play(&mut net, &[&format!("C {text}")]);
        }
        net.client.next += 500;
        play(&mut net, &["S 250 queued", "C MAIL FROM:<c@c.example>", "S 250 x", "C NOOP\nQUIT", "S 250 x", "S 221 x"]);
        assert_eq!(net.verbs(), ["MAIL", "RCPT", "DATA", "MAIL", "NOOP", "QUIT"], "{text:?}");
    }
}

/// The end of data is in the gap.
#[test]
fn a_lost_end_of_data() {
    let mut net = net();
    play(&mut net, &["C DATA", "S 354 x", "C RSET"]);
    net.client.next += 20;
    play(&mut net, &["C RSET", "S 250 x", "C MAIL FROM:<c@c.example>", "S 250 x"]);
    assert_eq!(net.verbs(), ["DATA", "MAIL"]);
}

#[test]
fn lost_replies() {
    let mut net = net();
    play(&mut net, &["C MAIL FROM:<a@a.example>\nRCPT TO:<b@b.example>\nDATA"]);
    net.server.next += 16;
    play(&mut net, &["S 354 x", "C RSET\n.", "S 250 x", "C DATA"]);
    // 354 is lost, and the client goes on: nothing came too early.
    net.server.next += 7;
    play(&mut net, &["C RSET\n.\nQUIT", "S 250 x", "S 221 x"]);
    assert_eq!(net.verbs(), ["MAIL", "RCPT", "DATA", "DATA", "QUIT"]);
    assert_eq!(net.state().session.messages, 2);
}

/// The end of an argument is no verb, in whatever order its segments come.
#[test]
fn a_line_in_three_segments_out_of_order() {
    let mut net = net();
    let line = [&b"RCPT TO:<lo"[..], b"ng@exam", b"ple.com>\r\n"];
    let at = [0, 11, 18].map(|offset| offset + net.client.next);
    for i in [1, 0, 2] {
        net.client_at(at[i], line[i]);
    }
    net.client.next += 28;
    net.reply("250 x\r\n");
    net.say("NOOP\r\n");
    assert_eq!(net.verbs(), ["NOOP"]);
}

/// The server gives up in the midst of the mail, and what is under way is no command.
#[test]
fn a_server_that_gives_up_in_the_midst_of_mail_data() {
    for code in ["421 x\r\n", "451 x\r\n"] {
        let mut net = net();
        play(&mut net, &["C DATA", "S 354 x"]);
        net.client.next += 5;
        net.say("aaaaaa\r\n");
        net.reply(code);
        net.say("hello\r\nQUIT\r\nVRFY a\r\n");
        assert_eq!(net.verbs(), ["DATA"], "{code}");
    }
}

/// Who sends a RST with a wild acknowledgement, which the server refuses, hides nothing.
#[test]
fn a_reset_that_is_not_taken_hides_nothing() {
    let mut net = net();
    let sequence = net.client.isn.wrapping_add(77_000_000);
    let acknowledgement = net.server.isn.wrapping_add(0x7fff_0000);
    let frame = net.build(true, sequence, acknowledgement, RST, b"");
    net.frame(&frame, net.outside);
    net.say("VRFY a\r\n");
    assert_eq!(net.verbs(), ["VRFY"]);
}

/// What was passed over may have been something else to the server: in mode `enforce` the connection is unknown until
/// all that was said is answered.
#[test]
fn what_was_passed_over_is_uncertain_in_mode_enforce() {
    let mut net = net();
    play(&mut net, &["C DATA\nVRFY a"]);
    net.enforce();
    assert_ne!(net.say("VRFY b\r\n"), Verdict::Pass);
    net.monitor();
    net.reply("5");
    net.enforce();
    assert_ne!(net.say("VRFY b\r\n"), Verdict::Pass);
    net.monitor();
    play(&mut net, &["S 03 x", "C NOOP", "S 250 x"]);
    net.enforce();
    assert_eq!(net.say("NOOP\r\n"), Verdict::Pass);
}

/// The header of a chunk is lost: what follows may be chunk.
#[test]
fn a_lost_header_of_a_chunk() {
    let mut net = net();
    play(&mut net, &["C EHLO x", "S 250-x\n250 CHUNKING"]);
    net.events();
    net.say("BDAT 4\r\nab");
    net.client.next += 12;
    for _ in 0..4 {
        net.say("RSETX\r\nVRFY a\r\nQUIT\r\n");
    }
    assert_eq!(net.verbs(), ["BDAT"]);
    net.reply("250 x\r\n");
    net.say("xx\r\nQUIT\r\n");
    assert!(net.events().is_empty());
    net.say("BDAT 6 LAST\r\nRSET\r\n");
    net.say("QUIT\r\n");
    assert_eq!(net.verbs(), ["BDAT", "QUIT"]);
}

#[test]
fn a_changed_retransmission_is_reported_and_what_comes_with_it_read() {
    let mut net = net();
    let at = net.client.next;
    net.say("NOOP\r\n");
    assert_eq!(net.client_at(at, b"RSET\r\nVRFY a\r\n"), Verdict::Pass);
    assert_eq!(net.verbs(), ["NOOP", "VRFY", "guards.changed_retransmission"]);
}

#[test]
fn urgent_bytes_are_reported_and_read() {
    let mut net = net();
    let flags = Flags { urg: true, ..ACK };
    assert_eq!(net.segment(true, net.client.next, flags, b"VRFY a\r\n"), Verdict::Pass);
    net.client.next += 8;
    net.say("NOOP\r\n");
    assert_eq!(net.verbs(), ["VRFY", "guards.urgent", "NOOP"]);
}

/// A capture that lacks the SYN, or has the client's acknowledgement before the SYN-ACK.
#[test]
fn captures_that_begin_too_late_or_out_of_order() {
    for seen in ["SYN, ACK, SYN-ACK", "ACK, SYN-ACK", "SYN-ACK, ACK"] {
        let mut policy = policy();
        policy.grace_until = 0;
        let mut net = Net::new(policy);
        net.monitor();
        net.client.acked = 0;
        for segment in seen.split(", ") {
            let verdict = match segment {
                "SYN" => net.syn(),
                "SYN-ACK" => net.syn_ack(),
                _ => net.client_acks(),
            };
            assert_eq!(verdict, Verdict::Pass);
        }
        net.events();
        play(&mut net, &["S 220 x", "C EHLO x", "S 250 x"]);
        assert_eq!(net.verbs(), ["EHLO"], "{seen}");
    }
}
