//! Attacks on the rewriting: segments, splits, repeats, replies and policies that once broke it.
//!
//! Invariants: I4, I5.

use crate::support::{
    Net,
    rewriting::{forwarded, hiding, masking, net, reply, say, say_all, text, with},
};
use smtp_filter_common::{
    action::Action,
    event::Kind,
    policy::{FILL_NOOP, SHOW_HOST_SMTP},
    reason::FIRST_KEYWORD,
    session,
    verdict::Verdict,
    word::Word,
};

#[test]
fn a_full_window_is_restored_at_every_offset() {
    for lead in 1..=4_u32 {
        let mut net = net(masking(&["VRFY"]));
        let size = 8192;
        let mut group = "N".repeat(lead as usize - 1);
        group.push('\n');
        let line = "NOOP 3456789abcdef0123456789ab\r\n";
        group.push_str(&line.repeat(size / line.len() - 1));
        group.push_str(&line.replace("NOOP", "VRFY"));
        let first = say(&mut net, &group[..lead as usize]).unwrap();
        net.server_acks();
        // What is acknowledged is not kept.
        let mut expected = vec![b'*'; first.len()];
        expected.extend(say(&mut net, &group[lead as usize..]).unwrap());
        assert_eq!(net.client_at(0, group.as_bytes()), Verdict::Pass, "{lead}");
        assert_eq!(text(&forwarded(&net, group.as_bytes())), text(&expected), "{lead}");
    }
}

#[test]
fn the_whole_reply_to_ehlo_hides_keywords_whatever_its_codes() {
    for (answer, expected) in [
        ("250-x\r\n500-STARTTLS\r\n250-AUTH X\r\n250 OK\r\n", "250-x\r\n500-XXXXXXXX\r\n250-AUTH X\r\n250 OK\r\n"),
        ("250-x\r\n500-a\r\n500-STARTTLS\r\n250 OK\r\n", "250-x\r\n500-a\r\n500-XXXXXXXX\r\n250 OK\r\n"),
        ("550-x\r\n250-STARTTLS\r\n250 OK\r\n", "550-x\r\n250-XXXXXXXX\r\n250 OK\r\n"),
        ("550-x\r\n550 STARTTLS\r\n", "550-x\r\n550 STARTTLS\r\n"),
        ("250-x\n250-STARTTLS\n250 starttls\n", "250-x\n250-XXXXXXXX\n250 XXXXXXXX\n"),
        ("250-x\r\n250-\r\n250-STARTTLS\r\n250 \r\n", "250-x\r\n250-\r\n250-XXXXXXXX\r\n250 \r\n"),
        ("250-x\r\n250-  STARTTLS \r\n250 \tstarttls\r\n", "250-x\r\n250-XXXXXXXXXXX\r\n250 XXXXXXXXX\r\n"),
        (
            "250-x\r\n250-STARTTLS\0y\r\n250-STARTTLS\x7f\r\n250 =STARTTLS\r\n",
            "250-x\r\n250-XXXXXXXXXX\r\n250-XXXXXXXXX\r\n250 XXXXXXXXX\r\n",
        ),
        ("250 STARTTLS\r\n", "250 STARTTLS\r\n"),
        ("250-STARTTLS\r\n250 STARTTLS\r\n", "250-STARTTLS\r\n250 XXXXXXXX\r\n"),
        ("250-x\r\n250-STARTTLSTARTTLSSTARTTLS\r\n250 OK\r\n", "250-x\r\n250-STARTTLSTARTTLSSTARTTLS\r\n250 OK\r\n"),
    ] {
        let mut net = net(hiding(&["STARTTLS"], Action::Pass));
        say(&mut net, "EHLO c\r\n").unwrap();
        assert_eq!(text(&reply(&mut net, answer)), expected, "{answer:?}");
    }
}

#[test]
fn what_a_downgraded_ehlo_is_answered_hides_keywords_too() {
    let mut policy = hiding(&["STARTTLS"], Action::Pass);
    assert!(policy.set_verb(Word::of("EHLO"), Action::Downgrade, 2));
    let mut net = net(policy);
    assert_eq!(say_all(&mut net, &["EHLO c\r\n"]), "HELO c\r\n");
    let got = reply(&mut net, "250-mail.example\r\n250-STARTTLS\r\n250 OK\r\n");
    assert_eq!(text(&got), "250-mail.example\r\n250-XXXXXXXX\r\n250 OK\r\n", "its client asked by EHLO");
    assert_eq!(net.state().session.hello, session::state::Hello::HELO);
    // Who says HELO reads no keywords.
    say(&mut net, "HELO c\r\n").unwrap();
    let lines = "250-mail.example\r\n250 STARTTLS\r\n";
    assert_eq!(text(&reply(&mut net, lines)), lines);
}

#[test]
fn a_keyword_that_is_gone_is_not_said_to_be_hidden() {
    let mut net = net(hiding(&["SIZE"], Action::Mask));
    say(&mut net, "EHLO c\r\n").unwrap();
    net.world.events.clear();
    assert_eq!(text(&reply(&mut net, "250-x\r\n250-SIZ")), "250-x\r\n250-SIZ");
    assert_eq!(text(&reply(&mut net, "\r\n250-SIZ")), "\r\n250-SIZ");
    assert_eq!(text(&reply(&mut net, "\r")), "\r");
    assert_eq!(text(&reply(&mut net, "\n250-SI")), "\n250-SI");
    assert_eq!(text(&reply(&mut net, " 10\r\n250 DSN\r\n")), "XXX\r\n250 XXX\r\n");
    let events = net.events();
    let reported: Vec<_> = events
        .iter()
        .filter(|event| event.kind == Kind::EXTENSION)
        .map(|event| (event.enforced, event.became_length))
        .collect();
    assert_eq!(reported, [(0, 0), (0, 0), (1, 3), (1, 3)]);
    assert_eq!(net.world.counter(FIRST_KEYWORD, Action::Mask, false).segments, 2);
}

#[test]
fn a_masked_chunk_leaves_no_bare_cr() {
    for (segments, expected) in [
        (["BDAT 5\r", "\nhello"].as_slice(), "XXXXXXXXXXX\r\n"),
        (&["BDAT 5\r", "\n", "hello"], "XXXXXXXXXXX\r\n"),
        (&["BDAT 1 LAST\r", "\n", "a"], "XXXXXXXXXXXX\r\n"),
        (&["BDAT 5", "\r", "\nhello"], "XXXXXXXXXXX\r\n"),
        (&["BDAT", " 5", "\r", "\n", "hello"], "BDAXXXXXXXX\r\n"),
        (&["BDAT 0 LAST\r", "\n"], "XXXXXXXXXXX\r\n"),
        (&["BDAT x\r", "\n"], "XXXXXX\r\n"),
        (&["BDAT x", "\r", "\n"], "XXXXXX\r\n"),
        (&["BDAT 5\r", "x\r\nNOOP\r\n"], "XXXXXXXX\r\nNOOP\r\n"),
        (&["BDAT 5\n", "NOOP\r\n"], "XXXXXX\nNOOP\r\n"),
    ] {
        let mut net = net(masking(&["BDAT"]));
        assert_eq!(say_all(&mut net, segments), expected, "{segments:?}");
        assert_eq!(net.mode(), session::Mode::COMMAND);
    }
}

#[test]
fn a_masked_chunk_under_way_ends_where_monitor_loses_the_thread() {
    let mut net = net(masking(&["BDAT"]));
    assert_eq!(say_all(&mut net, &["BDAT 50\r\nhello"]), "XXXXXXXXXXXXXX");
    net.monitor();
    let gap = net.client.next + 100;
    assert_eq!(net.client_at(gap, b"NOOP\r\n"), Verdict::Pass);
    net.client.next = gap + 6;
    assert_eq!(say_all(&mut net, &["NOOP one\r\n"]), "NOOP one\r\n", "mode monitor changes nothing");
}

#[test]
fn a_verb_that_is_masked_with_its_extension_has_that_for_a_reason() {
    let mut policy = masking(&[]);
    assert!(policy.set_announced(Word::of("BDAT"), Action::Mask, 5));
    for segments in [["BDAT 5\r\nhello"].as_slice(), &["BDA", "T 5\r\nhello"], &["BDAT", " 5\r\n", "hello"]] {
        let mut net = net(policy.clone());
        assert!(say_all(&mut net, segments).ends_with("XXXXX\r\n"));
        let events = net.events();
        assert_eq!((events[0].kind, events[0].reason), (Kind::COMMAND, FIRST_KEYWORD + 5));
        assert_eq!(net.world.counter(FIRST_KEYWORD + 5, Action::Mask, true).segments, 1);
    }
}

#[test]
fn a_250_is_never_made_where_a_client_would_build_upon_it() {
    let verbs = ["XCLIENT", "XFORWARD", "XEXCH50", "X-EXPS", "XAUTH", "X-ANONYMOUSTLS", "BURL", "ATRN", "TURN"];
    let mut policy = masking(&verbs);
    policy.other = Action::Mask as u8;
    policy.fill = FILL_NOOP;
    for verb in verbs {
        let line = format!("{verb} a b\r\n");
        let mut net = net(policy.clone());
        assert_eq!(say_all(&mut net, &[&line]), format!("{}\r\n", "X".repeat(verb.len() + 4)));
        assert_eq!(say_all(&mut net, &["ETRN a\r\n"]), "NOOP  \r\n");
    }
}

#[test]
fn what_follows_a_refused_auth_is_not_reported() {
    let secrets = ["c2VjcmV0", "AGFsaWNlAHNlY3JldHNlY3JldHNlY3JldA=="];
    for (auth, other) in [
        (Action::Mask, Action::Mask),
        (Action::Mask, Action::Log),
        (Action::Mask, Action::Drop),
        (Action::Log, Action::Mask),
        (Action::Log, Action::Reset),
    ] {
        for verb in ["AUTH LOGIN", "XAUTH LOGIN"] {
            let mut net = net(with(&[("AUTH", auth), ("XAUTH", auth), ("VRFY", Action::Log)], other));
            say(&mut net, format!("{verb}\r\n")).unwrap();
            reply(&mut net, "535 no\r\n");
            for secret in secrets {
                net.say(format!("{secret}\r\n"));
                net.say(format!("  {secret}\r\n"));
            }
            for event in net.events() {
                let reported = [&event.arg[..], &event.excerpt, &event.became, &event.verb.bytes()].concat();
                let reported = String::from_utf8_lossy(&reported).to_ascii_uppercase();
                assert!(!reported.contains("C2VJ") && !reported.contains("AGFS"), "{auth:?} {other:?} {event:?}");
            }
        }
    }
    // Until a word comes that is known.
    let mut net = net(with(&[("AUTH", Action::Mask), ("VRFY", Action::Log)], Action::Log));
    say(&mut net, "AUTH LOGIN\r\nYWxpY2U=\r\nVRFY a\r\nSTRANGE b\r\n").unwrap();
    assert_eq!(net.verbs(), ["AUTH", "", "VRFY", "STRANGE"]);
}

#[test]
fn a_retransmission_over_mail_data_and_masked_commands_gets_what_the_first_copy_got() {
    for (mode, segment) in [
        ("DATA", "hello\r\n.\r\nVRFY x\r\nNOOP\r\nVRFY y\r\n"),
        ("BDAT", "BDAT 9 LAST\r\n01234567\nVRFY x\r\nBDAT 4\r\nVRFYVRFY y\r\n"),
    ] {
        let mut policy = masking(&["VRFY"]);
        policy.other = Action::Log as u8;
        let mut net = net(policy);
        say(&mut net, "EHLO c\r\n").unwrap();
        reply(&mut net, "250-x\r\n250 CHUNKING\r\n");
        if mode == "DATA" {
            say(&mut net, "DATA\r\n").unwrap();
            reply(&mut net, "354 go\r\n");
        }
        net.server_acks();
        let start = net.client.next;
        let expected = say(&mut net, segment).unwrap();
        assert_eq!(expected.iter().filter(|byte| **byte == b'X').count(), 12);
        for policy in [net.policy.clone(), masking(&["NOOP"])] {
            net.policy = policy;
            for from in 0..segment.len() {
                let part = &segment.as_bytes()[from..];
                let known = mode == "BDAT" || from == 0 || from > 9;
                if known {
                    assert_eq!(net.client_at(start + from as u32, part), Verdict::Pass, "{mode} {from}");
                    assert_eq!(text(&forwarded(&net, part)), text(&expected[from..]), "{mode} {from}");
                }
            }
        }
    }
}

/// An acknowledgement that the filter sees need not reach the sender: what it covers comes again, and shows nothing.
#[test]
fn a_false_acknowledgement_shows_nothing_of_what_was_rewritten() {
    let mut policy = masking(&["EHLO"]);
    policy.banner = SHOW_HOST_SMTP;
    let mut net = Net::established(policy);
    let banner = "220 mail.example ESMTP Sendmail 8.20\r\n";
    let shown = text(&reply(&mut net, banner));
    assert_eq!(shown, "220 mail.example XXXXX XXXXXXXX XXXX\r\n");
    net.client_acks();
    for (from, to) in [(0, banner.len()), (10, 25), (20, banner.len()), (30, 31)] {
        let part = &banner.as_bytes()[from..to];
        assert_eq!(net.server_at(from as u32, part), Verdict::Pass, "{from}..{to}");
        // The LF was never in question.
        let hidden = part.len().min(banner.len() - 1 - from);
        let expected = ["*".repeat(hidden), text(&part[hidden..])].concat();
        assert_eq!(text(&forwarded(&net, part)), expected, "{from}..{to}");
    }
    // Bytes behind the last that was rewritten come as they are; so does what is new.
    let whole = [banner, "250 OK\r\n"].concat();
    assert_eq!(net.server_at(0, whole.as_bytes()), Verdict::Pass);
    let expected = ["*".repeat(banner.len() - 1).as_str(), "\n250 OK\r\n"].concat();
    assert_eq!(text(&forwarded(&net, whole.as_bytes())), expected);
}
