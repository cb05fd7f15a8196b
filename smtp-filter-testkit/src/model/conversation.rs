//! A dialogue through the program under test, compared byte by byte with what the model says.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use etherparse::{TcpHeader, TcpOptionElement};
use smtp_filter::policy::{Document, to_toml};
use smtp_filter_common::action::Action;

use super::{
    client::{Client, Nature},
    flow::{Flow, Judged, Passage},
    middle::{Fate, Middle, payload},
    rules::Rules,
    server::Server,
    stream::Model,
    transport::{Badness, Segment},
};
use crate::{
    Random,
    dialogue::{Side, Talk},
};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything arrived.
    Whole,
    /// It stood still before a line that the policy drops.
    Dropped,
    /// Both ends got a RST at a line that the policy resets.
    Reset,
}

/// How often a sender repeats what is not acknowledged before it gives up. Beyond half of it nothing is lost any more.
const PATIENCE: usize = 80;

/// A connection, its ends and the lines between them.
pub struct Conversation {
    seed: u64,
    random: Random,
    document: Document,
    badness: Badness,
    model: Model,
    client: Client,
    server: Server,
    flows: [Flow; 2],
    talk: Talk,
    /// Repeats since something was acknowledged.
    repeats: usize,
    /// What went into the filter, and what became of it.
    log: Vec<String>,
    outcome: Option<Outcome>,
}

impl Conversation {
    /// A dialogue of its own for each seed.
    pub fn new(seed: u64, document: &Document, client_port: u16) -> Self {
        let mut random = Random::new(seed);
        let bad = random.below(3) * 8;
        let badness = Badness {
            lost: random.below(bad + 1),
            twice: random.below(bad + 1),
            overtaken: random.below(2 * bad + 1),
            again: random.below(bad + 1),
        };
        let bdat = Rules::new(document).verb(b"BDAT");
        let nature = Nature { uses_bdat_unasked: bdat >= Action::Mask, lines: random.of(&[4, 12, 60]) };
        let client = Client::new(random.fork(), nature);
        let server = Server::new(random.fork());
        let mut talk = if random.one_in(3) { Talk::v6() } else { Talk::v4() };
        talk.client_port = client_port;
        (talk.client_next, talk.server_next) = (random.next() as u32, random.next() as u32);
        if random.one_in(4) {
            talk.client_next = 0_u32.wrapping_sub(1 + random.below(400) as u32);
        }
        let flows = [
            Flow::new(Side::Client, talk.client_next.wrapping_add(1), &mut random),
            Flow::new(Side::Server, talk.server_next.wrapping_add(1), &mut random),
        ];
        Self {
            seed,
            random,
            document: document.clone(),
            badness,
            model: Model::new(document),
            client,
            server,
            flows,
            talk,
            repeats: 0,
            log: Vec::new(),
            outcome: None,
        }
    }

    /// SYN, SYN-ACK, ACK; then both ends begin.
    pub fn begin(&mut self, filter: &mut impl Middle) -> Result<()> {
        let [client, server] = [self.flows[0].start, self.flows[1].start];
        for (from, sequence, acknowledged, syn) in [
            (Side::Client, client.wrapping_sub(1), 0, true),
            (Side::Server, server.wrapping_sub(1), client, true),
            (Side::Client, client, server, false),
        ] {
            let mut tcp = self.header(from, sequence, acknowledged);
            tcp.syn = syn;
            tcp.ack = acknowledged == client && from == Side::Server || !syn;
            if syn {
                tcp.set_options(&[TcpOptionElement::MaximumSegmentSize(1460)])?;
            }
            let frame = self.talk.frame(from, tcp, b"");
            let fate = filter.send(from, &frame)?;
            ensure!(matches!(fate, Fate::Passed(_)), "the handshake: {fate:?}");
        }
        self.client.begin(&mut self.flows[0].sender.stream);
        self.server.begin(&mut self.flows[1].sender.stream);
        Ok(())
    }

    fn header(&self, from: Side, sequence: u32, acknowledged: u32) -> TcpHeader {
        let mut tcp = self.talk.tcp(from);
        (tcp.sequence_number, tcp.acknowledgment_number) = (sequence, acknowledged);
        tcp
    }

    /// Goes one step on; whether that was the last one.
    pub fn step(&mut self, filter: &mut impl Middle) -> Result<bool> {
        self.advance(filter).with_context(|| self.report())?;
        Ok(self.outcome.is_some())
    }

    fn advance(&mut self, filter: &mut impl Middle) -> Result<()> {
        let first = self.random.below(6);
        for turn in 0..6 {
            let from = [Side::Client, Side::Server][(first + turn) % 2];
            let went = match (first + turn) % 6 / 2 {
                0 => self.say(from),
                1 => self.pass(from, filter)?,
                _ => self.arrive(from)?,
            };
            if went {
                if self.random.percent(self.badness.again) {
                    self.again(from);
                }
                return Ok(());
            }
        }
        self.be_quiet()
    }

    /// Sends something new.
    fn say(&mut self, from: Side) -> bool {
        let next = self.flows[at(from)].sender.next(&mut self.random);
        let Some((from_byte, to)) = next else { return false };
        self.put(from, from_byte, to);
        true
    }

    /// Sends something again.
    fn again(&mut self, from: Side) -> bool {
        let again = self.flows[at(from)].again(&mut self.random);
        let Some((from_byte, to)) = again else { return false };
        self.put(from, from_byte, to);
        true
    }

    fn put(&mut self, from: Side, from_byte: usize, to: usize) {
        let acknowledged = self.flows[1 - at(from)].receiver.delivered.len();
        let flow = &mut self.flows[at(from)];
        let payload = flow.sender.stream[from_byte..to].to_vec();
        flow.before.put(Segment { from: from_byte, payload, acknowledged });
    }

    /// A segment meets the filter.
    fn pass(&mut self, from: Side, filter: &mut impl Middle) -> Result<bool> {
        let badness = self.badness();
        let flow = &mut self.flows[at(from)];
        if flow.before.is_empty() {
            return Ok(false);
        }
        let Some(segment) = flow.before.take(&mut self.random, badness) else { return Ok(true) };
        let sequence = flow.start.wrapping_add(segment.from as u32);
        let acknowledged = self.flows[1 - at(from)].start.wrapping_add(segment.acknowledged as u32);
        let mut tcp = self.header(from, sequence, acknowledged);
        tcp.psh = !segment.payload.is_empty();
        let frame = self.talk.frame(from, tcp, &segment.payload);
        let fate = match filter.send(from, &frame)? {
            Fate::Passed(frame) => Passage::Passed(payload(&frame)?),
            Fate::Dropped => Passage::Dropped,
            Fate::Reset => Passage::Reset,
        };
        if !segment.payload.is_empty() {
            self.log.push(format!(
                "{from:?} {}..{} {}: {fate}",
                segment.from,
                segment.from + segment.payload.len(),
                segment.payload.escape_ascii()
            ));
        }
        let other = &mut self.flows[1 - at(from)];
        other.acknowledged = other.acknowledged.max(segment.acknowledged);
        match self.flows[at(from)].judge(&mut self.model, segment, fate)? {
            Judged::GoesOn => {}
            Judged::Reset => self.outcome = Some(Outcome::Reset),
        }
        Ok(true)
    }

    /// A segment reaches its receiver.
    fn arrive(&mut self, from: Side) -> Result<bool> {
        let badness = self.badness();
        let flow = &mut self.flows[at(from)];
        if flow.after.is_empty() {
            return Ok(false);
        }
        let Some(segment) = flow.after.take(&mut self.random, badness) else { return Ok(true) };
        let read = flow.receiver.delivered.len();
        flow.receiver.take(&segment)?;
        let news = flow.receiver.delivered[read..].to_vec();
        let other = &mut self.flows[1 - at(from)];
        if segment.acknowledged > other.sender.acknowledged {
            other.sender.acknowledged = segment.acknowledged;
            self.repeats = 0;
        }
        let out = &mut other.sender.stream;
        match from {
            _ if news.is_empty() => {}
            Side::Client => self.server.read(&news, out),
            Side::Server => {
                self.client.read(&news, out);
                other.sender.texts.append(&mut self.client.texts);
            }
        }
        // An acknowledgement may wait for a segment that carries it, but not that of a repeat.
        if !segment.payload.is_empty() && (news.is_empty() || !self.random.one_in(5)) {
            let sent = self.flows[1 - at(from)].sender.sent;
            self.put(other_side(from), sent, sent);
        }
        Ok(true)
    }

    /// Nothing is under way: repeats, or the end.
    fn be_quiet(&mut self) -> Result<()> {
        self.repeats += 1;
        if self.repeats > PATIENCE {
            ensure!(
                self.flows.iter().any(|flow| flow.is_blocked(&self.model)),
                "it never gets through, and the policy allows it"
            );
            self.outcome = Some(Outcome::Dropped);
            return Ok(());
        }
        let clean = self.badness.is_none();
        for flow in &self.flows {
            ensure!(!clean || flow.held == 0, "{} segments were held back on clean lines", flow.held);
        }
        let repeated = [self.again(Side::Client), self.again(Side::Server)];
        if !repeated.contains(&true) {
            ensure!(self.client.done, "everything has arrived, and the client waits for a reply");
            for flow in &self.flows {
                ensure!(flow.receiver.delivered == flow.expected && flow.expected.len() == flow.sender.stream.len());
            }
            self.outcome = Some(Outcome::Whole);
        }
        Ok(())
    }

    fn badness(&self) -> Badness {
        let lost = if self.repeats > PATIENCE / 2 { 0 } else { self.badness.lost };
        Badness { lost, ..self.badness }
    }

    fn report(&self) -> String {
        let mut text = format!("seed {:#x}, {:?}\n{}\n", self.seed, self.badness, to_toml(&self.document));
        for line in &self.log {
            let _ = writeln!(text, "{line}");
        }
        for (name, flow) in ["client", "server"].iter().zip(&self.flows) {
            let (acknowledged, known) = (flow.sender.acknowledged, flow.acknowledged);
            let _ = writeln!(text, "{name}: {acknowledged} acknowledged, {known} at the filter");
            let _ = writeln!(text, "{name} sent:     {}", flow.sender.stream.escape_ascii());
            let _ = writeln!(text, "{name} expected: {}", flow.expected.escape_ascii());
            let _ = writeln!(text, "{name} received: {}", flow.receiver.delivered.escape_ascii());
        }
        text
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Segments with payload that met the filter.
    pub fn segments(&self) -> usize {
        self.log.len()
    }

    /// Bytes that arrived other than they were sent.
    pub fn changed(&self) -> usize {
        let changed = |flow: &Flow| {
            let pairs = flow.receiver.delivered.iter().zip(&flow.sender.stream);
            pairs.filter(|(received, sent)| received != sent).count()
        };
        self.flows.iter().map(changed).sum()
    }
}

fn at(side: Side) -> usize {
    usize::from(side == Side::Server)
}

fn other_side(side: Side) -> Side {
    if side == Side::Client { Side::Server } else { Side::Client }
}
