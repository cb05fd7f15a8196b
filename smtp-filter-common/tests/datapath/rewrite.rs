//! Rewriting in place: the bytes of the table of actions (docs/policy.md), whatever the segmentation; repeats;
//! checksums.
//!
//! Invariants: I2, I4, I5.

use crate::support::{
    Net, policy,
    rewriting::{forwarded, hiding, masking, net, reply, rewritten, say, say_all, say_typed, text, with},
};
use smtp_filter_common::{
    action::Action,
    event::Kind,
    policy::{FILL_NOOP, MONITOR, Policy, SHOW_HOST, SHOW_HOST_SMTP, SHOW_PIX},
    reason::{FIRST_KEYWORD, Reason},
    session::verb::Command,
    verdict::Verdict,
    word::Word,
};

#[test]
fn a_masked_line_becomes_x_but_for_its_end() {
    for (line, expected) in [
        ("VRFY root\r\n", "XXXXXXXXX\r\n"),
        ("vrfy\r\n", "XXXX\r\n"),
        ("  Vrfy\troot \r\n", "XXXXXXXXXXXX\r\n"),
        ("VRFY root\n", "XXXXXXXXX\n"),
        ("VRFY a\rb\r\n", "XXXXXXXX\r\n"),
        ("VRFY a\r\r\n", "XXXXXXX\r\n"),
        ("NOOP\r\n", "NOOP\r\n"),
        ("VRFYX root\r\n", "VRFYX root\r\n"),
        ("\r\n", "\r\n"),
    ] {
        let mut net = net(masking(&["VRFY"]));
        assert_eq!(say_all(&mut net, &[line]), expected, "{line:?}");
        assert_eq!(say_all(&mut net, &["NOOP\r\n"]), "NOOP\r\n");
    }
}

#[test]
fn a_masked_line_is_reported_with_what_was_and_what_became() {
    let mut net = net(masking(&["VRFY"]));
    say(&mut net, "NOOP\r\nVRFY root\r\n").unwrap();
    let events = net.events();
    let event = events.iter().find(|event| event.verb == Word::of("VRFY")).expect("it is reported");
    assert_eq!((event.kind, event.action, event.enforced), (Kind::COMMAND, Action::Mask as u8, 1));
    assert_eq!(rewritten(event), ("VRFY root".into(), "XXXXXXXXX".into()));
    assert_eq!(net.world.counter(event.reason, Action::Mask, true).segments, 1);

    net.monitor();
    assert_eq!(say_all(&mut net, &["VRFY root\r\n"]), "VRFY root\r\n");
    let event = net.events()[0];
    assert_eq!((event.action, event.enforced, event.became_length), (Action::Mask as u8, 0, 0));
}

#[test]
fn noop_takes_the_place_of_what_a_250_does_not_mislead() {
    let mut policy = masking(&["VRFY", "AUTH", "STARTTLS", "DATA", "BDAT", "TRY"]);
    policy.fill = FILL_NOOP;
    for (line, expected) in [
        ("VRFY root\r\n", "NOOP     \r\n"),
        ("vrfy\r\n", "NOOP\r\n"),
        (" VRFY\n", "NOOP \n"),
        ("TRY\r\n", "XXX\r\n"),
        ("TRY x\r\n", "NOOP \r\n"),
        ("STARTTLS\r\n", "XXXXXXXX\r\n"),
        ("AUTH PLAIN AGEAYg==\r\n", "XXXXXXXXXXXXXXXXXXX\r\n"),
        ("DATA\r\n", "XXXX\r\n"),
        ("BDAT x\r\n", "XXXXXX\r\n"),
    ] {
        let mut net = net(policy.clone());
        assert_eq!(say_all(&mut net, &[line]), expected, "{line:?}");
    }
    let mut net = net(policy);
    assert_eq!(say_all(&mut net, &["VRFY ro", "ot and more", " \r\n"]), "NOOP               \r\n");
    assert_eq!(say_all(&mut net, &["V", "RFY root\r\n"]), "VXXXXXXXX\r\n", "its first letter is gone");
}

#[test]
fn the_byte_that_would_make_a_verb_whole_is_masked() {
    let rules = [("STARTTLS", Action::Mask), ("HELP", Action::Mask), ("HELPME", Action::Pass)];
    for (segments, expected) in [
        (["STARTTL", "S", "\r\n"].as_slice(), "STARTTLX\r\n"),
        (&["STARTTLS", "\r\n"], "STARTTLX\r\n"),
        (&["STARTTLS", " x\r\n"], "STARTTLXXX\r\n"),
        (&["STARTTLS x", "y\r", "\n"], "XXXXXXXXXXX\r\n"),
        (&["HELP", "ME\r\n"], "HELXXX\r\n"),
        (&["HEL", "PME\r\n"], "HELPME\r\n"),
        (&["STARTTLSX", "\r\n"], "STARTTLSX\r\n"),
    ] {
        let mut net = net(with(&rules, Action::Pass));
        assert_eq!(say_all(&mut net, segments), expected, "{segments:?}");
        // One reply is waited for, and moves nothing.
        reply(&mut net, "220 no\r\n");
        assert_eq!(say_all(&mut net, &["NOOP\r\n"]), "NOOP\r\n");
    }
    for verb in ["STARTTLS", "HELP"] {
        let mut net = net(with(&rules, Action::Pass));
        let mut expected = verb.to_owned();
        expected.replace_range(verb.len() - 1.., "X");
        assert_eq!(say_typed(&mut net, &format!("{verb}\r\n")), format!("{expected}\r\n"));
        assert_eq!(net.verbs(), [verb]);
    }
}

#[test]
fn words_that_may_become_an_allowed_one_pass_as_far_as_they_go() {
    let allowed = ["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"].map(|verb| (verb, Action::Pass));
    for line in ["HELO c.example\r\n", "mail FROM:<a@b>\r\n", "Rset\r\n", " quit\r\n"] {
        let mut net = net(with(&allowed, Action::Mask));
        assert_eq!(say_typed(&mut net, line), line, "what is allowed can be typed");
    }
    for (line, expected) in
        [("EHLO c\r\n", "XXXXXX\r\n"), ("HELP\r\n", "HELX\r\n"), ("RSETX\r\n", "RSETX\r\n"), ("MAI x\r\n", "MAIXX\r\n")]
    {
        let mut net = net(with(&allowed, Action::Mask));
        assert_eq!(say_typed(&mut net, line), expected);
        assert_eq!(say_typed(&mut net, "NOOP\r\n"), "NOOP\r\n");
    }
    // Nothing is left of it that could be masked, and it is no allowed command.
    let mut net = net(with(&allowed, Action::Mask));
    assert_eq!(say_all(&mut net, &["MAI"]), "MAI");
    assert_eq!(say(&mut net, "\r\n"), Err(Verdict::Reset));
}

#[test]
fn ehlo_becomes_helo_in_its_own_case() {
    for (segments, expected, answer) in [
        (["EHLO c.example\r\n"].as_slice(), "HELO c.example\r\n", Action::Downgrade),
        (&["ehlo c\r\n"], "helo c\r\n", Action::Downgrade),
        (&["eHlO c\n"], "hElO c\n", Action::Downgrade),
        (&["  EHLO\r\n"], "  HELO\r\n", Action::Downgrade),
        (&["EHLO", " c\r\n"], "HELO c\r\n", Action::Downgrade),
        (&["EHLO c", ".example\r\n"], "HELO c.example\r\n", Action::Downgrade),
        (&["E", "HLO c\r\n"], "EXXXXX\r\n", Action::Mask),
        (&["EH", "LO c\r\n"], "EHXXXX\r\n", Action::Mask),
        (&["EHL", "O", " c\r\n"], "EHLXXX\r\n", Action::Mask),
        (&["EHLO", "X c\r\n"], "HELOXXX\r\n", Action::Mask),
    ] {
        let mut net = net(with(&[("EHLO", Action::Downgrade)], Action::Log));
        assert_eq!(say_all(&mut net, segments), expected, "{segments:?}");
        assert_eq!(net.events()[0].action, answer as u8, "{segments:?}");
    }
    let mut net = net(with(&[("EHLO", Action::Downgrade)], Action::Pass));
    assert_eq!(say_typed(&mut net, "EHLO c\r\n"), "EHLXXX\r\n");
    let mut net = self::net(with(&[("EHLO", Action::Downgrade)], Action::Pass));
    say(&mut net, "EHLO c\r\n").unwrap();
    reply(&mut net, "250 mail.example\r\n");
    assert_eq!(net.state().session.hello, smtp_filter_common::session::state::Hello::HELO, "a session by HELO");
}

#[test]
fn a_pipelined_group_is_rewritten_line_by_line() {
    let mut net = net(masking(&["RSET", "EXPN"]));
    let group = "RSET\r\nMAIL FROM:<a@b>\r\nEXPN all\r\nRCPT TO:<c@d>\r\nrset\r\n";
    let expected = "XXXX\r\nMAIL FROM:<a@b>\r\nXXXXXXXX\r\nRCPT TO:<c@d>\r\nXXXX\r\n";
    assert_eq!(say_all(&mut net, &[group]), expected);
    assert_eq!(net.verbs(), ["RSET", "EXPN", "RSET"], "what passes is only counted");
}

#[test]
fn a_long_masked_line_is_masked_to_its_end() {
    for length in [60, 61, 62, 63, 64, 65, 127, 128, 500, 8191, 8192, 8193, 30_000] {
        let mut net = net(masking(&["VRFY"]));
        let line = format!("NOOP\r\nVRFY {}\r\nNOOP\r\n", "y".repeat(length));
        let expected = format!("NOOP\r\n{}\r\nNOOP\r\n", "X".repeat(length + 5));
        let got = say(&mut net, &line);
        if length <= 8000 {
            assert_eq!(text(&got.unwrap()), expected, "{length}");
        } else {
            assert_eq!(got, Err(Verdict::Drop), "more than is kept for comparison waits");
        }
    }
}

#[test]
fn masked_commands_move_nothing() {
    for verb in ["DATA", "STARTTLS", "AUTH PLAIN AGEAYg==", "BDAT x"] {
        let mut net = net(masking(&["DATA", "STARTTLS", "AUTH", "BDAT"]));
        say(&mut net, format!("{verb}\r\nNOOP\r\n")).expect("nothing is held back");
        reply(&mut net, "354 go\r\n");
        assert!(net.state().session.hold != Command::NONE, "unasked for: what follows is held back");
    }
    let mut net = net(masking(&["DATA"]));
    say(&mut net, "DATA\r\n").unwrap();
    reply(&mut net, "500 what\r\n");
    assert_eq!(say_all(&mut net, &["DATA\r\n", "NOOP\r\n"]), "XXXX\r\nNOOP\r\n");
}

#[test]
fn a_masked_bdat_becomes_one_line_with_its_chunk() {
    for (segments, expected) in [
        (["BDAT 5\r\nhello"].as_slice(), "XXXXXXXXXXX\r\n"),
        (&["BDAT 5 LAST\r\nhelloNOOP\r\n"], "XXXXXXXXXXXXXXXX\r\nNOOP\r\n"),
        (&["BDAT 1\r\na"], "XXXXXXX\r\n"),
        (&["BDAT 2\r\nab"], "XXXXXXXX\r\n"),
        (&["BDAT 0 LAST\r\nNOOP\r\n"], "XXXXXXXXXXX\r\nNOOP\r\n"),
        (&["BDAT 5\r\n", "hello", "NOOP\r\n"], "XXXXXXXXXXX\r\nNOOP\r\n"),
        (&["BDAT 5\r\nhe", "l", "l", "o", "NOOP\r\n"], "XXXXXXXXXXX\r\nNOOP\r\n"),
        (&["BDAT 9\r\nEHLO x\r\n.RSET\r\n"], "XXXXXXXXXXXXXXX\r\nRSET\r\n"),
    ] {
        for fill in [0, FILL_NOOP] {
            let mut policy = masking(&["BDAT"]);
            policy.fill = fill;
            let mut net = net(policy);
            assert_eq!(say_all(&mut net, segments), expected, "{segments:?}");
            assert_eq!(
                net.state().session.pending[0] & 0xfff,
                1 + u16::from(expected.ends_with("\r\nNOOP\r\n") || expected.ends_with("RSET\r\n"))
            );
        }
    }
    let fits = format!("BDAT 502\r\n{}", "y".repeat(502));
    let mut net = net(masking(&["BDAT"]));
    assert_eq!(say_all(&mut net, &[&fits]), format!("{}\r\n", "X".repeat(510)));
    let mut net = self::net(masking(&["BDAT"]));
    assert_eq!(say(&mut net, "BDAT 503\r\n"), Err(Verdict::Reset));
    assert_eq!(net.events()[0].action, Action::Reset as u8);
}

#[test]
fn a_retransmission_gets_what_the_first_copy_got() {
    let mut net = net(masking(&["VRFY"]));
    let group = b"NOOP\r\nVRFY root\r\nRSET\r\n";
    let expected = say(&mut net, group).unwrap();
    for change in [false, true] {
        if change {
            // Also after the policy changed.
            net.set("VRFY", Action::Pass);
            net.set("RSET", Action::Mask);
        }
        for from in 0..group.len() {
            for to in from + 1..=group.len() {
                assert_eq!(net.client_at(from as u32, &group[from..to]), Verdict::Pass, "{from}..{to}");
                assert_eq!(forwarded(&net, &group[from..to]), expected[from..to], "{from}..{to}");
            }
        }
        // As it comes by a second hook.
        assert_eq!(net.client_at(0, &expected), Verdict::Pass);
        assert_eq!(forwarded(&net, &expected), expected);
        assert!(net.world.rewritten().is_none(), "nothing is left to be done");
    }
    // Other bytes bring nothing in.
    assert_eq!(net.client_at(0, b"EHLO\r\nEHLO evil\r\nDATA\r\n"), Verdict::Pass);
    assert_eq!(forwarded(&net, b"EHLO\r\nEHLO evil\r\nDATA\r\n"), expected);
    // A repeat with new bytes behind it.
    let mut more = group.to_vec();
    more.extend(b"VRFY x\r\n");
    net.set("VRFY", Action::Mask);
    assert_eq!(net.client_at(0, &more), Verdict::Pass);
    let got = forwarded(&net, &more);
    assert_eq!((&got[..group.len()], &got[group.len()..]), (&expected[..], b"XXXXXX\r\n".as_slice()));
    // Acknowledged, the places of before are nobody's concern.
    net.client.next = more.len() as u32;
    net.server_acks();
    net.set("VRFY", Action::Pass);
    assert_eq!(say_all(&mut net, &["NOOP\r\n"]), "NOOP\r\n");
    assert_eq!(net.client_at(more.len() as u32, b"XOOP\r\n"), Verdict::Drop, "compared again");
}

#[test]
fn a_retransmission_of_a_long_group_gets_what_the_first_copy_got() {
    let mut net = net(masking(&["VRFY"]));
    let group: String = (0..200).map(|i| format!("{} {i}\r\n", if i % 3 == 0 { "VRFY" } else { "NOOP" })).collect();
    let expected = say(&mut net, &group).unwrap();
    assert!(expected != group.as_bytes());
    for (from, to) in [(0, group.len()), (1, 700), (3, 64), (255, 1300), (1003, 1004)] {
        assert_eq!(net.client_at(from as u32, &group.as_bytes()[from..to]), Verdict::Pass);
        assert_eq!(forwarded(&net, &group.as_bytes()[from..to]), expected[from..to], "{from}..{to}");
    }
}

const EHLO_REPLY: &str = "250-mail.example STARTTLS\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250-AUTH=LOGIN PLAIN\r\n250-AUTH LOGIN\r\n250 CHUNKING\r\n";
const HIDDEN_REPLY: &str = "250-mail.example STARTTLS\r\n250-SIZE 1000\r\n250-XXXXXXXX\r\n250-XXXXXXXXXXXXXXXX\r\n250-XXXXXXXXXX\r\n250 XXXXXXXX\r\n";

#[test]
fn keywords_are_hidden_in_the_reply_to_ehlo_alone() {
    let hidden = ["STARTTLS", "AUTH", "CHUNKING"];
    for policy in [hiding(&hidden, Action::Pass), hiding(&["SIZE"], Action::Mask)] {
        let mut net = net(policy);
        say(&mut net, "EHLO c\r\n").unwrap();
        assert_eq!(text(&reply(&mut net, EHLO_REPLY)), HIDDEN_REPLY);
        let events = net.events();
        let reported: Vec<_> = events.iter().filter(|event| event.kind == Kind::EXTENSION).collect();
        assert_eq!(reported.len(), 4);
        assert_eq!(reported[0].verb, Word::of("STARTTLS"));
        assert!(reported[0].reason >= FIRST_KEYWORD);
        assert_eq!(rewritten(reported[0]), ("STARTTLS".into(), "XXXXXXXX".into()));
        for (command, answer) in [
            ("HELP\r\n", "250-x\r\n250-STARTTLS\r\n250 AUTH\r\n"),
            ("EHLO c\r\n", "550-no\r\n550-STARTTLS\r\n550 AUTH\r\n"),
            ("NOOP\r\n", "250-x\r\n250 STARTTLS\r\n"),
        ] {
            say(&mut net, command).unwrap();
            assert_eq!(text(&reply(&mut net, answer)), answer, "{command}");
        }
    }
}

/// A server that gives no reply to a blank line: the reply to EHLO seems to be that.
#[test]
fn keywords_are_hidden_as_long_as_an_ehlo_waits() {
    for blank in ["\r\n", "\n", " \r\n", "NOOP\r\n\r\nNOOP\r\n"] {
        let mut net = net(hiding(&["STARTTLS", "AUTH", "CHUNKING"], Action::Pass));
        say(&mut net, format!("{blank}EHLO c\r\n")).unwrap();
        assert_eq!(text(&reply(&mut net, EHLO_REPLY)), HIDDEN_REPLY, "{blank:?}");
    }
}

#[test]
fn keywords_are_hidden_whatever_the_segmentation() {
    for at in 1..EHLO_REPLY.len() {
        for size in [1, 2, 3, 7, at] {
            let mut net = net(hiding(&["STARTTLS", "AUTH", "CHUNKING"], Action::Pass));
            say(&mut net, "EHLO c\r\n").unwrap();
            let (head, tail) = EHLO_REPLY.split_at(at);
            let mut got = reply(&mut net, head);
            for part in tail.as_bytes().chunks(size) {
                got.extend(reply(&mut net, part));
            }
            let got = text(&got);
            for (line, (got, whole)) in EHLO_REPLY.lines().zip(got.lines().zip(HIDDEN_REPLY.lines())) {
                let word = |line: &str| line[4..].split([' ', '=']).next().map(str::to_owned);
                if line == whole {
                    assert_eq!(got, line, "{at} {size}");
                } else {
                    assert_ne!(word(got), word(line), "{at} {size}: {got}");
                    assert!(got.ends_with('X') && got.len() == line.len(), "{at} {size}: {got}");
                }
            }
        }
    }
}

#[test]
fn a_retransmission_of_a_reply_gets_what_the_first_copy_got() {
    let mut net = net(hiding(&["STARTTLS"], Action::Pass));
    say(&mut net, "EHLO c\r\n").unwrap();
    let from = net.server.next;
    let first = reply(&mut net, EHLO_REPLY);
    assert!(text(&first).contains("XXXXXXXX"));
    net.policy.keywords = policy().keywords;
    for at in [0, 1, 30, 60] {
        let part = &EHLO_REPLY.as_bytes()[at..];
        assert_eq!(net.server_at(from + at as u32, part), Verdict::Pass);
        assert_eq!(forwarded(&net, part), first[at..]);
    }
}

#[test]
fn the_banner_is_masked() {
    const PLAIN: &str = "220 mx.example ESMTP Postfix 2.0 (Debian/GNU)\r\n";
    const LINES: &str = "220-mx.example Sendmail ESMTP 8.20\r\n220-Use of ESMTPX 2 or esmtp\r\n220 ready ESMTP\r\n";
    for (show, banner, expected) in [
        (SHOW_HOST, PLAIN, "220 mx.example ESMTP XXXXXXX XXX XXXXXXXXXXXX\r\n"),
        (SHOW_HOST_SMTP, PLAIN, "220 mx.example XXXXX XXXXXXX XXX XXXXXXXXXXXX\r\n"),
        (SHOW_PIX, PLAIN, "220 ****************************2*0**************\r\n".get(..0).unwrap_or_default()),
        (SHOW_HOST, LINES, "220-mx.example XXXXXXXX ESMTP XXXX\r\n220-XXX XX XXXXXX X XX esmtp\r\n220 XXXXX ESMTP\r\n"),
        (
            SHOW_HOST_SMTP,
            LINES,
            "220-mx.example XXXXXXXX XXXXX XXXX\r\n220-XXX XX XXXXXX X XX XXXXX\r\n220 XXXXX XXXXX\r\n",
        ),
        (SHOW_HOST, "220\r\n", "220\r\n"),
        (SHOW_HOST, "220 mx\n", "220 mx\n"),
        (SHOW_PIX, "220-a20\r\n220 02 b\n", "220-*20\r\n220 02**\n"),
    ] {
        let mut policy = policy();
        policy.banner = show;
        let mut net = Net::established(policy.clone());
        let got = text(&reply(&mut net, banner));
        if show == SHOW_PIX && banner == PLAIN {
            let kept = |c: char| matches!(c, '2' | '0' | '\r' | '\n');
            let masks_banner: String =
                banner.chars().enumerate().map(|(i, c)| if i < 4 || kept(c) { c } else { '*' }).collect();
            assert_eq!(got, masks_banner);
        } else {
            assert_eq!(got, expected, "{show} {banner:?}");
        }
        let reported: Vec<_> = net.events().into_iter().filter(|event| event.kind == Kind::BANNER).collect();
        // One that stays as it is is nothing to report.
        let changes = u64::from(got != banner);
        assert_eq!(reported.len() as u64, changes);
        assert_eq!(net.world.counted(Reason::Banner.number()).segments, changes);
        // What follows is no banner.
        say(&mut net, "NOOP\r\n").unwrap();
        assert_eq!(text(&reply(&mut net, "250 mx.example Postfix\r\n")), "250 mx.example Postfix\r\n");

        // In mode `monitor` what would be changed is reported, and nothing is.
        let mut net = Net::established(Policy { mode: MONITOR, ..policy.clone() });
        assert_eq!(text(&reply(&mut net, banner)), banner);
        let reported: Vec<_> = net.events().into_iter().filter(|event| event.kind == Kind::BANNER).collect();
        assert_eq!(reported.len() as u64, changes);
        assert!(reported.iter().all(|event| event.enforced == 0 && event.became_length == 0));

        // By one byte a segment the same, but for letters that might have become ESMTP.
        let mut net = Net::established(policy);
        let mut typed = Vec::new();
        for byte in banner.as_bytes() {
            typed.extend(reply(&mut net, [*byte]));
        }
        for (typed, got) in typed.iter().zip(got.as_bytes()) {
            assert!(typed == got || show == SHOW_HOST && b"ESMTPesmtp".contains(typed), "{:?}", text(&[*typed]));
        }
    }
}

#[test]
fn ipv6_and_odd_offsets_have_right_checksums() {
    for lead in 0..8 {
        let mut net = Net::new(masking(&["VRFY"]));
        net.v6 = true;
        net.handshake();
        reply(&mut net, "220 x\r\n");
        let line = format!("NOOP {}\r\nVRFY {}\r\n", "a".repeat(lead), "b".repeat(lead * 20));
        let expected = format!("NOOP {}\r\n{}\r\n", "a".repeat(lead), "X".repeat(lead * 20 + 5));
        assert_eq!(say_all(&mut net, &[&line]), expected);
    }
}

#[test]
fn credentials_are_never_reported() {
    const SECRET: &str = "AGFsaWNlAHNlY3JldA==";
    let tells = |net: &mut Net| {
        net.events().iter().any(|event| {
            let reported = [&event.arg[..], &event.excerpt, &event.became].concat();
            reported.windows(5).any(|bytes| SECRET.as_bytes().windows(5).any(|secret| secret == bytes))
        })
    };
    for action in [Action::Log, Action::Mark, Action::Mask, Action::Drop, Action::Reset] {
        for segments in
            [vec![format!("AUTH PLAIN {SECRET}\r\n")], vec!["AUTH PLAIN ".to_owned(), format!("{SECRET}\r\n")]]
        {
            let mut net = net(with(&[("AUTH", action)], Action::Pass));
            for segment in segments {
                net.say(segment);
            }
            assert!(!tells(&mut net), "{action:?}");
        }
    }
    // In the exchange, and behind an AUTH that has no reply yet.
    let mut net = net(with(&[("AUTH", Action::Log)], Action::Pass));
    net.say("AUTH PLAIN\r\n");
    assert_eq!(net.say(format!("{SECRET}\r\n")), Verdict::Drop);
    let events = net.events();
    assert!(events.iter().any(|event| event.reason == Reason::Sync.number()));
    assert!(events.iter().all(|event| !event.excerpt.windows(5).any(|bytes| SECRET.as_bytes().starts_with(bytes))));
}
