//! Replay in the kernel says what replay in user space says, to the byte: of real captures, and of made ones in which
//! nothing is as it should be.
//!
//! Invariants: I1, I7.

use std::{fs, io::Cursor, thread};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smtp_filter::{
    events::view::EventView,
    policy::{Document, parse},
    replay::{
        Judge, Replay, Seen, Source,
        capture::{self, Packet, Sink},
        kernel::Kernel,
    },
    tables::CounterRow,
};
use smtp_filter_common::{userspace::World, verdict::Verdict};
use smtp_filter_testkit::{
    Random,
    captures::{Endian, Frame, LinkType, Ng, Pcap, Recording, dialogue},
    folders,
};

const POLICIES: [&str; 10] = [
    "mode = \"enforce\"\ncapture_envelope = true\n",
    "mode = \"monitor\"\n[commands]\nEHLO = \"drop\"\nRCPT = \"reset\"\n[guards]\nsync = \"reset\"\n",
    "profile = \"drop-esmtp\"\n[guards]\nunknown_connection = { action = \"drop\", grace = \"2s\" }\n",
    "profile = \"mark-esmtp\"\n[commands]\nDATA = \"mark\"\nVRFY = \"drop\"\n",
    "mode = \"enforce\"\n[commands]\nVRFY = \"reset\"\nQUIT = \"drop\"\n[guards]\nsync = \"reset\"\n\
     unknown_connection = { action = \"log\", grace = \"0s\" }\n",
    "profile = \"pix-mailguard\"\n",
    "profile = \"asa-esmtp\"\n[commands]\nRCPT = \"mask\"\n",
    "profile = \"hardened\"\n[mask]\nfill = \"noop\"\n[banner]\nshow = \"host-smtp\"\n[commands]\nRSET = \"mask\"\nMAIL = \"mask\"\n",
    "profile = \"helo-only\"\n[banner]\nshow = \"host\"\n[commands]\nBDAT = \"mask\"\nother = \"mask\"\n",
    "profile = \"drop-esmtp\"\n[[scope]]\nname = \"low\"\nclients = [\"0.0.0.0/1\", \"2000::/3\"]\n\
     commands = { EHLO = \"mask\", DATA = \"log\" }\nbanner = { show = \"pix\" }\n\
     [[scope]]\nname = \"even\"\nservers = [\"128.0.0.0/1\", \"2001::/16\"]\ncommands = { EHLO = \"log\" }\n\
     extensions = { other = \"mask\" }\n",
];

/// What was said of one frame, and what came out for it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    verdict: Option<Verdict>,
    events: Vec<EventView>,
    out: Vec<(Vec<u8>, u32)>,
}

impl Step {
    fn words(&self) -> String {
        let out: Vec<_> = self.out.iter().map(|(bytes, length)| format!("{length}: {}", begin(bytes))).collect();
        format!("{:?} {:?} {out:?}", self.verdict, self.events)
    }
}

/// The first bytes of a frame.
fn begin(frame: &[u8]) -> String {
    let bytes: Vec<String> = frame.iter().take(80).map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

struct Told<J> {
    replay: Replay<J>,
    steps: Vec<Step>,
    frames: Vec<Vec<u8>>,
}

impl<J: Judge> Sink for Told<J> {
    fn frame(&mut self, packet: &Packet<'_>) -> Result<()> {
        let number = self.steps.len() + 1;
        let verdict = self.replay.frame(packet).with_context(|| format!("frame {number}: {}", begin(packet.bytes)))?;
        let mut out = Vec::new();
        self.replay.out(packet, verdict, |bytes, length| {
            out.push((bytes.to_vec(), length));
            Ok(())
        })?;
        self.steps.push(Step { verdict, events: self.replay.events()?, out });
        self.frames.push(packet.bytes.to_vec());
        Ok(())
    }

    fn waits(&mut self, _read: u64) -> Result<()> {
        Ok(())
    }
}

/// What is said of captures, one after the other.
fn told<J: Judge>(judge: J, document: &Document, captures: &[Vec<u8>]) -> Result<Told<J>> {
    let mut told = Told { replay: Replay::before(judge, document)?, steps: Vec::new(), frames: Vec::new() };
    for bytes in captures {
        capture::read(Source::new(Cursor::new(bytes.clone()), Some(bytes.len() as u64)), &mut told)?;
    }
    Ok(told)
}

/// What the filter made of captures, to see that they were worth something.
#[derive(Debug, Default)]
struct Tally {
    frames: usize,
    long: usize,
    events: usize,
    dropped: usize,
    reset: usize,
    answered: usize,
}

/// What all was said of a capture.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    steps: Vec<Step>,
    counters: Vec<CounterRow>,
    opened: u64,
    resets: usize,
    seen: Seen,
}

impl<J: Judge> Told<J> {
    fn whole(self) -> Result<Whole> {
        let (counters, opened) = (self.replay.counters()?, self.replay.opened()?);
        Ok(Whole { counters, opened, resets: self.replay.resets(), seen: self.replay.seen(), steps: self.steps })
    }
}

/// Both say the same of captures.
fn agree(policy: &str, captures: &[Vec<u8>], tally: &mut Tally) -> Result<()> {
    let document = parse("policy", policy).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let user = told(World::new(), &document, captures)?;
    let frames = user.frames.clone();
    let user = user.whole()?;
    // The namespace goes with the thread.
    let kernel = thread::scope(|scope| {
        let kernel = scope.spawn(|| told(Kernel::new()?, &document, captures)?.whole());
        kernel.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    for (number, ((kernel, user), frame)) in kernel.steps.iter().zip(&user.steps).zip(&frames).enumerate() {
        let number = number + 1;
        ensure!(
            kernel == user,
            "frame {number}, {}: {} in the kernel, {} in user space",
            begin(frame),
            kernel.words(),
            user.words()
        );
        tally.frames += 1;
        tally.events += user.events.len();
        tally.long += usize::from(frame.len() > 4096);
        match user.verdict {
            Some(Verdict::Drop) => tally.dropped += 1,
            Some(Verdict::Reset) => tally.reset += 1,
            Some(Verdict::ResetSender) => tally.answered += 1,
            Some(Verdict::Pass) | None => {}
        }
    }
    ensure!(kernel == user, "the sums differ: {kernel:?}, {user:?}");
    Ok(())
}

#[test(root, captures)]
fn kernel_and_user_space_say_the_same_of_real_captures() -> Result<()> {
    let folder = folders::captures();
    let files: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("expected.json"))?)?;
    ensure!(!files.is_empty());
    let mut tally = Tally::default();
    let mut captures = Vec::new();
    for file in files {
        let name = file["file"].as_str().context("a name")?;
        captures.push(fs::read(folder.join(name))?);
        agree(POLICIES[0], &captures[captures.len() - 1..], &mut tally).context(name.to_owned())?;
    }
    // Loading takes most of the time: under the others they come one after the other.
    for policy in &POLICIES[1..] {
        agree(policy, &captures, &mut tally).context(*policy)?;
    }
    println!("{tally:?}");
    ensure!(tally.events > 200 && tally.dropped > 20, "{tally:?}");
    Ok(())
}

const COMMANDS: &[&str] = &[
    "EHLO client.example\r\n",
    "HELO client.example\r\n",
    "MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n",
    "VRFY root\r\n",
    "NOOP\r\n",
    "RSET\r\nNOOP\r\n",
    "AUTH PLAIN AGEAYg==\r\n",
    "BDAT 6 LAST\r\nabc\r\n.",
    "STARTTLS\r\n",
    "A\0B c\r\n",
    "VERYLONGWORDOFMORETHANSIXTEEN x\n",
    "QUIT\r\n",
];

/// Lines of mail data.
const LINES: &[&str] =
    &["EHLO in a mail\r\n", "some text of a mail, and more\r\n", "..\r\n", "\r\n", "x\n.\ny", ". \r\n"];

/// What is said in a connection, `true` by the client.
fn says(random: &mut Random) -> Vec<(bool, Vec<u8>)> {
    let mut says = vec![(false, b"220 mail.example ESMTP\r\n".to_vec())];
    for _ in 0..2 + random.below(5) {
        if random.one_in(3) {
            says.push((true, b"DATA\r\n".to_vec()));
            let reply: &[u8] = if random.one_in(5) { b"503 no\r\n" } else { b"354 go\r\n" };
            says.push((false, reply.to_vec()));
            let mut text = Vec::new();
            let most = if random.one_in(3) { 2500 } else { 40 };
            for _ in 0..random.below(most) {
                text.extend(random.of(LINES).as_bytes());
            }
            text.extend(b"\r\n.\r\n");
            says.push((true, text));
            says.push((false, b"250 ok\r\n".to_vec()));
        } else {
            says.push((true, random.of(COMMANDS).as_bytes().to_vec()));
            let reply = random.of(&[
                "250 ok\r\n",
                "250-mail.example\r\n250-CHUNKING\r\n250 STARTTLS\r\n",
                "500 what\r\n",
                "220 go on\r\n",
                "334 \r\n",
            ]);
            says.push((false, reply.as_bytes().to_vec()));
        }
    }
    says
}

/// A connection in which segments are lost, repeated, changed, cut otherwise and out of order.
fn connection(random: &mut Random, port: u16) -> Vec<Frame> {
    let mut talk = Recording::new(port);
    talk.over_ipv6(random.one_in(2));
    talk.wait(random.below(3_000_000_000));
    let mut frames = if random.one_in(8) { Vec::new() } else { talk.handshake() };
    for (from_client, bytes) in says(random) {
        let begin = talk.said(from_client);
        let largest = random.of(&[3, 80, 1460, 1460, 20_000, 60_000]);
        let mut at = 0;
        while at < bytes.len() {
            let size = (1 + random.below(largest)) as usize;
            let piece = &bytes[at..bytes.len().min(at + size)];
            frames.push(talk.says(from_client, piece));
            match random.below(24) {
                // It comes again, as it was, from before, or changed.
                0 => frames.push(talk.at(from_client, begin + at as u32, piece)),
                1 => frames.push(talk.at(from_client, begin, &bytes[..at + piece.len()])),
                2 => {
                    let mut changed = piece.to_vec();
                    changed[random.below(piece.len())] ^= 1 << random.below(8);
                    frames.push(talk.at(from_client, begin + at as u32, &changed));
                }
                // It is lost, or late.
                3 => drop(frames.pop()),
                4 if frames.len() > 1 => {
                    let last = frames.len() - 1;
                    frames.swap(last - 1, last);
                }
                5 => talk.wait(random.below(40_000_000)),
                6 => frames.push(talk.acknowledges(!from_client)),
                _ => {}
            }
            at += piece.len();
        }
        match random.below(40) {
            0 => frames.push(talk.odd(from_client, |tcp| tcp.rst = true)),
            1 => frames.push(talk.odd(from_client, |tcp| tcp.syn = true)),
            2 => frames.push(talk.odd(true, |tcp| (tcp.syn, tcp.ack) = (true, false))),
            3 => frames.push(talk.odd(from_client, |tcp| tcp.urg = true)),
            4 => frames.push(talk.fin(from_client)),
            _ => {}
        }
    }
    frames.push(talk.fin(true));
    frames.push(talk.fin(false));
    // Bytes that are wrong, or behind the datagram, in some.
    for frame in &mut frames {
        if random.one_in(60) {
            let at = random.below(frame.bytes.len().min(60));
            frame.bytes[at] ^= 1 << random.below(8);
        }
        if random.one_in(20) {
            frame.bytes.extend(vec![0; random.below(20) as usize]);
        }
        if random.one_in(100) {
            frame.bytes.truncate(random.below(frame.bytes.len()));
        }
    }
    frames
}

/// Connections, one frame of this one and one of that one.
fn mixed(random: &mut Random, connections: u16) -> Vec<Frame> {
    let mut open: Vec<_> =
        (0..connections).map(|number| connection(random, 40_000 + number % 20).into_iter().peekable()).collect();
    let mut frames = Vec::new();
    while !open.is_empty() {
        let at = random.below(open.len());
        let Some(frame) = open[at].next() else {
            drop(open.swap_remove(at));
            continue;
        };
        frames.push(frame);
    }
    let tags: &[&[u16]] = &[&[], &[0x8100], &[0x88a8, 0x8100], &[0x8100, 0x8100]];
    let tags = random.of(tags);
    for frame in &mut frames {
        frame.tags = tags.to_vec();
    }
    frames
}

#[test(root, long)]
fn kernel_and_user_space_say_the_same_of_made_captures() -> Result<()> {
    const ROUNDS: u64 = 24;
    let mut tally = Tally::default();
    for round in 0..ROUNDS {
        let mut random = Random::new(0x2026_1124 + round * 0x9e37_79b9);
        let frames = mixed(&mut random, 25);
        let link = LinkType::ALL[round as usize % LinkType::ALL.len()];
        let bytes = if random.one_in(3) {
            let mut file = Ng::new(random.of(&[Endian::Little, Endian::Big]));
            file.interface(link, &[(2, b"eth0")]);
            file.interface(link, &[(2, b"eth1")]);
            for frame in &frames {
                // Now and then forged: from where the client is.
                let inward = frame.from_client || random.one_in(40);
                let flags = [if inward { 1 } else { 2 }, 0, 0, 0];
                let interface = u32::from(random.one_in(30));
                file.frame(interface, link, frame.time / 1000, frame, &[(2, &flags)]);
            }
            file.bytes
        } else {
            let mut file = Pcap::new(link, random.of(&[Endian::Little, Endian::Big]), random.one_in(2));
            for frame in &frames {
                let longest = if random.one_in(100) { random.below(100) as usize } else { usize::MAX };
                file.frame(frame, longest);
            }
            file.bytes
        };
        let policy = POLICIES[random.below(POLICIES.len())];
        agree(policy, &[bytes], &mut tally).with_context(|| format!("round {round}, {link:?}, under {policy}"))?;
    }
    println!("{tally:?}");
    let Tally { events, long, dropped, reset, answered, .. } = tally;
    ensure!(events > 1000 && long > 100 && dropped > 1000 && reset > 20 && answered > 20, "{tally:?}");
    Ok(())
}

/// Frames as network cards and the kernel merge them, tagged and not, with a reset among them, in both directions.
#[test(root)]
fn long_frames_are_judged_by_the_wire_whatever_lies_before_them() -> Result<()> {
    let mut text = b"a line of sixteen\r\n".repeat(3_300);
    text.truncate(65_400);
    // More lines than this are not read of one segment.
    let noops = b"NOOP for the length of it.....\r\n".repeat(200);
    let vrfy = [noops.as_slice(), b"VRFY root\r\n"].concat();
    let replies = b"250 ok, for the length of it....\r\n".repeat(200);
    let says: [(bool, &[u8]); 9] = [
        (false, b"220 mail.example ESMTP\r\n"),
        (true, b"HELO client.example\r\n"),
        (false, b"250 ok\r\n"),
        (true, &noops),
        (false, &replies),
        (true, b"DATA\r\n"),
        (false, b"354 go\r\n"),
        (true, &text),
        (true, &vrfy),
    ];
    let mut in_text = dialogue(&mut Recording::new(41_234), &says);
    let mut talk = Recording::new(41_235);
    talk.over_ipv6(true);
    let reset = dialogue(&mut talk, &[says[0], says[1], says[2], (true, &vrfy), (false, &replies)]);
    in_text.extend(reset);
    let tags: [&[u16]; 4] = [&[], &[0x8100], &[0x88a8, 0x8100], &[0x8100, 0x8100]];
    for tags in tags {
        let mut file = Ng::new(Endian::Little);
        file.interface(LinkType::Ethernet, &[]);
        for frame in &mut in_text {
            frame.tags = tags.to_vec();
            let flags = [if frame.from_client { 1 } else { 2 }, 0, 0, 0];
            file.frame(0, LinkType::Ethernet, frame.time / 1000, frame, &[(2, &flags)]);
        }
        let mut tally = Tally::default();
        agree(POLICIES[4], &[file.bytes], &mut tally).with_context(|| format!("{tags:02x?}"))?;
        ensure!(tally.long == 6 && tally.reset == 1, "{tally:?}");
    }
    Ok(())
}
