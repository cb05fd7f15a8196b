//! A run as a script: what everybody did, in words that can be read, cut down and played again.

use std::fmt;

/// Longest literal bytes of a segment.
pub const LITERAL: usize = 40;

/// A segment's payload: so many bytes of filler, then literal ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    /// Bytes of filler: `NOOP` lines where commands are said, `a` elsewhere.
    pub lead: u16,
    /// The filler is commands.
    pub noops: bool,
    length: u8,
    bytes: [u8; LITERAL],
}

impl Bytes {
    /// No bytes.
    pub const NONE: Self = Self { lead: 0, noops: false, length: 0, bytes: [0; LITERAL] };

    /// As many as there is room for.
    pub fn new(bytes: &[u8]) -> Self {
        let mut out = Self::NONE;
        out.extend(bytes);
        out
    }

    /// Adds bytes at the end.
    pub fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if usize::from(self.length) == LITERAL {
                return;
            }
            self.bytes[usize::from(self.length)] = *byte;
            self.length += 1;
        }
    }

    /// The bytes that are given one by one.
    pub fn literal(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The same, to be changed.
    pub fn literal_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.length)]
    }

    /// Keeps so many of them.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length as u8);
        self.bytes[usize::from(self.length)..].fill(0);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are in all.
    pub fn len(&self) -> usize {
        usize::from(self.lead) + usize::from(self.length)
    }

    /// Appends all of it.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.noops {
            out.extend(b"NOOP\r\n".iter().cycle().take(usize::from(self.lead)));
        } else {
            out.resize(out.len() + usize::from(self.lead), b'a');
        }
        out.extend(self.literal());
    }
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Number of the policy in force at first.
    pub policy: u8,
    /// See [`Stage`].
    pub stage: Stage,
    /// How the receivers choose between copies.
    pub taste: Taste,
    /// What the server is like: bits of [`super::server`].
    pub quirks: u8,
    /// What the server says to commands is drawn from this.
    pub answers: u32,
    /// Sequence number of the client's SYN.
    pub client_isn: u32,
    /// Sequence number of the server's SYN-ACK.
    pub server_isn: u32,
    /// Window of the server, which it moves on with what it takes.
    pub window: u16,
    /// The region that is open when the run begins began so many bytes before; 0: as many as there were.
    pub age: u32,
    /// The client sent a SYN with a number so far from the one that the server answered; 0: it did not.
    pub other_syn: i8,
    /// The filter's shared pool has no room.
    pub crowded: bool,
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The server has answered the SYN.
    Answered,
    /// The banner was read.
    Greeted,
    /// So was the reply to EHLO.
    Hello,
    /// In mail data.
    Data,
}

/// How a receiver chooses between two copies of a byte that it has not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taste {
    /// The first copy stays.
    First,
    /// The last copy counts.
    Last,
    /// One of the two, for each two segments that overlap.
    Overlap,
    /// One of the two, for each byte: no receiver known does that, and runs do not draw it.
    Byte,
}

/// A segment of the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Offset in the client's stream.
    pub at: i32,
    /// Offset in the server's stream of what it acknowledges.
    pub ack: i32,
    /// TCP flags.
    pub flags: u8,
    /// Tags in the data.
    pub tags: u8,
    /// Bytes behind the datagram.
    pub padding: u8,
    /// Words of TCP options (no operation).
    pub options: u8,
    /// It was merged of segments of so many bytes; 0: it is one alone.
    pub piece: u8,
    /// Which of the segments the server takes, where the filter passed them: bit 0 the first.
    pub takes: u64,
    /// Decides what the receiver leaves to chance.
    pub salt: u32,
    /// Its payload.
    pub bytes: Bytes,
}

/// A segment of the server, honest in every way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// It begins so many bytes before the first one that was never sent, as long as they are not acknowledged.
    pub back: u16,
    /// Bytes at most.
    pub length: u16,
    /// It is lost before the filter.
    pub lost: bool,
    /// The client takes it.
    pub takes: bool,
    /// Decides what the receiver leaves to chance.
    pub salt: u32,
}

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The client sends a segment.
    Client(Segment),
    /// The server answers.
    Server(Answer),
    /// Another policy.
    Policy(u8),
    /// The server forgets what is out of order.
    Prune,
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, stage, taste, quirks, answers, client_isn, server_isn, window, age, other_syn, crowded } =
            self;
        let crowded = u8::from(*crowded);
        write!(
            f,
            "setup policy={policy} stage={stage:?} taste={taste:?} quirks={quirks} answers={answers} \
             client_isn={client_isn} server_isn={server_isn} window={window} age={age} other_syn={other_syn} crowded={crowded}"
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(segment) => {
                let Segment { at, ack, flags, tags, padding, options, piece, takes, salt, bytes } = segment;
                write!(f, "client at={at} ack={ack} flags={flags} tags={tags} padding={padding} options={options} ")?;
                write!(f, "piece={piece} takes={takes} salt={salt} lead={} ", bytes.lead)?;
                write!(f, "noops={} {}", u8::from(bytes.noops), bytes.literal().escape_ascii())
            }
            Self::Server(Answer { back, length, lost, takes, salt }) => {
                let (lost, takes) = (u8::from(*lost), u8::from(*takes));
                write!(f, "server back={back} length={length} lost={lost} takes={takes} salt={salt}")
            }
            Self::Policy(number) => write!(f, "policy number={number}"),
            Self::Prune => write!(f, "prune"),
        }
    }
}

/// A whole run in words.
pub fn print(setup: &Setup, ops: &[Op]) -> String {
    let mut out = format!("{setup}\n");
    for op in ops {
        out += &format!("{op}\n");
    }
    out
}

/// The value of `key=`, which has to be there.
fn value<'a>(line: &'a str, key: &str) -> &'a str {
    let found = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {key} in {line:?}"))
}

fn number<T: TryFrom<i64>>(line: &str, key: &str) -> T {
    let number: i64 = value(line, key).parse().unwrap_or_else(|_| panic!("no number: {key} in {line:?}"));
    T::try_from(number).unwrap_or_else(|_| panic!("out of range: {key} in {line:?}"))
}

/// One of a list, by its name.
fn named<T: fmt::Debug + Copy>(line: &str, key: &str, all: &[T]) -> T {
    let name = value(line, key);
    let found = all.iter().find(|one| format!("{one:?}") == name);
    *found.unwrap_or_else(|| panic!("unknown {key} in {line:?}"))
}

fn unescape(text: &str) -> Bytes {
    let (mut out, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits = [rest.next(), rest.next()].map(|digit| char::from(digit.unwrap_or(b'?')));
                u8::from_str_radix(&digits.iter().collect::<String>(), 16).expect("two digits")
            }
            Some(other) => other,
            None => panic!("a backslash ends {text:?}"),
        });
    }
    Bytes::new(&out)
}

/// Reads what [`print`] wrote; lines that begin with `#` say what it is.
pub fn parse(text: &str) -> (Setup, Vec<Op>) {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().expect("a script");
    assert!(line.starts_with("setup "), "{line:?}");
    let setup = Setup {
        policy: number(line, "policy"),
        stage: named(line, "stage", &[Stage::Answered, Stage::Greeted, Stage::Hello, Stage::Data]),
        taste: named(line, "taste", &[Taste::First, Taste::Last, Taste::Overlap, Taste::Byte]),
        quirks: number(line, "quirks"),
        answers: number(line, "answers"),
        client_isn: number(line, "client_isn"),
        server_isn: number(line, "server_isn"),
        window: number(line, "window"),
        age: number(line, "age"),
        other_syn: number(line, "other_syn"),
        crowded: number::<u8>(line, "crowded") != 0,
    };
    let op = |line: &str| match line.split(' ').next() {
        Some("client") => {
            let literal = line.splitn(13, ' ').nth(12).unwrap_or_default();
            let mut bytes = unescape(literal);
            (bytes.lead, bytes.noops) = (number(line, "lead"), number::<u8>(line, "noops") != 0);
            Op::Client(Segment {
                at: number(line, "at"),
                ack: number(line, "ack"),
                flags: number(line, "flags"),
                tags: number(line, "tags"),
                padding: number(line, "padding"),
                options: number(line, "options"),
                piece: number(line, "piece"),
                takes: value(line, "takes").parse().expect("a number"),
                salt: number(line, "salt"),
                bytes,
            })
        }
        Some("server") => Op::Server(Answer {
            back: number(line, "back"),
            length: number(line, "length"),
            lost: number::<u8>(line, "lost") != 0,
            takes: number::<u8>(line, "takes") != 0,
            salt: number(line, "salt"),
        }),
        Some("policy") => Op::Policy(number(line, "number")),
        Some("prune") => Op::Prune,
        _ => panic!("what is {line:?}?"),
    };
    (setup, lines.map(op).collect())
}
