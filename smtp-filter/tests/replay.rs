//! Captures through the filter in user space: real dialogues against what is known of them, dialogues made here in every
//! format and link type, and files that are none.

mod captures;

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use captures::{Endian, Frame, LinkType, Ng, Pcap, Talk, dialogue, reassembled};
use serde_json::Value;
use smtp_filter::{
    events::view::EventView,
    policy::{Document, parse},
    replay::{
        Replay, Source,
        capture::{self, Packet, Sink},
    },
};
use smtp_filter_common::{
    entry::{Connection, TLS},
    flow::Key,
    reason::{FIRST_NAME, Reason},
    verdict::Verdict,
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
        self.replay.counters().iter().map(|row| (names.reason(row.reason), row.counter.segments)).collect()
    }

    fn segments(&self, reason: Reason) -> u64 {
        self.replay.world().counted(reason.number()).segments
    }

    fn connection(&self, port: u16) -> &Connection {
        let of_port = |key: &Key| u16::from_be_bytes(key.client_port) == port;
        self.replay.world().connections().find(|(key, _)| of_port(key)).unwrap_or_else(|| panic!("port {port} is live")).1
    }
}

impl Sink for Told {
    fn frame(&mut self, packet: &Packet<'_>) -> anyhow::Result<()> {
        let verdict = self.replay.frame(packet);
        self.verdicts.push(verdict);
        self.frames.push(packet.bytes.to_vec());
        self.events.extend(self.replay.events());
        Ok(())
    }

    fn waits(&mut self, _read: u64) -> anyhow::Result<()> {
        Ok(())
    }
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

    fn of_file<T: Copy>(table: &[(&str, T)], file: &str) -> Option<T> {
        table.iter().find(|(name, _)| *name == file).map(|(_, value)| *value)
    }

    /// Folder and expectations; `None` says why there are none.
    fn captures() -> Option<(PathBuf, Vec<Value>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps");
        let text = match fs::read(folder.join("expected.json")) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("skipped: no captures in {}: {error}", folder.display());
                return None;
            }
        };
        let files: Vec<Value> = serde_json::from_slice(&text).unwrap();
        assert!(!files.is_empty());
        Some((folder, files))
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

    #[test]
    fn the_filter_reads_what_is_in_them() {
        let Some((folder, files)) = captures() else { return };
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
                assert_eq!(told.segments(Reason::Repeat), repeats - bare, "{name}: repeats");
                for reason in [Reason::Early, Reason::BeyondWindow, Reason::Gap, Reason::Unfetched, Reason::Backlog] {
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
        assert_eq!((session.runs, session.hold), (0, 0), "{name}: every command has its reply");
        if !tls {
            assert_eq!(u64::from(session.messages), messages(connection), "{name}: mails");
            let chunking = words(&connection["caps"]).contains(&"CHUNKING");
            assert_eq!(session.chunking != 0, chunking, "{name}: CHUNKING");
        }
    }

    /// What was said in them, cut into other segments, every segment twice.
    #[test]
    fn the_same_dialogues_in_other_segments_are_the_same() {
        let Some((folder, files)) = captures() else { return };
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
}

/// Flights in segments of a size; every second one is acknowledged at once, as receivers do (RFC 9293 section 3.8.6.3):
/// of what is not, only so much is remembered.
fn recut(port: u16, flights: &[(bool, Vec<u8>)], size: usize, twice: bool) -> Vec<u8> {
    let mut talk = Talk::new(port);
    let mut frames = talk.handshake();
    for (from_client, bytes) in flights {
        for (number, piece) in bytes.chunks(size).enumerate() {
            let offset = talk.said[usize::from(!from_client)];
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
