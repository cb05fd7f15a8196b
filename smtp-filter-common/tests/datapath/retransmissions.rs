//! What a receiver may put together from everything that has passed reads as what was judged (I1, I4); and honest
//! senders get their mail through (I5).

use crate::support::{Net, policy};
use smtp_filter_common::{reason::Reason, session, verdict::Verdict};
use smtp_filter_testkit::Random;

trait MailText {
    fn text(&mut self, length: u32) -> Vec<u8>;
}

impl MailText for Random {
    /// Mail data that is all line ends and dots.
    fn text(&mut self, length: u32) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < length as usize {
            match self.below(12) {
                0..2 => out.push(b'\r'),
                2..4 => out.push(b'\n'),
                4..6 => out.push(b'.'),
                6 => out.extend(b"\r\n"),
                7 => out.extend(b"\r\n."),
                8 => out.extend(b".\r\n"),
                9 => out.extend(b"\n.\r"),
                _ => out.push(b'x'),
            }
        }
        out.truncate(length as usize);
        out
    }
}

/// How a receiver chooses between two copies of a byte that it has not delivered yet.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taste {
    First,
    Last,
    Either,
}

/// The server's TCP, from the start of the mail data on, and an SMTP reader after it.
struct Server {
    start: u32,
    taste: Taste,
    /// What came out of order.
    early: Vec<Option<u8>>,
    delivered: Vec<u8>,
}

impl Server {
    fn new(start: u32, taste: Taste) -> Self {
        Self { start, taste, early: Vec::new(), delivered: Vec::new() }
    }

    /// Offset of the next byte that it waits for.
    fn next(&self) -> u32 {
        self.start + self.delivered.len() as u32
    }

    fn take(&mut self, offset: u32, bytes: &[u8], dice: &mut Random) {
        let replaces = match self.taste {
            Taste::First => false,
            Taste::Last => true,
            Taste::Either => dice.one_in(2),
        };
        for (i, byte) in bytes.iter().enumerate() {
            let at = (offset + i as u32).wrapping_sub(self.start) as usize;
            if at < self.delivered.len() || at > 1 << 20 {
                continue;
            }
            if self.early.len() <= at {
                self.early.resize(at + 1, None);
            }
            let place = &mut self.early[at];
            if place.is_none() || replaces {
                *place = Some(*byte);
            }
        }
        while let Some(Some(byte)) = self.early.get(self.delivered.len()) {
            self.delivered.push(*byte);
        }
    }

    /// Offset behind the first CRLF.CRLF, the text's start being a line's start.
    fn end_of_data(&self) -> Option<u32> {
        let mut text = b"\r\n".to_vec();
        text.extend(&self.delivered);
        text.windows(5).position(|five| five == b"\r\n.\r\n").map(|at| self.start + at as u32 + 3)
    }
}

/// The offset behind the end of data that the filter has read.
fn judged_end(net: &Net) -> Option<u32> {
    let state = net.state();
    if state.session.mode == session::Mode::MAIL_DATA {
        return None;
    }
    Some(state.memory.end_of_data[0].0.wrapping_sub(net.client.isn).wrapping_sub(1))
}

/// What a run is like.
#[derive(Clone, Copy, Debug)]
struct Style {
    taste: Taste,
    /// Longest segment.
    longest: u32,
    /// A first copy is merged of pieces of this length, which are lost one by one. Where a repeat reaches over the
    /// border of two of them, a receiver that prefers what it has could go over to the first copy there, which is not
    /// followed.
    piece: Option<u32>,
    /// Repeats may start where the client likes, not at a segment's start.
    free: bool,
    early: bool,
}

/// A client that sends whatever it likes, as often as it likes, and chooses which copies its server takes.
fn attack(seed: u64, style: Style) {
    let mut dice = Random::new(seed);
    let mut net = Net::new(policy());
    // The text lies around the place where sequence numbers wrap, if the client wants it.
    if dice.one_in(2) {
        net.client.isn = 0_u32.wrapping_sub(80 + dice.below(60));
    }
    net.handshake();
    for (command, answer) in [("", "220 x\r\n"), ("DATA\r\n", "354 Go\r\n")] {
        if !command.is_empty() {
            net.say(command);
        }
        net.reply(answer);
    }
    net.client_acks();
    assert_eq!(net.mode(), session::Mode::MAIL_DATA);
    let start = net.client.next;
    let mut server = Server::new(start, style.taste);
    let mut sent = start;
    let mut starts = vec![start];
    let mut trace = Vec::new();
    for _ in 0..60 {
        let length = 1 + dice.below(style.longest);
        let repeat = sent > server.next() && dice.one_in(2);
        let offset = if repeat {
            let una = server.next();
            if style.free || dice.one_in(2) {
                una + dice.below(sent - una)
            } else {
                starts[dice.below(starts.len() as u32) as usize]
            }
        } else if style.early && dice.one_in(4) {
            sent + 1 + dice.below(style.longest)
        } else {
            sent
        };
        let bytes = dice.text(length);
        net.piece = style.piece.filter(|_| !repeat).unwrap_or(0) as u16;
        if net.client_at(offset, &bytes) == Verdict::Pass {
            let end = judged_end(&net);
            let piece = style.piece.filter(|_| !repeat).unwrap_or(length).max(1);
            let mut kept = String::new();
            let mut at = 0;
            while at < length {
                let part = piece.min(length - at);
                let takes = dice.one_in(2);
                kept.push(if takes { '+' } else { '-' });
                if takes {
                    server.take(offset + at, &bytes[at as usize..(at + part) as usize], &mut dice);
                }
                at += part;
            }
            trace.push(format!("{kept} {offset}..{} {:?}", offset + length, String::from_utf8_lossy(&bytes)));
            if offset + length > sent {
                starts.push(offset);
                sent = offset + length;
            }
            let found = server.end_of_data();
            if found.is_some() || end.is_some_and(|end| server.next() >= end) {
                assert_eq!(found, end, "seed {seed}, {style:?}, from {start}\n{}", trace.join("\n"));
                return;
            }
        }
        if dice.one_in(4) {
            net.server.acked = server.next();
            net.server_at(net.server.next, b"");
            trace.push(format!("ack {}", server.next()));
        }
    }
}

/// Seeds from 0 on: more of them by `ATTACKS`.
fn attacks(style: Style) {
    let seeds = std::env::var("ATTACKS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3000);
    for seed in 0..seeds {
        let tastes: &[Taste] =
            if style.piece.is_some() { &[Taste::Last] } else { &[Taste::First, Taste::Last, Taste::Either] };
        for &taste in tastes {
            attack(seed, Style { taste, ..style });
        }
    }
}

const STYLE: Style = Style { taste: Taste::First, longest: 6, piece: None, free: false, early: false };

#[test]
fn dishonest_retransmissions_in_order() {
    attacks(STYLE);
}

#[test]
fn dishonest_retransmissions_of_longer_segments() {
    attacks(Style { longest: 20, free: true, ..STYLE });
}

#[test]
fn dishonest_retransmissions_split_anywhere() {
    attacks(Style { free: true, ..STYLE });
}

#[test]
fn dishonest_retransmissions_and_out_of_order_segments() {
    attacks(Style { longest: 9, free: true, early: true, ..STYLE });
}

#[test]
fn dishonest_retransmissions_of_merged_segments() {
    attacks(Style { longest: 24, free: true, early: true, piece: Some(4), ..STYLE });
}

/// What became of an honest client's repeats.
#[derive(Debug, Default)]
struct Honest {
    new: u32,
    repeats: u32,
    held: u32,
    refused: u32,
    stalls: u32,
}

/// An honest client: cuts its repeats as it likes, over a way that loses segments in front of the filter and behind it.
/// Everything has to arrive; a repeat that is refused is sent again until the client is through or stalls.
fn honest(seed: u64, style: Style, lines: bool, sum: &mut Honest) {
    let mut dice = Random::new(seed);
    let mut net = Net::in_text(policy());
    let mut mail = Vec::new();
    while mail.len() < 3000 {
        if lines {
            let length = 1 + dice.below(76);
            mail.extend((0..length).map(|_| if dice.one_in(12) { b'.' } else { b'a' }));
            if mail.last() == Some(&b'.') && length == 1 {
                mail.push(b'.');
            }
            mail.extend(b"\r\n");
        } else {
            mail.extend(dice.text(20));
        }
    }
    // What a client sends has its dots doubled.
    let mut text = b"\r\n".to_vec();
    for byte in mail {
        text.push(byte);
        if text.ends_with(b"\r\n.") {
            text.push(b'.');
        }
    }
    text.extend(b"\r\n.\r\n");
    let text = &text[2..];
    let start = net.client.next;
    let end = start + text.len() as u32;
    let mut server = Server::new(start, style.taste);
    let mut sent = start;
    let mut starts = vec![start];
    let mut idle = 0;
    while server.next() < end {
        let una = server.next();
        let length = 1 + dice.below(style.longest);
        let repeats = sent > una && (sent == end || sent - una > 8 * style.longest || dice.one_in(4));
        let offset = if !repeats {
            sent
        } else if style.free && dice.one_in(2) {
            una + dice.below(sent - una)
        } else {
            // From what is missing, as a client does after a time-out, or from a segment's start.
            let from = starts[dice.below(starts.len() as u32) as usize];
            if from < una || dice.one_in(2) { una } else { from }
        };
        let mut length = length.min(end - offset);
        if !style.free && repeats {
            // To a border of the first copies.
            let to = starts.iter().copied().filter(|at| *at > offset).min().unwrap_or(sent);
            length = to - offset;
        }
        let bytes = &text[(offset - start) as usize..(offset - start + length) as usize];
        if style.early && dice.one_in(20) {
            // Lost in front of the filter, which sees what comes behind it first.
            if !repeats {
                starts.push(offset);
                sent = offset + length;
            }
            continue;
        }
        let refused = net.segments(Reason::ChangedRetransmission);
        net.piece = style.piece.filter(|_| !repeats).unwrap_or(0) as u16;
        let verdict = net.client_at(offset, bytes);
        net.piece = 0;
        assert_ne!(verdict, Verdict::Reset);
        if offset < sent {
            sum.repeats += 1;
            sum.refused += (net.segments(Reason::ChangedRetransmission) != refused) as u32;
        } else {
            sum.new += 1;
            starts.extend((0..length).step_by(style.piece.unwrap_or(length) as usize).map(|at| offset + at));
            sent = offset + length;
        }
        sum.held += (verdict != Verdict::Pass) as u32;
        let before = server.next();
        if verdict == Verdict::Pass && (style.piece.is_some() || !dice.one_in(10)) {
            let piece = style.piece.unwrap_or(length);
            for at in (0..length).step_by(piece as usize) {
                if style.piece.is_none() || !dice.one_in(10) {
                    server.take(offset + at, &bytes[at as usize..(at + piece).min(length) as usize], &mut dice);
                }
            }
            net.server.acked = server.next();
            net.server_at(net.server.next, b"");
        }
        idle = if server.next() > before { 0 } else { idle + 1 };
        if idle > 1000 {
            sum.stalls += 1;
            let reasons =
                [Reason::OutOfOrder, Reason::Backlog, Reason::ChangedRetransmission].map(|reason| net.segments(reason));
            println!("stalls: seed {seed}, {style:?}: early, backlog, changed: {reasons:?}");
            return;
        }
    }
    assert_eq!(server.delivered, text);
    assert_ne!(net.mode(), session::Mode::MAIL_DATA, "seed {seed}: the end of data was read");
}

fn all_honest(style: Style, lines: bool) -> Honest {
    let mut sum = Honest::default();
    for seed in 0..200 {
        honest(seed, style, lines, &mut sum);
    }
    println!("{style:?}, lines: {lines}: {sum:?}");
    sum
}

#[test]
fn honest_retransmissions_of_segments_pass() {
    for longest in [6, 40, 200] {
        for lines in [true, false] {
            let sum = all_honest(Style { longest, ..STYLE }, lines);
            assert_eq!(sum.stalls, 0);
            if lines {
                assert_eq!(sum.refused, 0);
            }
        }
    }
}

#[test]
fn honest_retransmissions_split_anywhere_get_through() {
    // What ends in a line's end where nobody knows what follows is refused. A client that always cuts anew gets stuck
    // sooner or later; the longer its segments, the later.
    for (longest, most) in [(200, 60), (1000, 20)] {
        let sum = all_honest(Style { longest, free: true, ..STYLE }, true);
        assert!(sum.stalls <= most, "{sum:?}");
    }
}

#[test]
fn honest_retransmissions_of_parts_of_merged_segments_pass() {
    // Sixteen places that matter at a time: a line's end stands where two segments meet at one of 26.
    for piece in [40, 100] {
        let sum = all_honest(Style { longest: 6 * piece, piece: Some(piece), ..STYLE }, true);
        assert_eq!(sum.stalls, 0);
    }
}

#[test]
fn honest_out_of_order_segments_get_through() {
    for longest in [40, 200] {
        assert_eq!(all_honest(Style { longest, early: true, ..STYLE }, true).stalls, 0);
    }
}
