//! Replies that answer nothing: they end no wait after DATA, AUTH or STARTTLS (I3). And the PROXY protocol, which
//! nobody answers.

use crate::support::*;
use smtp_filter_common::{action::Action, reason::Reason, session::Mode, verdict::Verdict};

/// A dialogue of lines: the client's begin with `C `, the server's with `S `. All of them pass.
#[track_caller]
fn play(net: &mut Net, lines: &[&str]) {
    for line in lines {
        let verdict = match line.split_at(2) {
            ("C ", said) => net.say(said.to_owned() + "\r\n"),
            (_, said) => net.reply(said.to_owned() + "\r\n"),
        };
        assert_eq!(verdict, Verdict::Pass, "{line}");
    }
}

fn unmatched(net: &Net) -> u64 {
    net.segments(Reason::UnmatchedReply)
}

fn logging() -> smtp_filter_common::policy::Policy {
    let mut policy = policy();
    policy.guards[Reason::UnmatchedReply.number() as usize] = Action::Log as u8;
    policy
}

#[test]
fn remarks_answer_nothing() {
    for remark in ["050 >>> MAIL", "050-<<< 250", "100 x", "199 x", "600 x", "999 x"] {
        let mut net = Net::greeted(logging());
        play(&mut net, &["C MAIL FROM:<a@a.example>", "S 250 Ok", "C RCPT TO:<b@b.example>", "S 250 Ok", "C DATA"]);
        net.reply(format!("{remark}\r\n"));
        net.reply("050 the end\r\n");
        assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass, "{remark}: DATA has no reply");
        play(&mut net, &["S 354 Go"]);
        assert_eq!(net.mode(), Mode::MAIL_DATA);
        assert_eq!(unmatched(&net), 0);
    }
}

/// Replies that a command of this kind cannot have.
#[test]
fn what_cannot_answer_data_or_auth_ends_no_wait() {
    for (command, replies) in [
        ("DATA", &["250 Ok", "235 Ok", "334 x", "220 x", "353 x"][..]),
        ("AUTH PLAIN", &["354 Go", "353 x"]),
        ("STARTTLS", &["250 Ok", "354 Go", "334 x"]),
    ] {
        for reply in replies {
            let mut net = Net::greeted(logging());
            net.say(command.to_owned() + "\r\n");
            net.reply(format!("{reply}\r\n"));
            assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass, "{command} {reply}");
            assert_eq!(unmatched(&net), 1, "{command} {reply}");
            // Nor does what comes next: whom it answers nobody knows.
            net.reply("500 x\r\n");
            assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass, "{command} {reply}");
        }
    }
}

#[test]
fn one_that_comes_unasked_is_reported_and_ends_no_later_wait() {
    let mut net = Net::greeted(logging());
    net.events();
    play(&mut net, &["S 250 Surplus"]);
    let events = net.events();
    assert_eq!(events.iter().map(name).collect::<Vec<_>>(), ["guards.unmatched_reply"]);
    play(
        &mut net,
        &["C MAIL FROM:<a@a.example>", "S 250 Ok", "C RCPT TO:<b@b.example>", "S 250 Ok", "C DATA", "S 550 No"],
    );
    assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass);
    // A server may give up at any time.
    for code in [421, 451] {
        let mut net = Net::greeted(logging());
        play(&mut net, &[&format!("S {code} Timeout")]);
        assert_eq!(unmatched(&net), 0);
    }
}

#[test]
fn prdr_has_a_reply_for_each_recipient_and_one_for_the_mail() {
    let mut net = Net::greeted(logging());
    play(
        &mut net,
        &[
            "C MAIL FROM:<a@a.example> PRDR",
            "S 250 Ok",
            "C RCPT TO:<b@b.example>",
            "S 250 Ok",
            "C RCPT TO:<c@b.example>",
            "S 550 No",
            "C RCPT TO:<d@b.example>",
            "S 250 Ok",
            "C DATA",
            "S 354 Go",
            "C text",
            "C .",
        ],
    );
    // The next mail is pipelined: none of the replies to the first one is one of its.
    net.say("MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n");
    play(&mut net, &["S 353 PRDR", "S 250 b", "S 550 d", "S 250 Ok"]);
    assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass);
    play(&mut net, &["S 250 Ok", "S 250 Ok"]);
    assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass);
    play(&mut net, &["S 354 Go"]);
    assert_eq!((net.mode(), unmatched(&net)), (Mode::MAIL_DATA, 0));
    play(&mut net, &["C .", "S 250 Ok", "C QUIT", "S 221 Bye"]);
}

/// However the mail came: in chunks, too (RFC 3030), with PRDR and with LMTP.
#[test]
fn the_last_chunk_has_a_reply_for_each_recipient() {
    for (hello, prdr, replies) in [
        ("EHLO c.example", " PRDR", &["S 353 PRDR", "S 250 b", "S 550 d", "S 250 Ok"][..]),
        ("LHLO c.example", "", &["S 250 b", "S 550 d"]),
    ] {
        let mut net = Net::greeted(logging());
        play(&mut net, &["C EHLO c.example", "S 250-m", "S 250 CHUNKING"]);
        play(&mut net, &[&format!("C {hello}"), "S 250-m", "S 250 CHUNKING"]);
        play(&mut net, &[&format!("C MAIL FROM:<a@a.example>{prdr}"), "S 250 Ok"]);
        play(&mut net, &["C RCPT TO:<b@b.example>", "S 250 Ok", "C RCPT TO:<d@b.example>", "S 250 Ok"]);
        // What is pipelined behind it waits for replies of its own.
        net.say("BDAT 3 LAST\r\na\r\nRSET\r\nNOOP\r\nNOOP\r\nDATA\r\n");
        play(&mut net, replies);
        assert_eq!(
            (net.state().session.runs, net.state().session.messages),
            (2, u32::from(prdr == " PRDR")),
            "{hello}"
        );
        play(&mut net, &["S 250 Ok", "S 250 Ok", "S 250 Ok"]);
        assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass, "{hello}");
        play(&mut net, &["S 354 Go"]);
        assert_eq!((net.mode(), unmatched(&net)), (Mode::MAIL_DATA, 0), "{hello}");
    }
}

/// A server that takes LHLO takes no EHLO (RFC 2033 section 4.1). Of one that takes both nobody knows which one counts.
#[test]
fn ehlo_after_lhlo_ends_no_wait_early() {
    let mut net = Net::greeted(logging());
    play(
        &mut net,
        &["C LHLO c.example", "S 250 m", "C EHLO c.example", "S 250 m", "C MAIL FROM:<a@a.example>", "S 250 Ok"],
    );
    play(
        &mut net,
        &["C RCPT TO:<b@b.example>", "S 250 Ok", "C RCPT TO:<d@b.example>", "S 250 Ok", "C DATA", "S 354 Go"],
    );
    net.say(".\r\nX\r\nDATA\r\n");
    play(&mut net, &["S 250 b", "S 250 d", "S 500 X"]);
    assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass);
    play(&mut net, &["S 354 Go"]);
    assert_eq!(net.mode(), Mode::MAIL_DATA);
}

#[test]
fn lmtp_has_a_reply_for_each_recipient() {
    let mut net = Net::greeted(logging());
    play(
        &mut net,
        &[
            "C LHLO c.example",
            "S 250 m",
            "C MAIL FROM:<a@a.example>",
            "S 250 Ok",
            "C RCPT TO:<b@b.example>",
            "S 250 Ok",
            "C RCPT TO:<c@b.example>",
            "S 250 Ok",
            "C DATA",
            "S 354 Go",
            "C .",
        ],
    );
    net.say("MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n");
    play(&mut net, &["S 250 b", "S 550 c", "S 250 Ok"]);
    assert_ne!(net.say("VRFY root\r\n"), Verdict::Pass);
    play(&mut net, &["S 250 Ok", "S 354 Go"]);
    assert_eq!((net.mode(), unmatched(&net)), (Mode::MAIL_DATA, 0));
}

#[test]
fn only_what_carries_credentials_is_asked_for_more() {
    for (command, mode) in
        [("X-EXPS GSSAPI", Mode::AUTH_EXCHANGE), ("XAUTH LOGIN", Mode::AUTH_EXCHANGE), ("NOOP", Mode::COMMAND)]
    {
        let mut net = Net::greeted(logging());
        play(&mut net, &[&format!("C {command}"), "S 334 x"]);
        assert_eq!(net.mode(), mode, "{command}");
        let passes = net.say("VRFY root\r\n") == Verdict::Pass;
        assert_eq!(passes, mode == Mode::AUTH_EXCHANGE, "{command}");
    }
}

#[test]
fn a_proxy_header_waits_for_no_reply() {
    for (action, verdict) in [
        (Action::Pass, Verdict::Pass),
        (Action::Log, Verdict::Pass),
        (Action::Drop, Verdict::Drop),
        (Action::Reset, Verdict::Reset),
    ] {
        let mut policy = logging();
        policy.guards[Reason::ProxyProtocol.number() as usize] = action as u8;
        let mut net = Net::established(policy);
        assert_eq!(net.say("PROXY TCP4 192.0.2.1 192.0.2.2 1024 25\r\n"), verdict, "{action:?}");
        if verdict != Verdict::Pass {
            continue;
        }
        play(&mut net, &["S 220 m", "C DATA", "S 503 No", "C MAIL FROM:<a@a.example>", "S 250 Ok"]);
        assert_eq!((net.state().session.runs, unmatched(&net)), (0, 0));
        // Later it is a command as any other.
        play(&mut net, &["C PROXY TCP4 192.0.2.1 192.0.2.2 1024 25"]);
        assert_eq!(net.state().session.runs, 1);
    }
}

#[test]
fn the_binary_proxy_header_is_refused_however_it_comes() {
    const HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c";
    for action in [Action::Pass, Action::Drop, Action::Reset] {
        for cut in 0..HEADER.len() {
            let mut policy = logging();
            policy.guards[Reason::ProxyProtocol.number() as usize] = action as u8;
            let mut net = Net::established(policy);
            let (first, second) = HEADER.split_at(cut);
            let passed = cut == 0 || net.say(first) == Verdict::Pass;
            assert!(!passed || net.say(second) != Verdict::Pass, "{action:?} {cut}");
            assert!(net.segments(Reason::ProxyProtocol) > 0);
        }
    }
    // What only begins so is none.
    let mut net = Net::established(logging());
    assert_eq!(net.say("\r\n\r\n\0\r\nQUIT\r\n"), Verdict::Pass);
}
