//! The attacker: knows all that happens on both sides of the filter, and chooses what is sent and what arrives. The
//! dice lean towards what is scarce (places for boundaries, for ranges, for regions) and towards borders.

use super::{
    play::Style,
    run::{Filter, Run},
    script::{Answer, Bytes, LITERAL, Op, Segment, Setup, Stage, Taste},
    server::{CHUNKING, LMTP, Mode, POLITE, PRDR, VERBOSE},
    wire::{ACK, FIN, PSH, RST, SYN, URG},
};
use crate::Random;

const TEXT: [&[u8]; 16] = [
    b"a",
    b"a",
    b"\r",
    b"\n",
    b".",
    b"\r\n",
    b"\r\n.",
    b".\r\n",
    b"\r\n.\r",
    b"\n.",
    b"aaaa",
    b"aa",
    b"aaa",
    b"\r\n.\r\n",
    b"\r\nVRFY a\r\n",
    b"\nVRFY a\r\n",
];

const COMMANDS: [&[u8]; 34] = [
    b"VRFY a\r\n",
    b"VRFY a\r\n",
    b" vrfy\tb\n",
    b"\r\nVRFY a\r\n",
    b"EHLO c\r\n",
    b"HELO c\r\n",
    b"NOOP\r\n",
    b"NOOP\r\n",
    b"DATA\r\n",
    b"DATA\r\n",
    b"DATA\r\n",
    b"data\n",
    b"BDAT 3\r\nabc",
    b"BDAT 7 LAST\r\nVRFY a\n",
    b"BDAT 1\r\nB",
    b"BDAT 03\r\nabc",
    b"BDAT  4\r\nabcd",
    b"BDAT 20\r\n",
    b"AUTH LOGIN\r\n",
    b"VRFY\r\n",
    b"*\r\n",
    b"STARTTLS\r\n",
    b"MAIL FROM:<a> PRDR\r\n",
    b"RCPT TO:<b>\r\n",
    b"RCPT TO:<b>\r\n",
    b"LHLO c\r\n",
    b"VERB\r\n",
    b"RSET\r\n",
    b"\r\n",
    b"HELP\r\n",
    b"\r\n.\r\n",
    b".\r\n",
    b"QUIT\r\n",
    b"X\r\n",
];

/// How a run begins.
pub fn setup(dice: &mut Random, policies: u32, style: Style) -> Setup {
    let near_wrap = |dice: &mut Random| {
        if dice.one_in(2) { 0_u32.wrapping_sub(dice.below(200)) } else { dice.next() as u32 }
    };
    let stage = match dice.below(16) {
        0 if style.handshakes => Stage::Answered,
        1..4 => Stage::Greeted,
        4..8 => Stage::Hello,
        _ => Stage::Data,
    };
    let mut quirks = dice.next() as u8;
    if !style.replies {
        quirks &= !(VERBOSE | LMTP | PRDR);
    }
    if dice.one_in(2) {
        quirks |= POLITE;
    }
    if stage == Stage::Hello && !dice.one_in(3) {
        quirks |= CHUNKING;
    }
    Setup {
        policy: dice.below(policies) as u8,
        stage,
        taste: dice.of(&[Taste::First, Taste::Last, Taste::Overlap]),
        quirks,
        answers: dice.next() as u32,
        client_isn: near_wrap(dice),
        server_isn: near_wrap(dice),
        window: if dice.one_in(6) { 20 + dice.below(100) as u16 } else { u16::MAX },
        age: if style.ages && dice.one_in(24) { (1 << 31) - 1 - dice.below(200) } else { 0 },
        other_syn: if dice.one_in(40) { dice.below(7) as i8 - 3 } else { 0 },
        crowded: dice.one_in(2),
    }
}

/// Steps of a mail.
const STEPS: u32 = 11;
/// What tells its dice from the others, whose runs stay as they were.
const MAIL: u64 = 0x6d61_696c;

/// What tells the dice of the runs with long segments before gaps from the others.
const BARS: u64 = 0x6261_7273;
/// With what those begin: what would end the mail data after one state.
const COMPLETES: [&[u8]; 6] = [b"\n", b"\r\n", b".\r\n", b"\r\n", b"\n.\r\n", b"\n.\r"];

/// What the attacker has in mind.
pub struct Attacker {
    /// What it chooses by.
    pub dice: Random,
    /// Of eight segments, how many the server takes.
    takes: u32,
    /// Of eight segments, how many are very short.
    short: u32,
    /// Of eight of the server's turns, how many are lost.
    losses: u32,
    /// The server is to have everything up to here first, as it was forwarded.
    walk: usize,
    /// So many short segments come first, of which the server takes none: each needs a place for its boundary.
    flood: u32,
    /// With the last of them an end of data comes, byte by byte or nearly so: how much of it has come.
    ending: Option<usize>,
    /// What is left of a tactic: a segment before a gap, the gap filled, and all of that taken up to where they meet.
    joint: u32,
    /// Where segments before a gap began and ended.
    joints: Vec<usize>,
    /// What is left of a mail that has several replies, with commands pipelined behind it, a DATA the last of them.
    mail: u32,
    /// The server has what it was to have: what comes next is aimed at where it is.
    strike: u32,
    merges: bool,
    /// Segments before a gap begin with what might end the mail data, and are as long as those that pass so.
    bars: Option<Random>,
    policies: u32,
    changes: bool,
    tags: bool,
    pieces: bool,
}

impl Attacker {
    /// With a style in mind, against so many policies.
    pub fn new(mut dice: Random, policies: u32, style: Style) -> Self {
        let (takes, short) = (dice.of(&[0, 0, 3, 6, 8]), dice.of(&[0, 2, 4, 7]));
        let (losses, merges) = (dice.of(&[0, 0, 1, 4]), dice.one_in(5));
        let changes = style.changes && dice.one_in(3);
        let flood = if dice.one_in(4) { dice.of(&[8, 11, 12, 13, 15, 16, 17, 18]) } else { 0 };
        let (ending, joint) = match dice.below(4) {
            0 | 1 => (Some(0), 0),
            2 => (None, 3),
            _ => (None, 0),
        };
        let joints = Vec::new();
        let mut aside = dice.aside(MAIL);
        let mut bars = dice.aside(BARS);
        let bars = bars.one_in(4).then_some(bars);
        let mail = if style.replies && aside.one_in(16) { STEPS } else { 0 };
        Self {
            dice,
            mail,
            takes,
            short,
            losses,
            walk: 0,
            flood,
            ending,
            joint,
            joints,
            strike: 0,
            bars,
            merges,
            policies,
            changes,
            tags: style.tags,
            pieces: style.pieces,
        }
    }

    /// What comes next.
    pub fn next<F: Filter>(&mut self, run: &Run<'_, F>) -> Op {
        if self.walk > run.receiver.next && !self.dice.one_in(32) {
            if let Some(op) = self.walk(run) {
                return op;
            }
            self.walk = 0;
        }
        if std::mem::take(&mut self.walk) > 0 {
            self.strike = 1 + self.dice.below(2);
            return Op::Server(Answer { back: 0, length: 0, lost: false, takes: true, salt: 0 });
        }
        if self.mail > 0 {
            self.mail -= 1;
            return self.mail(run);
        }
        if self.flood > 0 {
            self.flood -= 1;
            return Op::Client(self.flood(run));
        }
        if self.joint > 0 {
            self.joint -= 1;
            if let Some(op) = self.joint(run) {
                return op;
            }
        }
        if self.strike > 0 {
            self.strike -= 1;
            return Op::Client(self.strike(run));
        }
        let behind = run.next[1] < run.server.out.len() || run.client.next < run.next[1];
        match self.dice.below(32) {
            0..6 => self.server(run),
            6..10 if behind => self.server(run),
            10 => {
                self.takes = self.dice.of(&[0, 3, 6, 8]);
                self.short = self.dice.of(&[0, 4, 7]);
                self.client(run)
            }
            11..15 if run.next[0] > run.receiver.next => {
                let to = self.bound(run);
                self.walk = if self.dice.one_in(4) { run.next[0] } else { to };
                self.client(run)
            }
            15 if self.changes => Op::Policy(self.dice.below(self.policies) as u8),
            16 if self.dice.one_in(8) => Op::Prune,
            _ => self.client(run),
        }
    }

    /// A place where a segment began or ended, or close to it; not before what the server waits for.
    fn bound<F: Filter>(&mut self, run: &Run<'_, F>) -> usize {
        let waits = run.receiver.next;
        let mut at = if !self.joints.is_empty() && self.dice.one_in(2) {
            self.dice.of(&self.joints)
        } else if run.bounds.is_empty() {
            run.next[0]
        } else {
            self.dice.of(&run.bounds) as usize
        };
        if self.dice.one_in(5) {
            at = (at + self.dice.below(5) as usize).saturating_sub(2);
        }
        if at < waits && !self.dice.one_in(16) {
            // The first one after it.
            at = run.bounds.iter().map(|bound| *bound as usize).filter(|bound| *bound >= waits).min().unwrap_or(waits);
        }
        at
    }

    /// The next of the segments that the server does not have yet, as it went first, or the server's acknowledgement.
    fn walk<F: Filter>(&mut self, run: &Run<'_, F>) -> Option<Op> {
        if self.dice.one_in(3) {
            return Some(self.server(run));
        }
        let from = run.receiver.next;
        let most = self.walk.min(from + LITERAL);
        let ends = run.bounds.iter().map(|bound| *bound as usize).filter(|bound| *bound > from && *bound <= most);
        let to = if self.dice.one_in(2) { ends.min() } else { ends.max() }.unwrap_or(most);
        let mut bytes = Bytes::NONE;
        run.first(from, to).for_each(|byte| bytes.extend(&[byte]));
        (!bytes.is_empty()).then(|| Op::Client(self.plain(run, from as i32, bytes, 1)))
    }

    /// A short segment that needs a place for its boundary, and that the server does not take.
    fn flood<F: Filter>(&mut self, run: &Run<'_, F>) -> Segment {
        const END: &[u8; 5] = b"\r\n.\r\n";
        let length = 1 + self.dice.below(3) as usize;
        let bytes = match self.ending {
            Some(come) if self.flood < 4 && come < END.len() => {
                let to = (come + length).min(END.len());
                self.ending = Some(to);
                Bytes::new(&END[come..to])
            }
            _ => {
                let mut bytes = Bytes::new(self.dice.of(&TEXT));
                bytes.truncate(length);
                bytes
            }
        };
        self.plain(run, run.next[0] as i32, bytes, 0)
    }

    /// The next step of a mail. Of the replies the last one, that to DATA, may come late.
    fn mail<F: Filter>(&mut self, run: &Run<'_, F>) -> Op {
        const AFTER: [&[u8]; 4] = [b"X\r\n", b"NOOP\r\n", b"RSET\r\n", b"VRFY a\r\n"];
        let in_data = run.server.mode == Mode::Data;
        let mut bytes = Bytes::NONE;
        match self.mail {
            // In a run that begins in mail data its end comes first.
            10 if in_data => bytes.extend(b"\r\n.\r\n"),
            8 => {
                let hello: [&[u8]; 4] = [b"EHLO c\r\n", b"LHLO c\r\n", b"HELO c\r\n", b"LHLO c\r\nEHLO c\r\n"];
                bytes.extend(self.dice.of(&hello));
            }
            7 => bytes.extend(b"MAIL FROM:<a> PRDR\r\n"),
            6 => (0..1 + self.dice.below(3)).for_each(|_| bytes.extend(b"RCPT TO:<b>\r\n")),
            5 => bytes.extend(self.dice.of(&[b"DATA\r\n" as &[u8], b"BDAT 1 LAST\r\na"])),
            3 if in_data => bytes.extend(b".\r\n"),
            // Behind a chunk nothing is waited for.
            3 | 4 if !in_data => bytes.extend(self.dice.of(&AFTER)),
            2 => {
                while self.dice.one_in(2) {
                    bytes.extend(self.dice.of(&AFTER));
                }
                bytes.extend(b"DATA\r\n");
            }
            1 => {
                let missing = run.server.out.len().saturating_sub(run.sent);
                let length = missing.saturating_sub(self.dice.below(20) as usize) as u16;
                return Op::Server(Answer { back: 0, length, lost: false, takes: true, salt: 0 });
            }
            0 => bytes.extend(self.dice.of(&TEXT)),
            _ => return Op::Server(Answer { back: 0, length: 400, lost: false, takes: true, salt: 0 }),
        }
        let takes = u64::from(self.mail > 2 || self.dice.one_in(2));
        Op::Client(self.plain(run, run.next[0] as i32, bytes, takes))
    }

    /// The next step of the tactic.
    fn joint<F: Filter>(&mut self, run: &Run<'_, F>) -> Option<Op> {
        const END: &[u8; 4] = b"\r\n.\r";
        let next = run.next[0];
        let mut bytes = Bytes::NONE;
        while bytes.len() < 4 {
            let text = self.dice.of(&TEXT);
            bytes.extend(if self.dice.one_in(4) { text } else { b"aa" });
        }
        match (self.joint, self.joints.last().copied()) {
            (2, _) => {
                let at = next + 1 + self.dice.below(12) as usize;
                self.joints.push(at);
                bytes.extend(b"aaa");
                let bytes = self.bars(bytes);
                Some(Op::Client(self.plain(run, at as i32, bytes, 0)))
            }
            (1, Some(to)) if to > next => {
                let ending = &END[..self.dice.below(5) as usize];
                bytes.truncate((to - next).saturating_sub(ending.len()));
                while bytes.len() + ending.len() < to - next {
                    bytes.extend(b"a");
                }
                bytes.extend(ending);
                bytes.truncate(to - next);
                let takes = u64::from(!self.dice.one_in(4));
                Some(Op::Client(self.plain(run, next as i32, bytes, takes)))
            }
            (_, Some(to)) if to > run.receiver.next => {
                self.walk = to;
                self.walk(run)
            }
            _ => None,
        }
    }

    /// Other bytes than the first time, right where the server goes on.
    fn strike<F: Filter>(&mut self, run: &Run<'_, F>) -> Segment {
        let mut bytes = self.evil(run);
        if self.dice.one_in(2) {
            bytes.extend(b"aaa");
        }
        let mut to = self.bound(run);
        if to <= run.receiver.next {
            to = run.next[0];
        }
        if self.dice.one_in(2) && to > run.receiver.next {
            bytes.truncate(to - run.receiver.next);
        }
        self.plain(run, run.receiver.next as i32, bytes, 1)
    }

    fn plain<F: Filter>(&mut self, run: &Run<'_, F>, at: i32, bytes: Bytes, takes: u64) -> Segment {
        let ack = run.client.next as i32;
        let salt = self.dice.next() as u32;
        Segment { at, ack, flags: ACK | PSH, tags: 0, padding: 0, options: 0, piece: 0, takes, salt, bytes }
    }

    fn server<F: Filter>(&mut self, run: &Run<'_, F>) -> Op {
        let dice = &mut self.dice;
        // What has not passed comes again.
        let missing = run.sent - run.next[1].min(run.client.next).min(run.sent);
        let back = if dice.one_in(6) { dice.below(40) as usize } else { missing };
        let length = match dice.below(8) {
            0 => 0,
            1 | 2 => 1 + dice.below(12) as u16,
            _ => 400,
        };
        let lost = dice.below(8) < self.losses && dice.one_in(2);
        Op::Server(Answer { back: back as u16, length, lost, takes: !dice.one_in(8), salt: dice.next() as u32 })
    }

    /// Bytes of the attacker's choice, for where the server or the filter is.
    fn evil<F: Filter>(&mut self, run: &Run<'_, F>) -> Bytes {
        let dice = &mut self.dice;
        let mut bytes = Bytes::NONE;
        let in_data = run.server.mode == Mode::Data;
        let text = if in_data { !dice.one_in(12) } else { dice.one_in(12) };
        if !text {
            bytes.extend(dice.of(&COMMANDS));
            while dice.one_in(3) {
                bytes.extend(dice.of(&COMMANDS));
            }
            if dice.one_in(4) {
                bytes.truncate(1 + dice.below(8) as usize);
            }
            return bytes;
        }
        let length = if dice.below(8) < self.short { 1 + dice.below(3) } else { 1 + dice.below(9) };
        while bytes.len() < length as usize {
            bytes.extend(dice.of(&TEXT));
        }
        if dice.one_in(2) {
            bytes.truncate(length as usize);
        }
        bytes
    }

    /// Bytes from `at` to `to` as they were forwarded, perhaps with some that are not.
    fn copy<F: Filter>(&mut self, run: &Run<'_, F>, at: usize, to: usize) -> Bytes {
        let mut bytes = Bytes::NONE;
        run.first(at, to.min(at + LITERAL)).for_each(|byte| bytes.extend(&[byte]));
        if self.dice.below(3) != 0 || bytes.is_empty() {
            return bytes;
        }
        let from = self.dice.below(bytes.len() as u32) as usize;
        let evil = if self.dice.one_in(2) { Bytes::new(self.dice.of(&TEXT)) } else { self.evil(run) };
        for (byte, evil) in bytes.literal_mut()[from..].iter_mut().zip(evil.literal()) {
            *byte = *evil;
        }
        bytes
    }

    /// In some runs a segment before a gap becomes a long one that begins with what might end the mail data.
    fn bars(&mut self, bytes: Bytes) -> Bytes {
        let Some(dice) = &mut self.bars else { return bytes };
        if dice.one_in(4) {
            return bytes;
        }
        let mut long = Bytes::new(dice.of(&COMPLETES));
        if dice.one_in(2) {
            long.extend(b"VRFY a\r\n");
        }
        long.extend(bytes.literal());
        while long.len() < 16 {
            long.extend(b"a");
        }
        long
    }

    fn client<F: Filter>(&mut self, run: &Run<'_, F>) -> Op {
        let next = run.next[0];
        let (waits, beyond) =
            (run.receiver.next, run.bounds.iter().map(|at| *at as usize).filter(|at| *at > next).min());
        let unread = next > waits;
        let mut repeats = false;
        let (at, mut bytes) = match self.dice.below(32) {
            // Before a gap: apart from all, or at the border of what is there.
            0..6 => {
                let at = match beyond {
                    Some(_) if self.dice.one_in(2) => self.bound(run).max(next + 1),
                    _ => next + 1 + self.dice.below(12) as usize,
                };
                let bytes = self.evil(run);
                let bytes = self.bars(bytes);
                if self.joints.len() > 3 {
                    self.joints.remove(0);
                }
                self.joints.push(if self.dice.one_in(3) { at + bytes.len() } else { at });
                (at, bytes)
            }
            // The gap is filled.
            6..11 if beyond.is_some() => {
                let to = beyond.unwrap_or(next) + usize::from(self.dice.one_in(6));
                let mut bytes = Bytes::NONE;
                while bytes.len() < (to - next).min(LITERAL) {
                    bytes.extend(self.evil(run).literal());
                }
                bytes.truncate(to - next);
                (next, bytes)
            }
            // A retransmission, from border to border, or with new bytes after it.
            11..22 if unread => {
                repeats = true;
                let at = if self.dice.one_in(2) { waits } else { self.bound(run).min(next) };
                let mut to = self.bound(run);
                if to <= at {
                    to = if self.dice.one_in(2) { next } else { at + 1 + self.dice.below(8) as usize };
                }
                let bytes = if self.dice.one_in(3) {
                    let mut bytes = self.evil(run);
                    if self.dice.one_in(2) {
                        bytes.truncate(to - at);
                    }
                    bytes
                } else {
                    self.copy(run, at, to)
                };
                (at, bytes)
            }
            22 => (next.saturating_sub(self.dice.below(4) as usize), self.evil(run)),
            23 => (self.bound(run), self.evil(run)),
            _ => (next, self.evil(run)),
        };
        if self.dice.one_in(24) && !repeats {
            bytes.noops = run.server.mode != Mode::Data;
            bytes.lead = self.dice.of(&[6, 60, 240, 252, 1440]);
        }
        let takes = u64::from(self.dice.below(8) < self.takes);
        let mut segment = self.plain(run, at as i32, bytes, takes);
        self.season(run, &mut segment);
        Op::Client(segment)
    }

    /// What is odd about a segment.
    fn season<F: Filter>(&mut self, run: &Run<'_, F>, segment: &mut Segment) {
        let dice = &mut self.dice;
        if self.merges && dice.one_in(2) && segment.bytes.lead == 0 {
            let literal = segment.bytes.literal().len() as u32;
            segment.piece = 1 + dice.below(literal.clamp(1, 12)) as u8;
            segment.takes *= u64::MAX;
            if self.pieces && !dice.one_in(4) {
                // Lost one by one.
                segment.takes = dice.next();
            }
        }
        if !dice.one_in(8) && run.setup.stage != Stage::Answered {
            return;
        }
        match dice.below(12) {
            0 if self.tags => segment.tags = dice.below(10) as u8,
            1 => segment.padding = dice.below(20) as u8,
            2 => segment.options = dice.below(11) as u8,
            3 => segment.flags = dice.of(&[ACK, ACK | FIN, ACK | RST, SYN, PSH, ACK | URG, 0, SYN | ACK, RST]),
            4..6 => segment.ack = dice.below(run.sent as u32 + 1) as i32,
            6 => segment.ack = run.sent as i32 + dice.of(&[1, 8, 1000, i32::MAX / 2]),
            7 => segment.ack = -dice.below(100_000),
            8 if run.setup.stage == Stage::Answered => segment.at += dice.below(4),
            8 => segment.at -= dice.below(6),
            _ => {}
        }
    }
}
