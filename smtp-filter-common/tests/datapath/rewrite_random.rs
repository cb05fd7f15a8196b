//! Random dialogues under random policies that rewrite, torn, repeated with the same and with other bytes, while the
//! policy changes: what a receiver may put together is one stream (I4), and reads as what the policy allows (I1, I2).

use std::fmt::Write as _;

use crate::support::{
    Net, policy,
    stream::{BLANKS, Stream, VERBS, any, any_case, command, lines, rounds},
};
use smtp_filter_common::{
    action::Action,
    policy::{FILL_NOOP, FILL_X, Policy},
    reason::{FIRST_KEYWORD, FIRST_NAME},
    session,
    verdict::Verdict,
    word::Word,
};
use smtp_filter_testkit::Random;

const KEYWORDS: [&str; 10] =
    ["SIZE", "SIZ", "SIZEABLE", "STARTTLS", "AUTH=LOGIN", "AUTH", "CHUNKING", "DSN", "AUTHY", "ENHANCEDSTATUSCODES"];

/// Actions by verb, or by keyword.
fn draw(dice: &mut Random, keywords: bool) -> Policy {
    let mut policy = policy();
    policy.verbs = Policy::empty().verbs;
    policy.fill = if dice.one_in(2) { FILL_X } else { FILL_NOOP };
    let actions = [Action::Pass, Action::Mask, Action::Log, Action::Mask, Action::Drop, Action::Reset];
    policy.other = actions[dice.below(if keywords { 1 } else { 5 }) as usize] as u8;
    policy.other_keyword = actions[dice.below(4) as usize] as u8;
    for (place, verb) in VERBS.iter().enumerate().filter(|_| !keywords) {
        let action = match (*verb, dice.below(6)) {
            ("BDAT", _) => Action::Mask,
            ("EHLO", 0..3) => Action::Downgrade,
            (_, 5) => continue,
            (_, action) => actions[action as usize],
        };
        assert!(policy.set_verb(Word::of(verb), action, place as u8 + 1));
    }
    for (place, keyword) in ["SIZE", "SIZEABLE", "STARTTLS", "AUTH", "CHUNKING"].iter().enumerate() {
        if !dice.one_in(4) {
            let action = if dice.one_in(2) { Action::Pass } else { Action::Mask };
            assert!(policy.set_keyword(Word::of(keyword), action, place as u8 + 1));
        }
    }
    policy
}

fn word(line: &[u8], keyword: bool) -> Vec<u8> {
    let blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f || keyword && *byte == b'=';
    line.split(blank).find(|word| !word.is_empty()).unwrap_or_default().to_ascii_uppercase()
}

/// Whether a policy lets this word through to the server as long as its line has not ended.
fn may_begin(policy: &Policy, name: &[u8]) -> bool {
    let verdict = Word::new(name).map(|name| policy.verb(name));
    let masks = |action| action == Action::Mask as u8 || action == Action::Downgrade as u8;
    may_pass(policy, name) || verdict.is_none_or(|verdict| verdict.reason == FIRST_NAME || !masks(verdict.action))
}

/// Whether a policy lets this word through to the server, or made it.
fn may_pass(policy: &Policy, name: &[u8]) -> bool {
    let verdict = Word::new(name).map_or(policy.other, |name| policy.verb(name).action);
    let named = Word::new(name).is_some_and(|name| policy.verb(name).reason != FIRST_NAME);
    let made = name.ends_with(b"X") && !named || name == b"NOOP" && policy.fill == FILL_NOOP || name == b"HELO";
    name.is_empty() || made || verdict < Action::Downgrade as u8
}

fn commands(seed: u64) {
    let dice = &mut Random::new(seed);
    let policies = [draw(dice, false), draw(dice, false)];
    let changes = dice.one_in(2);
    let mut net = Net::new(policies[0].clone());
    net.v6 = dice.one_in(2);
    net.client.isn = 0_u32.wrapping_sub(dice.below(300));
    net.handshake();
    net.reply("220 x\r\n");
    net.client_acks();
    let mut stream = Stream::new(true);
    let (mut answered, mut stuck) = (0, 0);
    let in_force = &policies[..1 + usize::from(changes)];
    for _ in 0..150 {
        while stream.queue.len() < 60 {
            stream.queue.extend(command(dice).bytes());
        }
        let verdict = stream.step(&mut net, dice, 0);
        let begun = word(stream.got.split(|byte| *byte == b'\n').next_back().unwrap_or_default(), false);
        let begins = in_force.iter().any(|policy| may_begin(policy, &begun));
        assert!(begins, "{:?} went on, seed {seed}\n{}", String::from_utf8_lossy(&begun), stream.trace);
        if verdict == Verdict::Reset {
            break;
        }
        let count = lines(&stream.got).count();
        let waiting: usize = {
            let session = net.state().session;
            session.pending[..usize::from(session.runs)].iter().map(|run| usize::from(run & 0xfff)).sum()
        };
        let chunk = usize::from(net.mode() == session::Mode::MASKED_CHUNK);
        assert_eq!(waiting, count - answered + chunk, "replies that are due, seed {seed}\n{}", stream.trace);
        stuck = if verdict == Verdict::Pass { 0 } else { stuck + 1 };
        if stuck > 4 {
            // Nothing that is dropped is sent again.
            stream.queue.clear();
        }
        if dice.one_in(3) && count > answered {
            let line = lines(&stream.got).nth(answered).expect("it came").to_vec();
            let name = word(&line, false);
            let held = [&b"DATA"[..], b"AUTH", b"STARTTLS", b"BDAT"].contains(&&name[..]);
            net.server.acked = stream.acknowledged as u32;
            assert_eq!(
                net.server_at(net.server.next, if held || dice.one_in(2) { b"500 x\r\n" } else { b"250 x\r\n" }),
                Verdict::Pass
            );
            net.server.next += 7;
            net.client_acks();
            answered += 1;
        }
        if dice.one_in(4) {
            stream.acknowledged += dice.below((stream.got.len() - stream.acknowledged) as u32 + 1) as usize;
            net.server.acked = stream.acknowledged as u32;
            net.server_at(net.server.next, b"");
        }
        if changes && dice.one_in(10) {
            net.policy = policies[dice.below(2) as usize].clone();
        }
    }
    for line in lines(&stream.got) {
        let name = word(line, false);
        let passes = in_force.iter().any(|policy| may_pass(policy, &name));
        assert!(passes, "{:?} went on, seed {seed}\n{}", String::from_utf8_lossy(line), stream.trace);
    }
}

#[test]
fn no_command_gets_through_that_is_not_allowed() {
    for seed in 0..rounds() {
        commands(seed);
    }
}

fn answer(dice: &mut Random) -> String {
    let code = if dice.one_in(5) { "550" } else { "250" };
    let count = dice.below(6);
    let mut reply = String::new();
    for i in 0..=count {
        let text = if i == 0 {
            "mx.example STARTTLS".to_owned()
        } else {
            let before = if dice.one_in(6) { any(dice, &BLANKS) } else { "" };
            let keyword = any(dice, &KEYWORDS);
            let keyword = any_case(dice, keyword);
            let behind = if dice.one_in(2) { any(dice, &[" 10", "=A B", " \r", "\t"]) } else { "" };
            format!("{before}{keyword}{behind}")
        };
        let end = if dice.one_in(5) { "\n" } else { "\r\n" };
        let _ = write!(reply, "{code}{}{text}{end}", if i == count { ' ' } else { '-' });
    }
    reply
}

fn replies(seed: u64) {
    let dice = &mut Random::new(seed);
    let policies = [draw(dice, true), draw(dice, true)];
    let changes = dice.one_in(2);
    let mut net = Net::new(policies[0].clone());
    net.server.isn = 0_u32.wrapping_sub(dice.below(300));
    net.handshake();
    net.reply("220 x\r\n");
    let base = net.server.next;
    net.client_acks();
    let mut stream = Stream::new(false);
    // By line: whether it may hold a keyword.
    let mut may = Vec::new();
    let asked: Vec<bool> = (0..8).map(|_| !dice.one_in(4)).collect();
    for i in 0..8 {
        // As long as an EHLO waits, all that may be its reply is looked through.
        let asks = asked[i..].contains(&true);
        assert_eq!(net.say(if asked[i] { "EHLO c\r\n" } else { "HELP\r\n" }), Verdict::Pass);
        net.server.acked = net.client.next;
        let reply = answer(dice);
        may.extend(lines(reply.as_bytes()).enumerate().map(|(i, line)| asks && i > 0 && line[0] == b'2'));
        stream.queue.extend(reply.bytes());
    }
    net.client.acked = base;
    for _ in 0..2000 {
        if stream.queue.is_empty() {
            break;
        }
        stream.step(&mut net, dice, base);
        if dice.one_in(2) {
            stream.acknowledged += dice.below((stream.got.len() - stream.acknowledged) as u32 + 1) as usize;
            net.client.acked = base + stream.acknowledged as u32;
            net.client_at(net.client.next, b"");
        }
        if changes && dice.one_in(10) {
            net.policy = policies[dice.below(2) as usize].clone();
        }
    }
    assert!(stream.queue.is_empty(), "an honest reply arrives, seed {seed}\n{}", stream.trace);
    let mut seen = 0;
    for ((said, got), may) in lines(&stream.sent).zip(lines(&stream.got)).zip(&may) {
        let shown = String::from_utf8_lossy(got).into_owned();
        assert_eq!((said.len(), &said[..4]), (got.len(), &got[..4]), "seed {seed}\n{}", stream.trace);
        if !may {
            assert_eq!(said, got, "no keyword, seed {seed}\n{}", stream.trace);
            continue;
        }
        let (was, is) = (word(&said[4..], true), word(&got[4..], true));
        let masks = |policy: &Policy| {
            Word::new(&was).map_or(policy.other_keyword, |word| policy.keyword(word).action) == Action::Mask as u8
        };
        let hidden = was != is && is.ends_with(b"X");
        assert!(hidden || was == is, "seed {seed}: {shown:?}\n{}", stream.trace);
        if policies[..1 + usize::from(changes)].iter().all(masks) && !hidden {
            seen += 1;
            let begins = KEYWORDS.iter().any(|keyword| keyword.as_bytes().starts_with(&was));
            assert!(begins && was.len() < 8, "{shown:?} is shown, seed {seed}\n{}", stream.trace);
        }
    }
    if !changes {
        let reported: u64 = (FIRST_KEYWORD..FIRST_KEYWORD + 8)
            .map(|reason| net.world.counter(reason, Action::Mask, false).segments)
            .sum();
        assert_eq!(reported, seen, "what is not hidden is said, seed {seed}\n{}", stream.trace);
    }
}

#[test]
fn no_keyword_gets_through_that_is_not_allowed() {
    for seed in 0..rounds() {
        replies(seed);
    }
}
