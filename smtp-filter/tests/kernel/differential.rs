//! What the kernel does and what the same datapath does in user space never differ: random conversations, torn,
//! repeated, changed and out of order, under a policy with scopes that changes, through both.
//!
//! Invariants: I1, I4, I7.

use anyhow::{Context as _, Result, ensure};
use smtp_filter::policy::parse;
use smtp_filter_testkit::{
    Random,
    dialogue::{
        Hook, Outcome,
        Side::{self, Client, Server},
        Step, Talk,
    },
    kernel::{Kernel, in_private_namespace},
};

const STEPS: usize = 200_000;

const COMMANDS: &[&[u8]] = &[
    b"HELO a\r\n",
    b"EHLO client.example\r\n",
    b"ehlo\n",
    b"MAIL FROM:<alice@client.example>\r\n",
    b"RCPT TO:<bob@server.example>\r\n",
    b"DATA\r\n",
    b"text\r\n.\r\n",
    b"line\r\n..\r\n.x\r\nlong long long long long long long long long long long long long line\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\r\n.\rx",
    b"BDAT 5\r\nEHLO\n",
    b"BDAT 20 LAST\r\n01234567890123456789",
    b"BDAT 0x5\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN\r\n",
    b"AGFsaWNlAHNlY3JldA==\r\n",
    b"NOOP\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"VRFY bob\r\n",
    b"X2345678901234567 what\r\n",
    b"\x16\x03\x01\x00\x05hello",
    b"\r\n",
    b"\0\xff\r\r\n",
];

const TEXT: &[&[u8]] = &[
    b"line\r\n..\r\n.x\r\nlong long long long long long long long long long long long long line\r\n",
    b"a text without any end, and without a dot, so that it may come before a gap, again and again and again",
    b"EHLO in the text\r\n",
    b"\r\n",
    b".",
    b".\r",
    b"\n.\n",
    b"\r\n.x\r\n",
    b"\r\n.\r\n",
];

const REPLIES: &[&[u8]] = &[
    b"220 server.example ESMTP\r\n",
    b"250 Ok\r\n",
    b"250 Ok\r\n",
    b"250 Ok\r\n",
    b"250-server.example\r\n250-CHUNKING\r\n250 SIZE\r\n",
    b"354 go\r\n",
    b"354 go\r\n",
    b"334 \r\n",
    b"503 no\r\n",
    b"221 bye\r\n",
    b"421\r\n",
    b"no reply\r\n",
    b"250",
    b" Ok\r\n",
];

const SETTINGS: &[&str] = &[
    "commands.ehlo=drop",
    "commands.ehlo=log",
    "commands.ehlo=reset",
    "commands.ehlo=mark",
    "commands.bdat=log",
    "commands.starttls=pass",
    "commands.auth=pass",
    "commands.noop=log",
    "commands.vrfy=drop",
    "commands.vrfy=mask",
    "commands.noop=mask",
    "commands.ehlo=downgrade",
    "commands.ehlo=mask",
    "commands.bdat=mask",
    "commands.other=mask",
    "commands.other=log",
    "extensions.starttls=mask",
    "extensions.other=mask",
    "extensions.other=pass",
    "banner.show=host",
    "banner.show=pix",
    "mask.fill=noop",
    "mask.fill=X",
    "mode=monitor",
    "mode=enforce",
    "mode=enforce",
    "guards.sync=reset",
    "guards.sync=drop",
    "capture_envelope=true",
];

/// The same of scopes, that of IPv6 among them going over to IPv4 and back.
const SCOPE_SETTINGS: &[&str] = &[
    "scope.six.clients=2001:db8::/32",
    "scope.six.clients=192.0.2.10",
    "scope.six.commands.ehlo=drop",
    "scope.six.commands.ehlo=inherit",
    "scope.six.commands.other=mask",
    "scope.six.mark.value=0x7",
    "scope.four.servers=198.51.100.25",
    "scope.four.servers=10.0.0.0/8",
    "scope.four.commands.noop=mask",
    "scope.four.extensions.other=mask",
    "scope.four.banner.show=pix",
    "scope.four.guards.sync=reset",
];

/// In force at first.
const POLICY: &str = r#"
profile = "drop-esmtp"
guards = { unknown_connection = { grace = "0s" } }
"#;

/// In force at first, behind [`POLICY`].
const SCOPES: &str = r#"
[[scope]]
name = "six"
clients = ["2001:db8::/32"]
commands = { EHLO = "mark" }

[[scope]]
name = "four"
clients = ["192.0.2.0/24"]
servers = ["198.51.100.0/24"]
commands = { EHLO = "mask" }
"#;

/// What a server says to a command.
fn fitting(command: &[u8]) -> &'static [u8] {
    match command.get(..4).unwrap_or_default() {
        b"DATA" => b"354 go\r\n",
        b"STAR" => b"220 go\r\n",
        b"AUTH" => b"334 \r\n",
        b"EHLO" | b"ehlo" => b"250-server.example\r\n250-CHUNKING\r\n250 SIZE\r\n",
        _ => b"250 Ok\r\n",
    }
}

/// A connection and what its sides have still to say.
struct Chaos {
    talk: Talk,
    random: Random,
    /// It began in mail data.
    in_text: bool,
    /// Bytes that have not passed yet, by side.
    queues: [Vec<u8>; 2],
    /// What the client said last.
    last: &'static [u8],
    /// The last bytes that passed, by side.
    passed: [Vec<u8>; 2],
}

impl Chaos {
    fn new(mut random: Random, port: u16) -> Self {
        let mut talk = if random.one_in(2) { Talk::v4() } else { Talk::v6() };
        talk.client_port = port;
        talk.client_next = talk.client_next.wrapping_add(u32::from(port) << 8);
        talk.handshake();
        let in_text = random.one_in(3);
        if in_text {
            talk.server(b"220 server.example ESMTP\r\n");
            talk.exchange("HELO client.example", "250 server.example");
            talk.exchange("DATA", "354 go");
        }
        Self { talk, random, in_text, queues: Default::default(), last: b"", passed: Default::default() }
    }

    /// The next packet: who sends it, by which way, its offset from the side's next number, its payload.
    fn packet(&mut self) -> (Side, Hook, i32, Vec<u8>) {
        let random = &mut self.random;
        let side = if random.one_in(3) { Server } else { Client };
        let at = usize::from(side == Server);
        let queue = &mut self.queues[at];
        while queue.len() < if side == Client { 60 } else { 1 } {
            let word = if side == Client {
                let words = if self.in_text && !random.one_in(8) { TEXT } else { COMMANDS };
                self.last = random.of(words);
                self.last
            } else if random.one_in(4) {
                random.of(REPLIES)
            } else {
                fitting(self.last)
            };
            queue.extend(word);
            if random.one_in(2) {
                break;
            }
        }
        let mut hook = side.hook();
        if random.one_in(40) {
            hook = Hook { second: random.one_in(2), egress: random.one_in(2) };
        }
        match random.below(12) {
            // A repeat, perhaps with new bytes behind it, perhaps changed.
            0 | 1 if !self.passed[at].is_empty() => {
                let back = 1 + random.below(self.passed[at].len());
                let mut bytes = self.passed[at][self.passed[at].len() - back..].to_vec();
                if random.one_in(2) {
                    bytes.truncate(1 + random.below(back as u64) as usize);
                } else {
                    bytes.extend(&queue[..random.below(queue.len())]);
                }
                if random.one_in(4) {
                    let changed = random.below(bytes.len());
                    bytes[changed] ^= 1 << random.below(8);
                }
                (side, hook, -(back as i32), bytes)
            }
            // Before a gap.
            2 => {
                let from = random.below(queue.len());
                (side, hook, from as i32, queue[from..].to_vec())
            }
            // What was dropped is given up.
            3 => {
                queue.clear();
                queue.extend(b"NOOP\r\n");
                (side, hook, 0, queue.clone())
            }
            4 => (side, hook, 0, Vec::new()),
            _ => {
                let length =
                    if random.one_in(3) { 1 + random.below(3) as usize } else { 1 + random.below(80) as usize };
                (side, hook, 0, queue[..length.min(queue.len())].to_vec())
            }
        }
    }

    fn step(&mut self, kernel: &mut Kernel) -> Result<Outcome> {
        let (side, hook, offset, payload) = self.packet();
        let random = &mut self.random;
        let mut tcp = self.talk.tcp(side);
        tcp.sequence_number = tcp.sequence_number.wrapping_add_signed(offset);
        // Now and then nothing is acknowledged, or less than could be.
        if random.one_in(4) {
            tcp.acknowledgment_number = tcp.acknowledgment_number.wrapping_sub(random.below(60) as u32);
        }
        if random.one_in(60) {
            tcp.window_size = random.below(200) as u16;
        }
        (tcp.psh, tcp.fin, tcp.rst) = (random.one_in(2), random.one_in(200), random.one_in(300));
        (tcp.urg, tcp.syn) = (random.one_in(300), random.one_in(300));
        self.talk.shape.padding = if random.one_in(8) { random.below(20) as usize } else { 0 };
        self.talk.shape.options = if random.one_in(8) { vec![1; 8] } else { Vec::new() };
        self.talk.shape.tags = if random.one_in(8) { vec![0x8100; 1 + random.below(3) as usize] } else { Vec::new() };
        self.talk.shape.lie = if random.one_in(200) { random.below(80) - 40 } else { 0 };
        let special = tcp.fin || tcp.rst || tcp.syn || tcp.urg || self.talk.shape.lie != 0;
        let frame = self.talk.frame(side, tcp, &payload);
        let at = usize::from(side == Server);
        let outcome = kernel.run(hook, &frame, None).with_context(|| {
            format!("{side:?} at {hook:?}, {offset} from its place: {:?}", String::from_utf8_lossy(&payload))
        })?;
        if matches!(outcome, Outcome::Pass | Outcome::Marked(_)) && offset <= 0 && !special {
            let new = (payload.len() as i32 + offset).max(0) as usize;
            let new = new.min(self.queues[at].len());
            self.queues[at].drain(..new);
            self.passed[at].extend(&payload[payload.len() - new.min(payload.len())..]);
            let excess = self.passed[at].len().saturating_sub(300);
            self.passed[at].drain(..excess);
            let next = if side == Client { &mut self.talk.client_next } else { &mut self.talk.server_next };
            *next = next.wrapping_add(new as u32);
        }
        Ok(outcome)
    }
}

/// What came out of it, to see that the conversations were worth something.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    marked: usize,
    dropped: usize,
    reset: usize,
}

/// Plays the beginning of a conversation. Whether the banner is rewritten depends on the policy in force by then.
fn begin(kernel: &mut Kernel, talk: &Talk) -> Result<()> {
    for step in &talk.steps {
        let Step::Packet { hook, frame, expected, next, .. } = step else { continue };
        let outcome = kernel.run(*hook, frame, Some(*next))?;
        ensure!(outcome == *expected, "{outcome:?} instead of {expected:?}");
    }
    Ok(())
}

/// Random conversations of so many packets; of so many of them one changes the policy.
fn converse(policy: &str, settings: &[&str], steps: usize, every: u32) -> Result<()> {
    let policy = parse("the policy", policy)?;
    in_private_namespace(|| {
        let mut kernel = Kernel::load_for(&policy, 65_536)?;
        let mut tally = Tally::default();
        let mut port = 1024;
        let mut chaos = Chaos::new(Random::new(0x5317_2026), port);
        begin(&mut kernel, &chaos.talk)?;
        for number in 0..steps {
            let outcome = chaos.step(&mut kernel).with_context(|| format!("step {number}, port {port}"))?;
            match outcome {
                Outcome::Pass => tally.passed += 1,
                Outcome::Marked(_) => tally.marked += 1,
                Outcome::Drop => tally.dropped += 1,
                Outcome::Reset | Outcome::ResetSender => tally.reset += 1,
            }
            if chaos.random.one_in(every) {
                kernel.set(&[chaos.random.of(settings)])?;
            }
            // Behind a reset the time decides how often a RST goes out, and that is not the same for both.
            if matches!(outcome, Outcome::Reset | Outcome::ResetSender) || chaos.random.one_in(60) {
                port += 1;
                chaos = Chaos::new(chaos.random.clone(), port);
                begin(&mut kernel, &chaos.talk)?;
            }
            // The ring of the reader is of a size.
            if number % 1000 == 0 {
                kernel.agrees_with_user_space().with_context(|| format!("until step {number}"))?;
            }
        }
        kernel.agrees_with_user_space()?;
        println!("{tally:?}, {} connections; {:#?}", port - 1023, kernel.counters()?);
        let Tally { passed, marked, dropped, reset } = tally;
        ensure!(passed > steps / 5 && dropped > steps / 10 && marked > 100 && reset > 50, "{tally:?}");
        Ok(())
    })
}

#[test(root)]
fn kernel_and_user_space_never_differ() -> Result<()> {
    converse(POLICY, SETTINGS, STEPS, 30)
}

/// Fewer changes: the kernel waits with each until nobody looks into the trie of prefixes before.
#[test(root)]
fn they_do_not_differ_under_scopes() -> Result<()> {
    converse(&[POLICY, SCOPES].concat(), &[SETTINGS, SCOPE_SETTINGS].concat(), STEPS / 2, 100)
}
