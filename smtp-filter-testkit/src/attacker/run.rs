//! One run: a client, the filter, a server, and what is claimed of what the server put together.
//!
//! - *unread*: the server assembles no byte that the filter has not read (I1);
//! - *kinds*: what the server reads as commands, mail data and chunks is what the filter took it for, with the same
//!   boundaries (I3, I6);
//! - *command*: no command that every policy of the run forbids;
//! - *changed*: the bytes of commands are those that were forwarded first (I4);
//! - *keyword*: the client assembles no keyword that every policy of the run hides.

use smtp_filter_common::{
    entry::{Connection, RESET},
    event::{CLIENT, SERVER},
    policy::Policy,
    session::{self, verb::Command},
};

use super::{
    model,
    receiver::{ROOM, Receiver},
    script::{Answer, Bytes, Op, Segment, Setup, Stage},
    server::{Came, Mode, POLITE, Server},
    wire::{self, ACK, ETHERNET, Facts, PSH, RST, SYN},
};

/// What the filter did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is forwarded.
    Pass,
    /// It is dropped.
    Drop,
    /// It is dropped, and both ends get a RST.
    Reset,
}

/// The filter between the two.
pub trait Filter {
    /// The policies that runs choose from.
    fn policies(&self) -> &[Policy];
    /// A new connection begins; nothing is known of it.
    fn begin(&mut self);
    /// The client's port of this connection.
    fn client_port(&self) -> u16;
    /// This policy is in force from now on.
    fn adopt(&mut self, policy: usize) -> Result<(), String>;
    /// A frame meets it.
    fn judge(&mut self, frame: &[u8], piece: u16, from_client: bool) -> Result<Verdict, String>;
    /// What went on of it, from the network header on, if it passed.
    fn forwarded<'a>(&'a self, frame: &'a [u8]) -> &'a [u8];
    /// The connection, once it is live.
    fn connection(&self) -> Option<&Connection>;
    /// Whether it can be given merged segments.
    fn merges(&self) -> bool {
        true
    }
    /// The shared pool has no room.
    fn crowd(&mut self);
    /// The region that is open began so many bytes before.
    fn age(&mut self, bytes: u32);
}

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The claim, by a short name.
    pub kind: &'static str,
    /// What was seen instead.
    pub what: String,
}

fn violation(kind: &'static str, what: impl Into<String>) -> Violation {
    Violation { kind, what: what.into() }
}

/// What runs came to, to see that they were worth something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Runs.
    pub runs: u64,
    /// Segments with payload that met the filter.
    pub segments: u64,
    /// Those of them that passed.
    pub passed: u64,
    /// Commands that the server read.
    pub commands: u64,
    /// Ends of data that the server read.
    pub ends_of_data: u64,
    /// Chunks that the server read.
    pub chunks: u64,
    /// Keywords that the client was shown.
    pub keywords: u64,
    /// Resets by the filter.
    pub resets: u64,
    /// Runs in which all places for boundaries were taken.
    pub full: u64,
}

impl Tally {
    /// Adds the sums of others.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.segments += other.segments;
        self.passed += other.passed;
        self.commands += other.commands;
        self.ends_of_data += other.ends_of_data;
        self.chunks += other.chunks;
        self.keywords += other.keywords;
        self.resets += other.resets;
        self.full += other.full;
    }
}

/// A run: both ends, the filter between them, and what is known of all three.
pub struct Run<'a, F> {
    /// What is attacked.
    pub filter: &'a mut F,
    /// How it began.
    pub setup: Setup,
    /// The server's TCP, and what reads it.
    pub receiver: Receiver,
    /// What the client talks to.
    pub server: Server,
    established: bool,
    /// Bytes that the reader has read.
    read: usize,
    /// What was forwarded first, by offset.
    first: Vec<u16>,
    /// Where segments that passed began and ended, the last ones.
    pub bounds: Vec<u32>,
    /// Where the filter says that bytes of another kind begin.
    regions: Vec<(usize, session::Mode)>,
    /// The region that the next byte to be read lies in.
    region: usize,
    /// What the filter waits for next, of the client and of the server.
    pub next: [usize; 2],
    /// What the server has sent, and the client has acknowledged.
    pub sent: usize,
    /// The oldest byte that the server has not acknowledged, as the client has heard.
    pub una: usize,
    /// The client's TCP.
    pub client: Receiver,
    keyword: usize,
    used: u64,
    /// Nothing more can come of it.
    pub over: bool,
    full: bool,
    frame: Vec<u8>,
    /// The sums of all runs on this filter.
    pub tally: Tally,
}

const SEEN: u16 = 0x100;

impl<'a, F: Filter> Run<'a, F> {
    /// Before the first run.
    pub fn new(filter: &'a mut F, setup: Setup) -> Self {
        Self {
            filter,
            setup,
            receiver: Receiver::new(),
            server: Server::new(),
            established: false,
            read: 0,
            first: Vec::new(),
            bounds: Vec::new(),
            regions: Vec::new(),
            region: 0,
            next: [0; 2],
            sent: 0,
            una: 0,
            client: Receiver::new(),
            keyword: 0,
            used: 0,
            over: false,
            full: false,
            frame: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Begins anew.
    pub fn begin(&mut self, setup: Setup) -> Result<(), Violation> {
        self.setup = setup;
        self.filter.begin();
        if setup.crowded {
            self.filter.crowd();
        }
        self.receiver.begin(setup.taste);
        self.client.begin(setup.taste);
        self.server.begin(setup.quirks | POLITE, setup.answers);
        (self.established, self.read, self.region, self.next, self.sent, self.una) = (false, 0, 0, [0; 2], 0, 0);
        (self.keyword, self.used, self.over, self.full) = (0, 0, false, false);
        self.first.clear();
        self.bounds.clear();
        self.regions.clear();
        self.regions.push((0, session::Mode::COMMAND));
        self.apply(&Op::Policy(setup.policy))?;
        self.handshake()?;
        if setup.stage != Stage::Answered {
            self.say(b"")?;
            self.answer()?;
            self.say(b"")?;
        }
        let said: &[u8] = match setup.stage {
            Stage::Answered | Stage::Greeted => b"",
            Stage::Hello => b"EHLO c\r\n",
            Stage::Data => b"DATA\r\n",
        };
        if !said.is_empty() {
            self.say(said)?;
            self.answer()?;
            self.say(b"")?;
        }
        if setup.quirks & POLITE == 0 {
            self.server.becomes_rude();
        }
        if setup.age != 0 {
            self.filter.age(setup.age);
        }
        Ok(())
    }

    /// The client's next bytes, as an honest one sends them.
    fn say(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.apply(&Op::Client(Segment {
            at: self.next[0] as i32,
            ack: self.client.next as i32,
            flags: ACK | PSH,
            tags: 0,
            padding: 0,
            options: 0,
            piece: 0,
            takes: 1,
            salt: 0,
            bytes: Bytes::new(bytes),
        }))
    }

    fn answer(&mut self) -> Result<(), Violation> {
        self.apply(&Op::Server(Answer { back: 0, length: u16::MAX, lost: false, takes: true, salt: 0 }))
    }

    fn facts(&self, from_client: bool, sequence: u32, acknowledgement: u32, flags: u8) -> Facts {
        let (client_port, window) = (self.filter.client_port(), if from_client { u16::MAX } else { self.setup.window });
        Facts { from_client, client_port, sequence, acknowledgement, flags, window, tags: 0, padding: 0, options: 0 }
    }

    fn judge(
        &mut self,
        facts: &Facts,
        piece: u16,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Verdict, usize), Violation> {
        let mut frame = std::mem::take(&mut self.frame);
        let start = wire::write(&mut frame, facts, payload);
        let verdict = self.filter.judge(&frame, piece, facts.from_client);
        self.frame = frame;
        self.tally.segments += 1;
        verdict.map(|verdict| (verdict, start)).map_err(|what| violation("differs", what))
    }

    fn handshake(&mut self) -> Result<(), Violation> {
        let Setup { client_isn, server_isn, other_syn, .. } = self.setup;
        let other = client_isn.wrapping_add_signed(i32::from(other_syn));
        let mut syns = [other, client_isn];
        if other_syn > 0 {
            syns.reverse();
        }
        for isn in syns {
            let facts = self.facts(true, isn, 0, SYN);
            self.judge(&facts, 0, |_| ())?;
        }
        let facts = self.facts(false, server_isn, client_isn.wrapping_add(1), SYN | ACK);
        self.judge(&facts, 0, |_| ())?;
        Ok(())
    }

    /// Does one thing.
    pub fn apply(&mut self, op: &Op) -> Result<(), Violation> {
        if self.over {
            return Ok(());
        }
        match op {
            Op::Client(segment) => self.segment(segment),
            Op::Server(answer) => self.reply(*answer),
            Op::Prune => {
                self.receiver.prune();
                Ok(())
            }
            Op::Policy(number) => {
                let number = usize::from(*number) % self.filter.policies().len();
                self.used |= 1 << number;
                self.filter.adopt(number).map_err(|what| violation("differs", what))
            }
        }
    }

    /// What the filter thinks of the connection by now.
    fn look(&mut self) {
        let Some(connection) = self.filter.connection() else { return };
        let state = &connection.state;
        let begins = [self.setup.client_isn.wrapping_add(1), self.setup.server_isn.wrapping_add(1)];
        for from in [CLIENT, SERVER].map(usize::from) {
            self.next[from] = state.side[from].next.0.wrapping_sub(begins[from]) as usize;
        }
        // The first one may have begun long ago, and its start moves along; the last ones may have become one.
        let memory = &state.memory;
        let at = |i: usize| memory.region_at[i].0.wrapping_sub(begins[0]) as usize;
        let oldest = if at(0) <= self.next[0] { at(0) } else { 0 };
        while self.regions.len() > 1 && self.regions.last().is_some_and(|(at, _)| *at > oldest) {
            self.regions.pop();
        }
        for i in 0..usize::from(memory.regions) {
            let kind = memory.region_kind[i];
            if self.regions.last().is_some_and(|(_, last)| *last != kind) {
                self.regions.push((if i == 0 { oldest } else { at(i) }, kind));
            }
        }
        self.region = self.region.min(self.regions.len() - 1);
        while self.region > 0 && self.regions[self.region].0 > self.read {
            self.region -= 1;
        }
        let flags = connection.shared.flags.load(std::sync::atomic::Ordering::Relaxed);
        self.over |= flags & RESET != 0 || state.session.mode == session::Mode::TLS;
        self.full |= state.memory.boundary_state.iter().all(|state| *state != 0);
    }

    fn segment(&mut self, segment: &Segment) -> Result<(), Violation> {
        let Segment { at, ack, flags, bytes, .. } = *segment;
        let Setup { client_isn, server_isn, window, .. } = self.setup;
        let length = bytes.len();
        if at.unsigned_abs() as usize + length > ROOM {
            return Ok(());
        }
        let sequence = client_isn.wrapping_add(1).wrapping_add_signed(at);
        let acknowledgement = server_isn.wrapping_add(1).wrapping_add_signed(ack);
        let facts = self.facts(true, sequence, acknowledgement, flags).shaped(segment);
        let merged = usize::from(segment.piece) < length && self.filter.merges();
        let piece = if merged { u16::from(segment.piece) } else { 0 };
        let (verdict, start) = self.judge(&facts, piece, |frame| bytes.write(frame))?;
        self.look();
        if verdict != Verdict::Pass {
            self.over |= verdict == Verdict::Reset;
            self.tally.resets += u64::from(verdict == Verdict::Reset);
            return Ok(());
        }
        self.tally.passed += 1;
        let network = self.filter.forwarded(&self.frame);
        let payload = &network[start - ETHERNET..][..length];
        if flags & (SYN | RST) != 0 {
            // No receiver takes its payload.
            return Ok(());
        }
        for (i, byte) in payload.iter().enumerate() {
            let Ok(offset) = usize::try_from(at + i as i32) else { continue };
            if self.first.len() <= offset {
                self.first.resize(offset + 1, 0);
            }
            if self.first[offset] == 0 {
                self.first[offset] = SEEN | u16::from(*byte);
            }
        }
        if length > 0 && at >= 0 {
            for bound in [at as u32, at as u32 + length as u32] {
                if !self.bounds.contains(&bound) {
                    if self.bounds.len() == 48 {
                        self.bounds.remove(0);
                    }
                    self.bounds.push(bound);
                }
            }
        }
        // What no receiver accepts.
        let acknowledged = usize::try_from(ack).unwrap_or(0);
        let edge = self.receiver.next as i64 + i64::from(window);
        let end = i64::from(at) + length as i64;
        if flags & ACK == 0 || acknowledged > self.sent || end > edge {
            return Ok(());
        }
        if !self.established {
            self.established = ack == 0 && at >= 0 && segment.takes != 0;
            if !self.established {
                return Ok(());
            }
        }
        let piece = if piece == 0 { length.max(1) } else { usize::from(piece) };
        for (i, part) in payload.chunks(piece).enumerate() {
            if segment.takes >> i.min(63) & 1 != 0 {
                let offset = at + (i * piece) as i32;
                self.receiver.take(offset, part, u64::from(segment.salt));
            }
        }
        if segment.takes & 1 != 0 {
            self.una = self.una.max(acknowledged);
        }
        self.deliver()
    }

    /// The server reads what its TCP delivers.
    fn deliver(&mut self) -> Result<(), Violation> {
        while self.read < self.receiver.next {
            let at = self.read;
            if self.server.mode == Mode::Tls {
                self.over = true;
                return Ok(());
            }
            if at >= self.next[0] {
                return Err(violation("unread", format!("offset {at}; the filter has read {}", self.next[0])));
            }
            let byte = self.receiver.delivered(at);
            while self.regions.get(self.region + 1).is_some_and(|(from, _)| *from <= at) {
                self.region += 1;
            }
            let mode = self.server.mode;
            let kind = match mode {
                Mode::Command | Mode::Auth => session::Mode::COMMAND,
                Mode::Data => session::Mode::MAIL_DATA,
                Mode::Chunk => session::Mode::CHUNK,
                Mode::Tls => session::Mode::TLS,
            };
            let found = self.regions[self.region].1;
            // Lines and chunks in one: what is which is compared where both ends are at the same place.
            let chunks = found == session::Mode::CHUNKS && matches!(mode, Mode::Command | Mode::Chunk);
            if found != kind && !chunks {
                return Err(violation(
                    "kinds",
                    format!("offset {at} is {mode:?} to the server, {found:?} to the filter"),
                ));
            }
            let first = self.first[at];
            let same = first == SEEN | u16::from(byte) || chunks && (first as u8).eq_ignore_ascii_case(&byte);
            if kind == session::Mode::COMMAND && !same {
                return Err(violation("changed", format!("offset {at}: other bytes than those that were judged")));
            }
            self.read += 1;
            let came = self.server.read(byte);
            let begins = self.regions.get(self.region + 1).is_some_and(|(from, _)| *from == self.read);
            match came {
                Came::Command
                    if chunks && !self.server.line[..4.min(self.server.line.len())].eq_ignore_ascii_case(b"BDAT") =>
                {
                    return Err(violation("kinds", format!("a command at {}, among chunks to the filter", self.read)));
                }
                Came::EndOfData | Came::EndOfChunk if !begins && !chunks => {
                    return Err(violation(
                        "kinds",
                        format!("{came:?} at {}, of which the filter knows nothing", self.read),
                    ));
                }
                Came::Nothing
                    if begins && matches!(self.server.mode, Mode::Data | Mode::Chunk) && mode == self.server.mode =>
                {
                    return Err(violation(
                        "kinds",
                        format!("{mode:?} goes on at {}, where the filter saw its end", self.read),
                    ));
                }
                Came::Command => self.command()?,
                _ => {}
            }
            self.tally.ends_of_data += u64::from(came == Came::EndOfData);
            self.tally.chunks += u64::from(came == Came::EndOfChunk);
        }
        self.meet()
    }

    /// Where the server has read what the filter has read, and the filter what the server has said, both mean the same.
    fn meet(&self) -> Result<(), Violation> {
        let Some(connection) = self.filter.connection() else { return Ok(()) };
        if self.read != self.next[0] || self.next[1] != self.server.out.len() || self.over {
            return Ok(());
        }
        let session = &connection.state.session;
        let same = match self.server.mode {
            Mode::Command => matches!(session.mode, session::Mode::COMMAND | session::Mode::MASKED_CHUNK),
            // A filter that waits for what it does not know lets nothing pass.
            Mode::Auth => session.mode == session::Mode::AUTH_EXCHANGE || session.hold != Command::NONE,
            Mode::Data => session.mode == session::Mode::MAIL_DATA || session.hold != Command::NONE,
            Mode::Chunk => {
                session.mode == session::Mode::CHUNK && session.chunk == self.server.chunk
                    || session.hold != Command::NONE
            }
            Mode::Tls => session.mode == session::Mode::TLS,
        };
        let found = (session.mode, session.chunk);
        let waits = session.mode == session::Mode::COMMAND && session.hold != Command::NONE;
        if same || waits {
            return Ok(());
        }
        Err(violation(
            "kinds",
            format!("{:?} at {} to the server, {found:?} to the filter", self.server.mode, self.read),
        ))
    }

    fn in_force(&self) -> impl Iterator<Item = &Policy> {
        let used = self.used;
        self.filter.policies().iter().enumerate().filter(move |(i, _)| used >> i & 1 != 0).map(|(_, policy)| policy)
    }

    fn command(&mut self) -> Result<(), Violation> {
        self.tally.commands += 1;
        let line = &self.server.line;
        if self.in_force().any(|policy| model::allows(policy, line)) {
            return Ok(());
        }
        Err(violation("command", line.escape_ascii().to_string()))
    }

    fn reply(&mut self, answer: Answer) -> Result<(), Violation> {
        if !self.established {
            return Ok(());
        }
        let from = self.sent - usize::from(answer.back).min(self.sent - self.una);
        let to = self.server.out.len().min(from + usize::from(answer.length));
        self.sent = self.sent.max(to);
        if answer.lost {
            return Ok(());
        }
        let Setup { client_isn, server_isn, .. } = self.setup;
        let sequence = server_isn.wrapping_add(1).wrapping_add(from as u32);
        let acknowledgement = client_isn.wrapping_add(1).wrapping_add(self.receiver.next as u32);
        let facts = self.facts(false, sequence, acknowledgement, ACK | PSH);
        let out = std::mem::take(&mut self.server.out);
        let judged = self.judge(&facts, 0, |frame| frame.extend(&out[from..to]));
        self.server.out = out;
        let (verdict, start) = judged?;
        self.look();
        if verdict == Verdict::Pass {
            self.meet()?;
        }
        if verdict != Verdict::Pass || !answer.takes {
            self.over |= verdict == Verdict::Reset;
            return Ok(());
        }
        let network = self.filter.forwarded(&self.frame);
        self.client.take(from as i32, &network[start - ETHERNET..][..to - from], u64::from(answer.salt));
        while let Some((start, end)) =
            self.server.keywords.get(self.keyword).filter(|(_, end)| *end <= self.client.next)
        {
            let got: Vec<u8> = (*start..*end).map(|at| self.client.delivered(at)).collect();
            let said = &self.server.out[*start..*end];
            self.tally.keywords += 1;
            self.keyword += 1;
            if model::keyword(&got) == model::keyword(said) && self.in_force().all(|policy| model::hides(policy, said))
            {
                return Err(violation("keyword", got.escape_ascii().to_string()));
            }
        }
        Ok(())
    }

    /// The end of a run.
    pub fn end(&mut self) {
        self.tally.runs += 1;
        self.tally.full += u64::from(self.full);
    }

    /// What was forwarded first of these bytes, as far as it is known.
    pub fn first(&self, from: usize, to: usize) -> impl Iterator<Item = u8> {
        let to = to.min(self.first.len());
        self.first[from.min(to)..to].iter().map_while(|cell| (cell & SEEN != 0).then_some(*cell as u8))
    }
}
