//! Random dialogues under random policies that rewrite, torn, repeated with the same and with other bytes, while the policy
//! changes: what a receiver may put together is one stream (I4), and reads as what the policy allows (I1, I2).

mod support;

use std::fmt::Write as _;

use smtp_filter_common::{
    action::Action,
    policy::{FILL_NOOP, FILL_X, Policy},
    reason::{FIRST_KEYWORD, FIRST_NAME},
    smtp,
    verdict::Verdict,
    word::Word,
};
use support::{Net, dice::Dice, policy, rewriting::forwarded};

const VERBS: [&str; 12] =
    ["HELO", "EHLO", "HELP", "HELPME", "VRFY", "RSET", "BDAT", "DATA", "AUTH", "STARTTLS", "NOOP", "TRY"];
const BLANKS: [&str; 8] = [" ", " ", " ", "\t", "  ", "\0", "\r", "\x7f"];
const ENDS: [&str; 6] = ["\r\n", "\r\n", "\r\n", "\n", "\r\r\n", " \r\n"];
const ARGUMENTS: [&str; 8] = ["", "5", "root", "1", "5 LAST", "a\rEHLO b", "PLAIN AGEAYg==", "x y z"];
const KEYWORDS: [&str; 10] =
    ["SIZE", "SIZ", "SIZEABLE", "STARTTLS", "AUTH=LOGIN", "AUTH", "CHUNKING", "DSN", "AUTHY", "ENHANCEDSTATUSCODES"];

/// Actions by verb, or by keyword.
fn draw(dice: &mut Dice, keywords: bool) -> Policy {
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

fn any<'a>(dice: &mut Dice, list: &[&'a str]) -> &'a str {
    list[dice.below(list.len() as u32) as usize]
}

fn any_case(dice: &mut Dice, word: &str) -> String {
    if dice.one_in(3) { word.to_ascii_lowercase() } else { word.to_owned() }
}

fn command(dice: &mut Dice) -> String {
    let before = if dice.one_in(5) { any(dice, &BLANKS) } else { "" };
    let verb = any(dice, &VERBS);
    let length = if dice.one_in(6) { 1 + dice.below(verb.len() as u32) as usize } else { verb.len() };
    let verb = any_case(dice, &verb[..length]);
    let mut line = before.to_owned() + &verb;
    if !dice.one_in(3) {
        line += any(dice, &BLANKS);
        line += any(dice, &ARGUMENTS);
    }
    line + any(dice, &ENDS)
}

fn word(line: &[u8], keyword: bool) -> Vec<u8> {
    let blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f || keyword && *byte == b'=';
    line.split(blank).find(|word| !word.is_empty()).unwrap_or_default().to_ascii_uppercase()
}

fn lines(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    stream.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"))
}

/// One direction of what goes through the filter.
struct Stream {
    from_client: bool,
    /// What its sender says, as far as it has passed.
    sent: Vec<u8>,
    /// What its receiver got of it, as forwarded first.
    got: Vec<u8>,
    /// What comes next.
    queue: Vec<u8>,
    acknowledged: usize,
    trace: String,
}

impl Stream {
    fn new(from_client: bool) -> Self {
        let (sent, got, queue) = Default::default();
        Self { from_client, sent, got, queue, acknowledged: 0, trace: String::new() }
    }

    /// One segment: new bytes, a repeat, or both.
    fn step(&mut self, net: &mut Net, dice: &mut Dice, base: u32) -> Verdict {
        let mut at = self.sent.len();
        let back = at - self.acknowledged.saturating_sub(8).min(at);
        let mut bytes = Vec::new();
        let mut honest = false;
        if dice.one_in(3) && back > 0 {
            let back = 1 + dice.below(back as u32) as usize;
            at -= back;
            let length = if dice.one_in(2) { back } else { 1 + dice.below(back as u32) as usize };
            let from = if dice.one_in(3) { &self.got } else { &self.sent };
            bytes.extend(&from[at..at + length]);
            honest = !dice.one_in(3);
            if !honest {
                let evil = command(dice).into_bytes();
                let place = dice.below(length as u32) as usize;
                for (to, from) in bytes[place..].iter_mut().zip(evil) {
                    *to = from;
                }
            }
        }
        let new = if at + bytes.len() == self.sent.len() {
            let most = if dice.one_in(2) { 3 } else { 60 };
            let new = 1 + dice.below(most) as usize;
            &self.queue[..new.min(self.queue.len())]
        } else {
            &[]
        };
        bytes.extend(new);
        if bytes.is_empty() {
            return Verdict::Drop;
        }
        let new = new.len();
        let verdict = if self.from_client {
            net.client_at(base + at as u32, &bytes)
        } else {
            net.server_at(base + at as u32, &bytes)
        };
        let _ = writeln!(self.trace, "{at}+{} {verdict:?} {:?}", bytes.len(), String::from_utf8_lossy(&bytes));
        assert!(new > 0 || !honest || verdict == Verdict::Pass, "an honest repeat passes\n{}", self.trace);
        if verdict != Verdict::Pass {
            return verdict;
        }
        let out = forwarded(net, &bytes);
        let _ = writeln!(self.trace, "    {:?}", String::from_utf8_lossy(&out));
        for (i, byte) in out.iter().enumerate().filter(|(i, _)| at + i >= self.acknowledged) {
            match self.got.get(at + i) {
                Some(first) => assert_eq!(first, byte, "another byte at {}\n{}", at + i, self.trace),
                None => self.got.push(*byte),
            }
        }
        let added = &bytes[bytes.len() - new..];
        self.sent.extend(added);
        self.queue.drain(..new);
        verdict
    }
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
    let dice = &mut Dice(seed);
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
        let chunk = usize::from(net.mode() == smtp::MASKED_CHUNK);
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

fn rounds() -> u64 {
    std::env::var("ATTACKS").ok().and_then(|number| number.parse().ok()).unwrap_or(3000)
}

fn answer(dice: &mut Dice) -> String {
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
    let dice = &mut Dice(seed);
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
    for _ in 0..8 {
        let asks = !dice.one_in(4);
        assert_eq!(net.say(if asks { "EHLO c\r\n" } else { "HELP\r\n" }), Verdict::Pass);
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
        let told: u64 = (FIRST_KEYWORD..FIRST_KEYWORD + 8)
            .map(|reason| net.world.counter(reason, Action::Mask, false).segments)
            .sum();
        assert_eq!(told, seen, "what is not hidden is said, seed {seed}\n{}", stream.trace);
    }
}

#[test]
fn no_keyword_gets_through_that_is_not_allowed() {
    for seed in 0..rounds() {
        replies(seed);
    }
}
