//! Captures through the filter in user space: real dialogues against what is known of them, dialogues made here in
//! every format and link type, and files that are none.
//!
//! Invariants: I7, I13.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use smtp_filter::{
    events::view::EventView,
    policy::{Document, parse},
    replay::{
        self, Replay, Source,
        capture::{self, Packet, Sink},
    },
};
use smtp_filter_common::{
    entry::{Connection, TLS},
    flow::Key,
    reason::{FIRST_NAME, Reason},
    session::state::Hello,
    verdict::Verdict,
};
use smtp_filter_testkit::{
    captures::{self, Endian, Frame, LinkType, Ng, Pcap, Recording, dialogue, reassembled},
    folders,
    lab::schema,
};

/// Every command is told, and whatever the stream or a guard objects to is stopped.
const STRICT: &str = "mode = \"enforce\"\ncapture_envelope = true\n\
                      [guards]\nunknown_connection = { action = \"drop\", grace = \"0s\" }\n";
/// The same, with nothing stopped.
const MONITOR: &str = "mode = \"monitor\"\ncapture_envelope = true\n\
                       [guards]\nunknown_connection = { action = \"drop\", grace = \"0s\" }\n";

fn policy(text: &str) -> Document {
    parse("policy", text).unwrap()
}

/// What the filter says of a capture.
struct Told {
    replay: Replay,
    events: Vec<EventView>,
    verdicts: Vec<Option<Verdict>>,
    frames: Vec<Vec<u8>>,
}

impl Told {
    fn new(document: &Document) -> Self {
        let replay = Replay::new(document).unwrap();
        Self { replay, events: Vec::new(), verdicts: Vec::new(), frames: Vec::new() }
    }

    fn of(text: &str, bytes: Vec<u8>) -> Self {
        let mut told = Self::new(&policy(text));
        let length = Some(bytes.len() as u64);
        capture::read(Source::new(std::io::Cursor::new(bytes), length), &mut told).unwrap();
        told
    }

    fn commands(&self) -> Vec<String> {
        self.events.iter().filter_map(command).collect()
    }

    fn stopped(&self) -> usize {
        self.verdicts.iter().filter(|verdict| **verdict != Some(Verdict::Pass)).count()
    }

    /// Segments by reason.
    fn counted(&self) -> Vec<(String, u64)> {
        let names = self.replay.names();
        self.replay.counters().unwrap().iter().map(|row| (names.reason(row.reason), row.counter.segments)).collect()
    }

    fn segments(&self, reason: Reason) -> u64 {
        self.replay.world().counted(reason.number()).segments
    }

    /// The last one from this port, live or as it was when it left.
    fn connection(&self, port: u16) -> &Connection {
        let of_port = |key: &Key| u16::from_be_bytes(key.client_port) == port;
        let world = self.replay.world();
        world.left().chain(world.connections()).filter(|(key, _)| of_port(key)).last().expect("one from the port").1
    }
}

impl Sink for Told {
    fn frame(&mut self, packet: &Packet<'_>) -> anyhow::Result<()> {
        let verdict = self.replay.frame(packet)?;
        self.verdicts.push(verdict);
        self.frames.push(packet.bytes.to_vec());
        self.events.extend(events(&mut self.replay));
        Ok(())
    }

    fn waits(&mut self, _read: u64) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The events of the last frame, but for those of a connection's beginning and end.
fn events(replay: &mut Replay) -> Vec<EventView> {
    let mut events = replay.events().unwrap();
    events.retain(|event| !["connect", "close"].contains(&event.kind));
    events
}

/// A command's verb and argument.
fn command(event: &EventView) -> Option<String> {
    let verb = event.verb.as_deref()?;
    let arg = event.arg.as_deref().unwrap_or("(withheld)");
    Some(format!("{verb} {arg}").trim_end().to_owned())
}

mod real {
    //! The captures of ../shared/pcaps. What they are and what is in them stands in expected.json there.

    use super::*;

    /// Verbs that expected.json takes for verbs.
    const VERBS: [&str; 14] = [
        "HELO", "EHLO", "MAIL", "RCPT", "DATA", "QUIT", "RSET", "NOOP", "STARTTLS", "AUTH", "BDAT", "VRFY", "EXPN",
        "HELP",
    ];

    /// Command lines that are none, which expected.json leaves out: a client that goes on with its mail although the
    /// server said 503 to its DATA. The server answers each with 500.
    const NO_VERBS: [(&str, &[&str]); 1] = [(
        "zeek-smtp-mail-transactions-invalid.pcap",
        &["HELLO, Alice (2)", ".", "HELLO, Alice (3)", ".", "HELLO, Alice (4)", "."],
    )];

    /// Repeats that expected.json counts and that carry no payload: a FIN and what is behind it has its own reason.
    const REPEATS_WITHOUT_PAYLOAD: [(&str, u64); 1] = [("oisf-bug-1045__smtpsuricataflowbitsFN.pcap", 1)];

    /// Lines that are not good, for each dialogue.
    const SEEDS: u64 = 40;

    fn of_file<T: Copy>(table: &[(&str, T)], file: &str) -> Option<T> {
        table.iter().find(|(name, _)| *name == file).map(|(_, value)| *value)
    }

    /// Folder and expectations.
    fn captures() -> (PathBuf, Vec<Value>) {
        let folder = folders::captures();
        let files: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
        assert!(!files.is_empty());
        (folder, files)
    }

    fn words(value: &Value) -> Vec<&str> {
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
    }

    fn port(connection: &Value) -> u16 {
        connection["client"].as_str().unwrap().parse().unwrap()
    }

    fn events_of(told: &Told, port: u16) -> Vec<&EventView> {
        told.events.iter().filter(|event| event.client.ends_with(&format!(":{port}"))).collect()
    }

    /// Mails that the server took. A 250 also answers these.
    fn messages(connection: &Value) -> u64 {
        let order = words(&connection["order"]);
        let accepted = |verb: &&&str| ["HELO", "EHLO", "MAIL", "RCPT", "RSET", "NOOP"].contains(*verb);
        let accepted = order.iter().filter(accepted).count() as u64;
        // 503 and 500: to commands out of order. Who says 503 to RCPT and MAIL says it to DATA too.
        let refused = connection["codes"]["503"].as_u64().unwrap_or(0);
        let refused_data = order.iter().filter(|verb| **verb == "DATA").count() as u64
            - connection["codes"]["354"].as_u64().unwrap_or(0);
        let refused = refused.saturating_sub(refused_data);
        connection["codes"]["250"].as_u64().unwrap() - (accepted - refused)
    }

    #[test(captures)]
    fn the_filter_reads_what_is_in_them() {
        let (folder, files) = captures();
        for file in files {
            let name = file["file"].as_str().unwrap();
            for text in [STRICT, MONITOR] {
                let told = Told::of(text, fs::read(folder.join(name)).unwrap());
                assert_eq!(told.stopped(), 0, "{name}: {:?}", told.events);
                let connections = file["connections"].as_array().unwrap();
                for connection in connections {
                    agrees(name, connection, &told);
                }
                assert_eq!(told.replay.world().opened, connections.len() as u64, "{name}");
                let (mut repeats, mut events) = (0, 0);
                for connection in connections {
                    repeats += connection["retrans"].as_u64().unwrap();
                    events += events_of(&told, port(connection)).len();
                }
                assert_eq!(events, told.events.len(), "{name}: events of other connections");
                let bare = of_file(&REPEATS_WITHOUT_PAYLOAD, name).unwrap_or(0);
                assert_eq!(told.segments(Reason::Retransmission), repeats - bare, "{name}: repeats");
                let discarded = [
                    Reason::OutsideAcknowledgement,
                    Reason::OldTimestamp,
                    Reason::AuthenticationOption,
                    Reason::HopLimit,
                    Reason::Checksum,
                ];
                let held_back =
                    [Reason::OutOfOrder, Reason::BeyondWindow, Reason::Gap, Reason::Unfetched, Reason::Backlog];
                for reason in held_back.into_iter().chain(discarded) {
                    assert_eq!(told.segments(reason), 0, "{name}: {}", reason.name());
                }
            }
        }
    }

    /// One connection.
    fn agrees(name: &str, connection: &Value, told: &Told) {
        let port = port(connection);
        let events = events_of(told, port);
        let (verbs, others): (Vec<String>, Vec<String>) = events
            .iter()
            .map(|event| command(event).expect("a command's"))
            .partition(|line| line.split(' ').next().is_some_and(|verb| VERBS.contains(&verb)));
        let first = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        assert_eq!(verbs.iter().map(first).collect::<Vec<_>>(), words(&connection["order"]), "{name}: verbs");
        assert_eq!(others, of_file(&NO_VERBS, name).unwrap_or_default(), "{name}: lines that are no verbs");

        let helo: Vec<&String> =
            verbs.iter().filter(|line| line[1..].starts_with("ELO") || line.starts_with("EHLO")).collect();
        let expected: Vec<String> = words(&connection["helo"])
            .iter()
            .map(|line| format!("{}{}", line[..4].to_ascii_uppercase(), &line[4..]))
            .collect();
        assert_eq!(helo, expected.iter().collect::<Vec<_>>(), "{name}: HELO and EHLO");

        // Several commands in one segment have one time.
        let mut times: BTreeMap<&str, u64> = BTreeMap::new();
        for event in &events {
            *times.entry(&event.ts).or_default() += 1;
        }
        let several = times.values().filter(|count| **count > 1).count() as u64;
        let lines = connection["multi_cmd_segs"].as_u64().unwrap();
        assert_eq!(several, lines, "{name}: segments with several commands");

        let Connection { shared, state, .. } = told.connection(port);
        let tls = shared.flags.load(std::sync::atomic::Ordering::Relaxed) & TLS != 0;
        assert_eq!(tls, connection["tls"].as_bool().unwrap(), "{name}: TLS");
        let session = &state.session;
        assert_eq!(u64::from(session.commands), events.len() as u64, "{name}: commands");
        let recipients = words(&connection["order"]).iter().filter(|verb| **verb == "RCPT").count();
        assert_eq!(session.recipients as usize, recipients, "{name}: recipients");
        assert_eq!(session.greeted, 1, "{name}: the banner");
        assert_eq!((session.runs, session.hold.number()), (0, 0), "{name}: every command has its reply");
        if !tls {
            assert_eq!(u64::from(session.messages), messages(connection), "{name}: mails");
            let chunking = words(&connection["caps"]).contains(&"CHUNKING");
            assert_eq!(session.chunking != 0, chunking, "{name}: CHUNKING");
        }
    }

    /// What was said in them, cut into other segments, every segment twice.
    #[test(captures)]
    fn the_same_dialogues_in_other_segments_are_the_same() {
        let (folder, files) = captures();
        let mut dialogues = 0;
        for file in files {
            let name = file["file"].as_str().unwrap();
            let original = Told::of(STRICT, fs::read(folder.join(name)).unwrap());
            let flights = reassembled(original.frames.iter().map(Vec::as_slice));
            for (port, flights) in flights {
                let lines: Vec<String> = events_of(&original, port).into_iter().filter_map(command).collect();
                let mails = original.connection(port).state.session.messages;
                for size in [1, 2, 3, 7, 100, 1460, 60_000] {
                    for twice in [false, true] {
                        let told = Told::of(STRICT, recut(port, &flights, size, twice));
                        let what = format!("{name}: port {port}, cut at {size}, twice {twice}");
                        assert_eq!(told.stopped(), 0, "{what}: {:?}", told.counted());
                        assert_eq!(told.commands(), lines, "{what}");
                        assert_eq!(told.connection(port).state.session.messages, mails, "{what}");
                        assert_eq!(told.connection(port).state.session.runs, 0, "{what}");
                    }
                }
                dialogues += 1;
            }
        }
        assert!(dialogues >= 19, "{dialogues}");
    }

    /// Commands of a connection in mode `monitor`, whatever becomes of its frames.
    fn monitored(frames: &[captures::Frame]) -> Vec<String> {
        Told::of(MONITOR, captures::Pcap::of(frames)).commands()
    }

    /// What is told that is not in the original, and how much of it is missing.
    fn compare(original: &[String], told: Vec<String>) -> (Vec<String>, usize) {
        let mut missing = original.to_vec();
        let mut strange = Vec::new();
        for line in told {
            match missing.iter().position(|other| *other == line) {
                Some(at) => {
                    missing.remove(at);
                }
                None => strange.push(line),
            }
        }
        (strange, missing.len())
    }

    /// Clients that do everything too early (I13): all that a client says comes in one go, and then all that the server
    /// says.
    #[test(captures)]
    fn dialogues_whose_client_waits_for_nothing_are_read_in_mode_monitor() {
        let (folder, files) = captures();
        let mut dialogues = 0;
        for file in files {
            let name = file["file"].as_str().unwrap();
            if of_file(&NO_VERBS, name).is_some() {
                // The server refuses DATA: the mail is commands to it, of which nothing is told.
                continue;
            }
            let original = Told::of(MONITOR, fs::read(folder.join(name)).unwrap());
            for (port, flights) in reassembled(original.frames.iter().map(Vec::as_slice)) {
                if original.connection(port).shared.flags.load(std::sync::atomic::Ordering::Relaxed) & TLS != 0 {
                    continue;
                }
                let lines: Vec<String> = events_of(&original, port).into_iter().filter_map(command).collect();
                let of = |side: bool| -> Vec<u8> {
                    flights
                        .iter()
                        .filter(|(from_client, _)| *from_client == side)
                        .flat_map(|(_, said)| said.clone())
                        .collect()
                };
                for size in [1, 7, 100, 1460, 60_000] {
                    let mut talk = Recording::new(port);
                    let mut frames = talk.handshake();
                    for side in [true, false] {
                        for piece in of(side).chunks(size) {
                            frames.push(talk.says(side, piece));
                        }
                    }
                    assert_eq!(monitored(&frames), lines, "{name}: port {port}, cut at {size}");
                }
                dialogues += 1;
            }
        }
        assert!(dialogues >= 10, "{dialogues}");
    }

    /// Frames that are lost, come twice or in another order: whatever is told was said, and little is missing.
    #[test(captures)]
    fn captures_with_holes_and_out_of_order_are_read_in_mode_monitor() {
        let (folder, files) = captures();
        let (mut said, mut missing, mut strange) = (0, 0, Vec::new());
        for file in files {
            let name = file["file"].as_str().unwrap();
            let original = Told::of(MONITOR, fs::read(folder.join(name)).unwrap());
            for (port, flights) in reassembled(original.frames.iter().map(Vec::as_slice)) {
                let lines: Vec<String> = events_of(&original, port).into_iter().filter_map(command).collect();
                let mut talk = Recording::new(port);
                let mut frames = talk.handshake();
                let shaken = frames.len();
                for (from_client, bytes) in &flights {
                    for piece in bytes.chunks(1460) {
                        frames.push(talk.says(*from_client, piece));
                    }
                }
                let last = frames.len().min(60);
                for at in shaken..last {
                    let mut lost = frames.clone();
                    lost.remove(at);
                    let mut swapped = frames.clone();
                    swapped.swap(at, (at + 1).min(last - 1));
                    for (what, frames) in [("lost", lost), ("swapped", swapped)] {
                        let (others, without) = compare(&lines, monitored(&frames));
                        said += lines.len();
                        missing += without;
                        strange.extend(others.into_iter().map(|line| format!("{name}: frame {at} {what}: {line}")));
                    }
                }
            }
        }
        assert!(strange.is_empty(), "{strange:#?}");
        assert!(said > 1000 && missing * 20 < said, "{missing} of {said} are missing");
    }

    /// What was said in them, over a line that is not good.
    #[test(captures)]
    fn the_same_dialogues_with_loss_are_the_same() {
        let (folder, files) = captures();
        for file in files {
            let name = file["file"].as_str().unwrap();
            let original = Told::of(STRICT, fs::read(folder.join(name)).unwrap());
            let flights = reassembled(original.frames.iter().map(Vec::as_slice));
            for (port, flights) in flights {
                let lines: Vec<String> = events_of(&original, port).into_iter().filter_map(command).collect();
                let mails = original.connection(port).state.session.messages;
                for seed in 0..SEEDS {
                    let largest = [3, 20, 200, 1460][seed as usize % 4];
                    let lossy = lossy(port, &flights, seed, largest);
                    let what = format!("{name}: port {port}, seed {seed}, at most {largest}");
                    assert_eq!(lossy.told.commands(), lines, "{what}: {:?}", lossy.told.counted());
                    let session = lossy.told.connection(port).state.session;
                    assert_eq!((session.messages, session.runs), (mails, 0), "{what}");
                }
            }
        }
    }
}

/// Flights in segments of a size; every second one is acknowledged at once, as receivers do (RFC 9293 section 3.8.6.3):
/// of what is not, only so much is remembered.
fn recut(port: u16, flights: &[(bool, Vec<u8>)], size: usize, twice: bool) -> Vec<u8> {
    let mut talk = Recording::new(port);
    let mut frames = talk.handshake();
    for (from_client, bytes) in flights {
        for (number, piece) in bytes.chunks(size).enumerate() {
            let offset = talk.said(*from_client);
            frames.push(talk.says(*from_client, piece));
            if twice {
                frames.push(talk.at(*from_client, offset, piece));
            }
            if number % 2 == 1 {
                frames.push(talk.acknowledges(!from_client));
            }
        }
    }
    Pcap::of(&frames)
}

/// A dialogue over a line that loses segments in front of the filter and behind it, and puts them out of order; what is
/// not acknowledged comes again, some of it in larger segments. The filter may hold segments back, but everything
/// arrives in the end.
struct Lossy {
    told: Told,
    talk: Recording,
    random: u64,
    interface: capture::Interface,
}

impl Lossy {
    fn new(port: u16, seed: u64) -> Self {
        let mut lossy = Self {
            told: Told::new(&policy(STRICT)),
            talk: Recording::new(port),
            random: seed,
            interface: capture::Interface::unnamed(1),
        };
        for frame in lossy.talk.handshake() {
            assert!(lossy.passes(&frame));
        }
        lossy
    }

    /// Below `bound` (Knuth's MMIX generator).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn passes(&mut self, frame: &Frame) -> bool {
        let packet = Packet {
            time: frame.time,
            link: replay::Link::of(LinkType::Raw as u32),
            interface: &self.interface,
            way: None,
            bytes: &frame.bytes,
            length: frame.bytes.len() as u32,
        };
        let verdict = self.told.replay.frame(&packet).unwrap();
        assert_ne!(verdict, Some(Verdict::Reset), "{:?}", self.told.counted());
        self.told.events.extend(events(&mut self.told.replay));
        verdict == Some(Verdict::Pass)
    }

    /// One side says its bytes until the other side has them all.
    fn flight(&mut self, from_client: bool, bytes: &[u8], begin: u32, largest: u64) {
        let length = bytes.len();
        let largest = largest.max(length as u64 / 100);
        let mut cuts = vec![0];
        while let Some(last) = cuts.last().copied().filter(|last| *last < length) {
            cuts.push(length.min(last + 1 + self.below(largest) as usize));
        }
        // What the receiver has, and how much of that the sender knows.
        let mut there = vec![false; length];
        let mut known = 0;
        let mut waiting = 0;
        while known < length {
            assert!(waiting < 100, "it sticks at {known} of {length}: {:?}", self.told.counted());
            waiting += 1;
            let mut segments = Vec::new();
            // What was put together may be acknowledged in part: the rest begins where a segment once ended.
            let mut from = cuts.partition_point(|cut| *cut < known);
            if cuts[from] != known {
                cuts.insert(from, known);
            }
            while from + 1 < cuts.len() && segments.len() < 12 {
                // A sender puts segments together before it sends them again, and leaves them so.
                if waiting > 1 && from + 2 < cuts.len() && self.one_in(4) {
                    cuts.remove(from + 1);
                }
                segments.push(cuts[from]..cuts[from + 1]);
                from += 1;
            }
            for i in 1..segments.len() {
                if self.one_in(8) {
                    segments.swap(i - 1, i);
                }
            }
            for segment in segments {
                if self.one_in(10) {
                    continue;
                }
                let frame = self.talk.at(from_client, begin + segment.start as u32, &bytes[segment.clone()]);
                if self.passes(&frame) && !self.one_in(10) {
                    there[segment].fill(true);
                }
            }
            let come = there.iter().position(|there| !there).unwrap_or(length);
            self.talk.stand(from_client, begin + come as u32, begin + come as u32);
            let frame = self.talk.bare(!from_client);
            if !self.one_in(10) && self.passes(&frame) && come > known {
                known = come;
                waiting = 0;
            }
        }
    }
}

/// End of data.
const END: &[u8] = b"\r\n.\r\n";

/// A whole dialogue of that kind.
fn lossy(port: u16, flights: &[(bool, Vec<u8>)], seed: u64, largest: u64) -> Lossy {
    let mut lossy = Lossy::new(port, seed);
    let mut said = [0; 2];
    for (from_client, bytes) in flights {
        let side = usize::from(!from_client);
        // Commands behind an end of data that come before it are taken for mail data, and then there is no way out but
        // a reset (guards.late_end_of_data): a client that sends them together waits here.
        let end = bytes.windows(END.len()).position(|bytes| bytes == END).map_or(bytes.len(), |at| at + END.len());
        for part in [&bytes[..end], &bytes[end..]] {
            lossy.flight(*from_client, part, said[side], largest);
            said[side] += part.len() as u32;
        }
    }
    lossy
}

mod made {
    //! Captures that are made here.

    use super::*;

    const SAYS: [(bool, &[u8]); 13] = [
        (false, b"220 mail.example ESMTP\r\n"),
        (true, b"EHLO client.example\r\n"),
        (false, b"250-mail.example\r\n250 PIPELINING\r\n"),
        (true, b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"),
        (false, b"250 OK\r\n250 OK\r\n"),
        (true, b"DATA\r\n"),
        (false, b"354 Go\r\n"),
        (true, b"Subject: x\r\n\r\nQUIT\r\n.\r\n"),
        (false, b"250 OK\r\n"),
        (true, b"NO"),
        (true, b"OP\r\nQUIT\r\n"),
        (false, b"250 OK\r\n"),
        (false, b"221 Bye\r\n"),
    ];

    const LINES: [&str; 6] =
        ["EHLO client.example", "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>", "DATA", "NOOP", "QUIT"];

    fn frames() -> Vec<Frame> {
        dialogue(&mut Recording::new(41_234), &SAYS)
    }

    fn times(told: &Told) -> Vec<&str> {
        told.events.iter().map(|event| event.ts.as_str()).collect()
    }

    #[test]
    fn every_kind_of_pcap_reports_the_same() {
        for link in LinkType::ALL {
            for endian in [Endian::Little, Endian::Big] {
                for nanoseconds in [false, true] {
                    let mut file = Pcap::new(link, endian, nanoseconds);
                    for frame in frames() {
                        file.frame(&frame, usize::MAX);
                    }
                    let told = Told::of(STRICT, file.bytes);
                    let what = format!("{link:?} {endian:?} {nanoseconds}");
                    assert_eq!(told.commands(), LINES, "{what}");
                    assert_eq!(told.stopped(), 0, "{what}");
                    let first =
                        if nanoseconds { "2023-11-14T22:13:20.128456789Z" } else { "2023-11-14T22:13:20.128456000Z" };
                    assert_eq!(times(&told)[0], first, "{what}");
                    let interface = if link == LinkType::Cooked2 { "#7" } else { "capture" };
                    assert!(told.events.iter().all(|event| event.iface == interface), "{what}");
                }
            }
        }
    }

    #[test]
    fn every_kind_of_pcapng_reports_the_same() {
        for link in LinkType::ALL {
            for endian in [Endian::Little, Endian::Big] {
                // if_tsresol: microseconds unless it says otherwise; a power of ten, or of two.
                for (resolution, units) in [(None, 1_000_000), (Some(9), 1_000_000_000), (Some(0x80 | 20), 1 << 20)] {
                    let mut file = Ng::new(endian);
                    // What nobody knows is skipped.
                    file.block(0x0bad_cafe, b"12345678");
                    let offset = endian.u64(1_700_000_000);
                    let resolution = resolution.map(|resolution| [resolution]);
                    let mut options: Vec<(u16, &[u8])> = vec![(2, b"eth 0\x1b"), (14, &offset)];
                    options.extend(resolution.iter().map(|resolution| (9, resolution.as_slice())));
                    file.interface(link, &options);
                    for frame in frames() {
                        let time = u128::from(frame.time - 1_700_000_000_000_000_000) * units / 1_000_000_000;
                        file.frame(0, link, time as u64, &frame, &[]);
                    }
                    let told = Told::of(STRICT, file.bytes);
                    let what = format!("{link:?} {endian:?} {units}");
                    assert_eq!(told.commands(), LINES, "{what}");
                    assert_eq!(told.stopped(), 0, "{what}");
                    let first = times(&told)[0];
                    assert!(first.starts_with("2023-11-14T22:13:20.12845"), "{what}: {first}");
                    let interface = if link == LinkType::Cooked2 { "#7" } else { "eth\\x200\\x1b" };
                    assert!(told.events.iter().all(|event| event.iface == interface), "{what}");
                }
            }
        }
    }

    #[test]
    fn sections_follow_one_another_with_interfaces_of_their_own() {
        let frames = frames();
        let (first, second) = frames.split_at(frames.len() / 2);
        let mut file = Ng::new(Endian::Little);
        file.interface(LinkType::Raw, &[(2, b"tun0")]);
        file.interface(LinkType::Ethernet, &[(2, b"eth0")]);
        for frame in first {
            let (interface, link) = if frame.from_client { (1, LinkType::Ethernet) } else { (0, LinkType::Raw) };
            file.frame(interface, link, frame.time / 1000, frame, &[]);
        }
        let mut more = Ng::new(Endian::Big);
        more.interface(LinkType::Cooked, &[(2, b"any")]);
        for frame in second {
            more.simple(LinkType::Cooked, frame);
        }
        file.bytes.extend(more.bytes);
        let told = Told::of(STRICT, file.bytes);
        assert_eq!((told.commands().as_slice(), told.stopped()), (LINES.map(String::from).as_slice(), 0));
        let interfaces: Vec<&str> = told.events.iter().map(|event| event.iface.as_str()).collect();
        assert_eq!(interfaces, ["eth0", "eth0", "eth0", "eth0", "any", "any"]);
    }

    /// A server's reply from where the client is.
    fn forged(link: LinkType, options: [Option<u8>; 2]) -> Told {
        let mut talk = Recording::new(41_234);
        let mut frames = talk.handshake();
        frames.push(talk.says(false, SAYS[0].1));
        frames.push(talk.says(true, b"DATA\r\n"));
        let mut forged = talk.says(false, b"354 Go\r\n");
        forged.from_client = true;
        frames.push(forged);
        let mut file = Ng::new(Endian::Little);
        file.interface(link, &[]);
        for frame in frames {
            let flags = options[usize::from(!frame.from_client)].map(|flags| [flags, 0, 0, 0]);
            let options: Vec<(u16, &[u8])> = flags.iter().map(|flags| (2, flags.as_slice())).collect();
            file.frame(0, link, frame.time / 1000, &frame, &options);
        }
        Told::of(STRICT, file.bytes)
    }

    #[test]
    fn a_forged_server_is_reported_where_the_capture_says_which_way_frames_went() {
        for (link, options, spoofed) in [
            (LinkType::Cooked, [None, None], 1),
            (LinkType::Cooked2, [None, None], 1),
            (LinkType::Ethernet, [Some(1), Some(2)], 1),
            (LinkType::Ethernet, [None, None], 0),
            (LinkType::Raw, [None, None], 0),
        ] {
            let told = forged(link, options);
            assert_eq!(told.segments(Reason::SpoofedServer), spoofed, "{link:?}: {:?}", told.counted());
            assert_eq!(told.stopped() as u64, spoofed, "{link:?}");
        }
    }

    #[test]
    fn what_is_dropped_does_not_reach_the_other_sides_state() {
        let told = Told::of("profile = \"drop-esmtp\"\n", Pcap::of(&frames()));
        assert_eq!(told.commands(), ["EHLO client.example"]);
        assert_eq!((told.events[0].action, told.events[0].reason.as_str()), ("drop", "commands.ehlo"));
        let state = &told.connection(41_234).state;
        // The server answered EHLO in the capture; here it never saw one, and is never asked for a mail.
        assert_eq!((state.session.hello, state.session.commands, state.session.messages), (Hello::NONE, 0, 0));
        assert_eq!(state.side[0].bytes, 0);
        // What the server acknowledges has not passed.
        assert!(told.segments(Reason::OutsideAcknowledgement) > 0);
        let monitor = Told::of("profile = \"drop-esmtp\"\nmode = \"monitor\"\n", Pcap::of(&frames()));
        assert_eq!((monitor.stopped(), monitor.events[0].enforced), (0, false));
    }

    /// In mail data: where the text begins in the client's stream.
    fn in_text(lossy: &mut Lossy) -> u32 {
        let mut said = [0; 2];
        for (from_client, bytes) in &SAYS[..7] {
            let side = usize::from(!from_client);
            let frame = lossy.talk.says(*from_client, bytes);
            assert!(lossy.passes(&frame));
            said[side] += bytes.len() as u32;
        }
        said[0]
    }

    /// The first segment is lost in front of the filter, the second one passes, and then all comes again in one with
    /// the end of data, behind which nothing has passed.
    #[test]
    fn text_that_came_early_and_comes_again_with_its_end_is_honest() {
        let mut lossy = Lossy::new(41_234, 0);
        let begin = in_text(&mut lossy);
        let early = lossy.talk.at(true, begin + 3, b"def ghi jkl");
        assert!(lossy.passes(&early));
        let whole = lossy.talk.at(true, begin, b"abcdef ghi jkl\r\n.\r\n");
        assert!(lossy.passes(&whole), "{:?}", lossy.told.counted());
    }

    /// A segment passes and is lost behind the filter; it comes again in two, of which the first arrives. What the
    /// receiver asks for then begins with CRLF in the midst of the first one.
    #[test]
    fn a_retransmission_in_smaller_segments_is_honest() {
        let mut lossy = Lossy::new(41_234, 0);
        let begin = in_text(&mut lossy);
        for (at, bytes) in [(0, b"abcdef\r\nghi".as_slice()), (0, b"abcdef"), (6, b"\r\nghi")] {
            if at > 0 {
                lossy.talk.stand(true, begin + at, begin + at);
                let frame = lossy.talk.bare(false);
                assert!(lossy.passes(&frame));
            }
            let frame = lossy.talk.at(true, begin + at, bytes);
            assert!(lossy.passes(&frame), "{:?} {:?}", String::from_utf8_lossy(bytes), lossy.told.counted());
        }
    }

    /// Two segments of mail data, and both again in one of three bytes.
    #[test]
    fn a_retransmission_of_three_bytes_is_honest() {
        let mut lossy = Lossy::new(41_234, 0);
        let begin = in_text(&mut lossy);
        for (at, bytes) in [(0, b".".as_slice()), (1, b"ab"), (0, b".ab")] {
            let frame = lossy.talk.at(true, begin + at, bytes);
            assert!(lossy.passes(&frame), "{:?} {:?}", String::from_utf8_lossy(bytes), lossy.told.counted());
        }
    }

    #[test]
    fn a_reset_ends_the_connection() {
        let told = Told::of("mode = \"enforce\"\n[commands]\nEHLO = \"reset\"\n", Pcap::of(&frames()));
        assert_eq!((told.commands().len(), told.replay.resets()), (1, 1));
        assert!(told.verdicts.contains(&Some(Verdict::Reset)));
        assert!(told.segments(Reason::AfterReset) > 5, "{:?}", told.counted());
    }

    #[test]
    fn connections_without_a_beginning_pass_for_the_grace() {
        let mut frames = frames().split_off(3);
        // The last ones come behind the grace.
        for frame in frames.iter_mut().rev().take(2) {
            frame.time += 601_000_000_000;
        }
        let told = Told::of("mode = \"enforce\"\n", Pcap::of(&frames));
        assert_eq!(told.stopped(), 2);
        assert_eq!(told.segments(Reason::UnknownConnection), frames.len() as u64);
        assert!(told.events.iter().all(|event| event.reason == "guards.unknown_connection" && event.action == "drop"));
        assert_eq!(told.events.len(), 2);
    }

    #[test]
    fn frames_captured_cut_short_are_counted_and_not_judged() {
        let frames = frames();
        let mut file = Pcap::new(LinkType::Ethernet, Endian::Little, false);
        for frame in &frames {
            file.frame(frame, 68);
        }
        let told = Told::of(MONITOR, file.bytes);
        let seen = told.replay.seen();
        let cut = frames.iter().filter(|frame| frame.bytes.len() + 14 > 68).count() as u64;
        assert!(cut > 3);
        assert_eq!((seen.frames, seen.cut_short), (frames.len() as u64, cut));
        assert_eq!(told.segments(Reason::Unreadable), 0);
    }

    #[test]
    fn what_is_not_for_the_ports_is_nobodys() {
        let told = Told::of("ports = [587]\n", Pcap::of(&frames()));
        assert!(told.events.is_empty() && told.counted().is_empty());
    }

    #[test]
    fn a_capture_may_begin_in_1970_and_go_back_in_time() {
        let mut frames = frames();
        for frame in &mut frames {
            frame.time = 0;
        }
        frames[5].time = 4_000_000_000_000_000_000;
        let told = Told::of(STRICT, Pcap::of(&frames));
        assert_eq!((told.commands().len(), told.stopped()), (LINES.len(), 0));
    }

    #[test]
    fn names_of_verbs_are_the_loaders() {
        let told = Told::of(STRICT, Pcap::of(&frames()));
        let reasons: Vec<&str> = told.events.iter().map(|event| event.reason.as_str()).collect();
        let verbs = ["ehlo", "mail", "rcpt", "data", "noop", "quit"].map(|verb| format!("commands.{verb}"));
        assert_eq!(reasons, verbs);
        let segments: u64 = told
            .replay
            .counters()
            .unwrap()
            .iter()
            .filter(|row| row.reason < FIRST_NAME)
            .map(|row| row.counter.segments)
            .sum();
        assert_eq!(segments, told.frames.len() as u64, "each segment has one reason");
    }
}

mod command_line {
    //! `smtp-filter replay`.

    use super::*;

    /// A file that goes away with its name.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let path = env::temp_dir().join(format!("smtp-filter-replay-{}-{name}", std::process::id()));
            fs::write(&path, bytes).unwrap();
            Self(path)
        }

        fn name(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn replay(words: &[&str], input: &[u8]) -> (i32, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_smtp-filter"))
            .arg("replay")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended before it read all.
        let _ = child.stdin.take().unwrap().write_all(input);
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        (
            status.code().expect("it ends by itself"),
            String::from_utf8(stdout).unwrap(),
            String::from_utf8(stderr).unwrap(),
        )
    }

    fn good() -> Vec<u8> {
        let says: [(bool, &[u8]); 2] = [(false, b"220 mail.example\r\n"), (true, b"EHLO client.example\r\n")];
        Pcap::of(&dialogue(&mut Recording::new(41_234), &says))
    }

    #[test]
    fn events_go_out_and_the_summary_beside_them() {
        let file = File::new("good.pcap", &good());
        let (code, out, err) = replay(&[file.name()], b"");
        assert_eq!(code, 0);
        assert_eq!(
            out,
            "2023-11-14T22:13:20.126456000Z capture 192.0.2.10:41234 -> 198.51.100.25:25 #0000000000000001 connect pass by \
             pass.handshake\n\
             2023-11-14T22:13:20.128456000Z capture 192.0.2.10:41234 -> 198.51.100.25:25 #0000000000000001 command log by \
             commands.ehlo: EHLO client.example\n\
             2023-11-14T22:13:20.130456000Z capture 192.0.2.10:41234 <- 198.51.100.25:25 #0000000000000001 close pass by \
             pass.closing, ended by fin after 0.004 s, 21 bytes from the client, 18 from the server, 1 commands, \
             0 recipients, 0 messages, without TLS\n"
        );
        assert!(err.starts_with("smtp-filter: 7 frames ("), "{err}");
        assert!(err.contains("\nsmtp-filter: 1 connection, mode monitor, nothing is touched\n"), "{err}");
        assert!(err.lines().any(|line| line.split_whitespace().eq(["commands.ehlo", "log", "1", "21"])), "{err}");

        let (code, out, err) = replay(&["--profile", "drop-esmtp", file.name()], b"");
        assert_eq!(code, 0);
        assert!(out.contains(" command drop by commands.ehlo excerpt 45484c4f"), "{out}");
        assert!(err.contains("mode enforce, 2 frames would have been stopped, 0 connections reset\n"), "{err}");
    }

    #[test]
    fn json_is_event_lines_and_at_last_what_was_counted() {
        let (code, out, err) = replay(&["-", "--json"], &good());
        assert_eq!((code, err.as_str()), (0, ""));
        let lines: Vec<String> = out.lines().map(str::to_owned).collect();
        let events = schema::check_events(&lines).unwrap();
        let [connect, event, close, counted] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((&connect["kind"], &close["kind"]), (&"connect".into(), &"close".into()));
        assert_eq!((&connect["connection"], &close["connection"]), (&event["connection"], &event["connection"]));
        assert_eq!((&connect["ts"], &connect["verb"]), (&"2023-11-14T22:13:20.126456000Z".into(), &Value::Null));
        let summary = serde_json::json!({
            "duration_ms": 4, "bytes_client": 21, "bytes_server": 18, "commands": 1, "recipients": 0, "messages": 0,
            "tls": false, "ended": "fin",
        });
        assert_eq!(close["summary"], summary);
        let expected = serde_json::json!({
            "v": 1, "ts": "2023-11-14T22:13:20.128456000Z", "iface": "capture", "kind": "command",
            "client": "192.0.2.10:41234", "server": "198.51.100.25:25", "direction": "client", "verb": "EHLO",
            "arg": "client.example", "action": "log", "reason": "commands.ehlo", "scope": null, "enforced": true,
            "was": null, "became": null, "connection": "0000000000000001", "client_ip": "192.0.2.10",
            "client_port": 41234, "server_ip": "198.51.100.25", "server_port": 25,
        });
        assert_eq!(*event, expected);
        // The same as is said without --json.
        let mut counted = counted.clone();
        let rows = counted.as_object_mut().unwrap().remove("reasons").unwrap();
        let rows: Vec<Vec<String>> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                ["reason", "action", "segments", "bytes"].map(|key| row[key].to_string().replace('"', "")).to_vec()
            })
            .collect();
        let (_, _, said) = replay(&["-"], &good());
        let table: Vec<Vec<&str>> = said.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows, table, "{said}");
        let expected = serde_json::json!({
            "v": 1, "kind": "stats", "ts": "2023-11-14T22:13:20.130456000Z", "since": "2023-11-14T22:13:20.124456000Z",
            "mode": "monitor", "frames": 7, "bytes": 433, "connections": 1, "stopped": 0, "reset": 0,
        });
        assert_eq!(counted, expected, "{said}");
        let (code, out, err) = replay(&["-", "--json", "--port", "26"], &good());
        assert_eq!((code, out.lines().count(), err.as_str()), (0, 1, ""), "no event: {out}");
        let dropped: Value = {
            let (_, out, _) = replay(&["-", "--json", "--profile", "drop-esmtp"], &good());
            serde_json::from_str(out.lines().last().unwrap()).unwrap()
        };
        assert_eq!((&dropped["mode"], &dropped["stopped"]), (&"enforce".into(), &2.into()));
    }

    #[test]
    fn wrong_usage_is_2_and_says_why() {
        for (words, expected) in [
            (
                ["-", "--policy", "-"],
                "smtp-filter: replay: capture and policy cannot both come from the standard input\n",
            ),
            (
                ["-", "--port", "465"],
                "smtp-filter: replay: `ports=465`: ports: 465 is TLS from the first byte and has no commands to read; \
                 expected ports of plain SMTP such as 25 or 587\n",
            ),
        ] {
            assert_eq!(replay(&words, b""), (2, String::new(), expected.to_owned()));
        }
        for words in [[].as_slice(), &["x", "--write"], &["x", "y"]] {
            assert_eq!(replay(words, b"").0, 2, "{words:?}");
        }
    }

    #[test]
    fn whoever_hears_no_more_is_no_error() {
        let file = File::new("unheard.pcap", &good());
        let mut child = Command::new(env!("CARGO_BIN_EXE_smtp-filter"))
            .args(["replay", "--json", file.name()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }

    /// One line that names the file, and code 1.
    fn refused(name: &str, bytes: &[u8], expected: &str) {
        let file = File::new(name, bytes);
        let (code, _, err) = replay(&[file.name(), "--json"], b"");
        assert_eq!(err, format!("smtp-filter: replay {}: {expected}\n", file.name()));
        assert_eq!(code, 1, "{name}");
    }

    #[test]
    fn files_that_are_none_are_refused_in_one_line() {
        let empty = "the file is empty; expected a capture in the format pcap or pcapng";
        let no_capture = |begin: &str| format!("the file begins with {begin}: no capture in the format pcap or pcapng");
        let compressed =
            |tool: &str| format!("the file is compressed: unpack it with `{tool} FILE | smtp-filter replay -`");
        refused("empty", b"", empty);
        refused("short", b"\xd4", &no_capture("d4"));
        refused("text", b"EHLO x\r\n", &no_capture("45 48 4c 4f"));
        refused("zeros", &[0; 100], &no_capture("00 00 00 00"));
        refused("gzip", b"\x1f\x8b\x08\x00", &compressed("zcat"));
        refused("zstd", b"\x28\xb5\x2f\xfd\x00", &compressed("zstdcat"));
        refused("xz", b"\xfd7zXZ\x00", &compressed("xzcat"));
        for length in 4..24 {
            refused("header", &good()[..length], "the file ends within its header");
        }
        let ng = Ng::new(Endian::Big).bytes;
        for length in 4..ng.len() {
            refused("section", &ng[..length], "the file's first block is damaged, or the file ends within it");
        }
        let foreign = "is not read; expected Ethernet, raw IP, null or loopback, or Linux cooked";
        for link in [9_u32, 105, 127, 147, 189] {
            let mut bytes = good();
            bytes[20..24].copy_from_slice(&link.to_le_bytes());
            refused("foreign", &bytes, &format!("its link type {link} {foreign}"));
        }
        let folder = env::temp_dir();
        for (name, expected) in
            [(folder.to_str().unwrap(), "is a directory"), ("/no/such.pcap", "No such file or directory (os error 2)")]
        {
            let error = format!("smtp-filter: replay {name}: {expected}\n");
            assert_eq!(replay(&[name], b""), (1, String::new(), error));
        }
    }

    #[test]
    fn a_file_that_was_cut_off_reports_what_it_has() {
        let whole = good();
        let ends = [24, 24 + 16 + 14 + 48, whole.len()];
        for length in (24..whole.len()).step_by(5) {
            let file = File::new("cut", &whole[..length]);
            let (code, out, err) = replay(&[file.name()], b"");
            if code == 0 {
                // Behind a frame.
                continue;
            }
            assert!(err.contains(" ends in the middle of a record after frame "), "{length}: {err}");
            assert!(err.lines().all(|line| !line.is_empty()), "{err}");
            let commands = out.lines().filter(|line| line.contains(" command ")).count();
            assert_eq!(commands, usize::from(length > whole.len() - 2 * 70), "{length}");
        }
        assert_eq!(replay(&["-"], &whole[..ends[0]]).0, 0, "a capture of nothing");
        assert_eq!(replay(&["-"], &whole[..ends[1] - 1]).0, 1);
        assert_eq!(replay(&["-"], &whole[..ends[2]]).0, 0);
    }

    #[test]
    fn lengths_that_lie_are_damage() {
        let mut bytes = good();
        bytes[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes.resize(40 << 20, 0);
        refused("huge", &bytes, "the file is damaged after frame 0: what follows is said to be longer than 16 MiB");
        let mut file = Ng::new(Endian::Little);
        file.block(6, &[0; 32]);
        refused(
            "no interface",
            &file.bytes,
            "the file is damaged after frame 0: what follows is of an interface that it has not",
        );
        let mut file = Ng::new(Endian::Little);
        file.bytes.extend([6, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        file.bytes.extend([0; 40]);
        refused("short block", &file.bytes, "the file is damaged after frame 0");
    }

    #[test]
    fn frames_of_foreign_link_types_are_counted_and_said() {
        let frames = dialogue(&mut Recording::new(41_234), &[(true, b"EHLO x\r\n")]);
        let ng = |both: bool| {
            let mut file = Ng::new(Endian::Little);
            file.interface(LinkType::Ethernet, &[]);
            // Wi-Fi.
            file.block(1, &[105, 0, 0, 0, 0, 0, 0, 0]);
            for frame in &frames {
                file.frame(1, LinkType::Raw, 0, frame, &[]);
                if both {
                    file.frame(0, LinkType::Ethernet, 0, frame, &[]);
                }
            }
            file.bytes
        };
        let (code, out, err) = replay(&["-", "--json"], &ng(true));
        assert_eq!(
            (code, out.lines().count(), err.as_str()),
            (0, 4, "smtp-filter: 6 frames of link types that are not read\n")
        );
        let (code, _, err) = replay(&["-", "--json"], &ng(false));
        assert_eq!(code, 1);
        assert!(
            err.ends_with("smtp-filter: replay -: all of its frames are of link types that are not read\n"),
            "{err}"
        );
    }

    /// Files with bytes changed here and there end in some way, and without a panic.
    #[test]
    fn damaged_files_harm_nobody() {
        let frames = dialogue(&mut Recording::new(41_234), &[(false, b"220 x\r\n"), (true, b"EHLO x\r\nNOOP\r\n")]);
        let mut ng = Ng::new(Endian::Little);
        ng.interface(LinkType::Cooked, &[(2, b"eth0"), (9, &[9]), (14, &[1; 8])]);
        for frame in &frames {
            ng.frame(0, LinkType::Cooked, frame.time, frame, &[(2, &[1, 0, 0, 0])]);
        }
        let document = policy(STRICT);
        for whole in [Pcap::of(&frames), ng.bytes] {
            for at in 0..whole.len() {
                for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[at] = value;
                    let length = Some(bytes.len() as u64);
                    let mut told = Told::new(&document);
                    // Good or bad: it comes to an end.
                    let _ = capture::read(Source::new(std::io::Cursor::new(bytes), length), &mut told);
                    assert!(told.frames.len() <= frames.len() + 2);
                }
            }
        }
    }
}

/// What each profile does to a dialogue of today.
mod profiles {
    use smtp_filter::policy::Profile;

    use super::*;

    const SAYS: [(bool, &[u8]); 22] = [
        (false, b"220 mail.example ESMTP Software 1.0\r\n"),
        (true, b"EHLO client.example\r\n"),
        (
            false,
            b"250-mail.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-VRFY\r\n250-ETRN\r\n250-STARTTLS\r\n\
              250-AUTH PLAIN\r\n250-AUTH=PLAIN\r\n250-ENHANCEDSTATUSCODES\r\n250-X-NEW 1\r\n250-CHUNKING\r\n\
              250 SMTPUTF8\r\n",
        ),
        (true, b"VRFY postmaster\r\n"),
        (false, b"252 Perhaps\r\n"),
        (true, b"ETRN example\r\n"),
        (false, b"250 OK\r\n"),
        (true, b"X-NEW\r\n"),
        (false, b"250 OK\r\n"),
        (true, b"XCLIENT ADDR=192.0.2.7\r\n"),
        (false, b"220 OK\r\n"),
        (true, b"STARTTLS\r\n"),
        (false, b"454 Not now\r\n"),
        (true, b"MAIL FROM:<a@a.example>\r\n"),
        (false, b"250 OK\r\n"),
        (true, b"RCPT TO:<b@b.example>\r\n"),
        (false, b"250 OK\r\n"),
        (true, b"DATA\r\n"),
        (false, b"354 Go\r\n"),
        (true, b"Subject: x\r\n\r\nEHLO and VRFY\r\n.\r\n"),
        (false, b"250 OK\r\n"),
        (true, b"QUIT\r\n"),
    ];

    /// What is not let through, as `reason action number`.
    fn stopped(profile: Profile) -> Vec<String> {
        let mut told = Told::new(&profile.document());
        let bytes = Pcap::of(&dialogue(&mut Recording::new(41_234), &SAYS));
        capture::read(Source::new(std::io::Cursor::new(bytes), None), &mut told).unwrap();
        let names = told.replay.names();
        let rows = told.replay.counters().unwrap();
        let stopped = rows.iter().filter(|row| row.action.name() == "mask" || row.action.name() == "downgrade");
        let mut lines: Vec<String> = stopped
            .map(|row| format!("{} {} {}", names.reason(row.reason), row.action.name(), row.counter.segments))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_only_looks_on_rewrites_nothing() {
        for profile in [Profile::Monitor, Profile::MarkEsmtp] {
            assert_eq!(stopped(profile), [""; 0]);
        }
    }

    #[test]
    fn helo_only_has_plain_smtp_spoken() {
        let expected = [
            "commands.ehlo downgrade 1",
            "commands.etrn mask 1",
            "commands.starttls mask 1",
            "commands.xclient mask 1",
            // The capture's server answers EHLO, which the client reads for the reply to what it sent.
            "extensions.other mask 11",
        ];
        assert_eq!(stopped(Profile::HeloOnly), expected);
    }

    #[test]
    fn pix_mailguard_lets_seven_commands_through() {
        let expected = [
            "banner.show mask 1",
            "commands.ehlo mask 1",
            "commands.etrn mask 1",
            "commands.other mask 1",
            "commands.starttls mask 1",
            "commands.vrfy mask 1",
            "commands.xclient mask 1",
        ];
        assert_eq!(stopped(Profile::PixMailguard), expected);
    }

    #[test]
    fn asa_esmtp_offers_what_it_knows() {
        let expected = [
            "banner.show mask 1",
            "commands.other mask 1",
            "commands.xclient mask 1",
            // ENHANCEDSTATUSCODES, X-NEW, CHUNKING, SMTPUTF8.
            "extensions.other mask 4",
            // The keyword, and the verb that it announces.
            "extensions.starttls mask 2",
        ];
        assert_eq!(stopped(Profile::AsaEsmtp), expected);
    }

    #[test]
    fn hardened_keeps_starttls_and_hides_the_rest() {
        let expected = [
            "banner.show mask 1",
            "commands.etrn mask 1",
            "commands.other mask 1",
            "commands.vrfy mask 1",
            "commands.xclient mask 1",
            // AUTH=PLAIN is AUTH.
            "extensions.auth mask 2",
            "extensions.chunking mask 1",
            "extensions.etrn mask 1",
            // ENHANCEDSTATUSCODES, X-NEW.
            "extensions.other mask 2",
            "extensions.vrfy mask 1",
        ];
        assert_eq!(stopped(Profile::Hardened), expected);
    }
}
