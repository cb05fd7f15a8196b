//! `smtp-filter replay --write`: what would have come out of the filter.
//!
//! Invariants: I5.

use std::{
    env, fs,
    io::{Cursor, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio, id},
};

use etherparse::{LaxPacketHeaders, NetHeaders, TransportHeader};
use smtp_filter::replay::{
    Link, Source,
    capture::{self, Packet, Sink},
};
use smtp_filter_testkit::captures::{Endian, Frame, LinkType, Ng, Pcap, Recording, dialogue};

/// Says EHLO, is refused, and says HELO.
const SAYS: [(bool, &[u8]); 7] = [
    (false, b"220 mail.example ESMTP\r\n"),
    (true, b"EHLO client.example\r\n"),
    (false, b"502 no\r\n"),
    (true, b"HELO client.example\r\n"),
    (false, b"250 mail.example\r\n"),
    (true, b"QUIT\r\n"),
    (false, b"221 Bye\r\n"),
];
/// The place of EHLO among the frames: three are the handshake's.
const EHLO: usize = 4;

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("smtp-filter-write-{}-{name}", id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn replay(words: &[&str], input: &[u8]) -> (i32, Vec<u8>, String) {
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
    (status.code().expect("it ends by itself"), stdout, String::from_utf8(stderr).unwrap())
}

/// What a capture holds: link type, time, bytes, and how many of them there were.
#[derive(Default)]
struct Read(Vec<(u32, u64, Vec<u8>, u32)>);

impl Sink for Read {
    fn frame(&mut self, packet: &Packet<'_>) -> anyhow::Result<()> {
        self.0.push((packet.interface.link, packet.time, packet.bytes.to_vec(), packet.length));
        Ok(())
    }

    fn waits(&mut self, _read: u64) -> anyhow::Result<()> {
        Ok(())
    }
}

fn read(bytes: Vec<u8>) -> Vec<(u32, u64, Vec<u8>, u32)> {
    let mut read = Read::default();
    let length = Some(bytes.len() as u64);
    capture::read(Source::new(Cursor::new(bytes), length), &mut read).unwrap();
    read.0
}

/// What comes out of a capture under a policy.
fn written(policy: &str, capture: &[u8]) -> Vec<(u32, u64, Vec<u8>, u32)> {
    let folder = Folder::new(&format!("{:?}", std::thread::current().id()));
    let (policy, out) = (folder.file("policy.toml", policy.as_bytes()), folder.0.join("out.pcap"));
    let words = ["-", "--policy", policy.to_str().unwrap(), "--write", out.to_str().unwrap()];
    let (code, _, err) = replay(&words, capture);
    assert_eq!(code, 0, "{err}");
    assert_eq!(folder.names(), ["out.pcap", "policy.toml"]);
    let bytes = fs::read(out).unwrap();
    assert_eq!(bytes[..4], 0xa1b2_3c4d_u32.to_le_bytes(), "nanoseconds");
    read(bytes)
}

const DROPS: &str = "mode = \"enforce\"\n[commands]\nEHLO = \"drop\"\n";
const RESETS: &str = "mode = \"enforce\"\n[commands]\nEHLO = \"reset\"\n";

fn frames(v6: bool, tags: &[u16]) -> Vec<Frame> {
    let mut talk = Recording::new(41_234);
    talk.over_ipv6(v6);
    let mut frames = dialogue(&mut talk, &SAYS);
    for frame in &mut frames {
        frame.tags = tags.to_vec();
    }
    frames
}

fn pcap(link: LinkType, nanoseconds: bool, frames: &[Frame]) -> Vec<u8> {
    let mut file = Pcap::new(link, Endian::Big, nanoseconds);
    frames.iter().for_each(|frame| file.frame(frame, usize::MAX));
    file.bytes
}

#[test]
fn what_passes_is_written_as_it_was_and_what_is_dropped_is_left_out() {
    // What stands behind the gap that the drop leaves would be dropped too: the capture ends here.
    for link in LinkType::ALL {
        for nanoseconds in [false, true] {
            let capture = pcap(link, nanoseconds, &frames(false, &[])[..=EHLO]);
            let whole = read(capture.clone());
            assert_eq!(written("mode = \"enforce\"\n", &capture), whole, "{link:?}");
            assert_eq!(written(DROPS, &capture), whole[..EHLO], "{link:?}");
        }
    }
    let mut ng = Ng::new(Endian::Little);
    ng.interface(LinkType::Cooked2, &[(9, &[9])]);
    for frame in &frames(false, &[])[..=EHLO] {
        ng.frame(0, LinkType::Cooked2, frame.time, frame, &[]);
    }
    let whole = read(ng.bytes.clone());
    assert_eq!(whole[0].1 % 1000, 789, "nanoseconds");
    assert_eq!(written(DROPS, &ng.bytes), whole[..EHLO]);
}

#[test]
fn what_is_not_judged_is_written_as_it_was() {
    let mut file = Pcap::new(LinkType::Ethernet, Endian::Little, true);
    let frames = frames(false, &[]);
    frames.iter().for_each(|frame| file.frame(frame, 68));
    let whole = read(file.bytes.clone());
    assert!(whole.iter().any(|(.., bytes, length)| bytes.len() < *length as usize));
    // Cut in the payload: told by the lengths, and not judged.
    assert_eq!(written("mode = \"monitor\"\n", &file.bytes), whole);
    // For other ports.
    assert_eq!(written("mode = \"enforce\"\nports = [26]\n[guards]\nfragment = \"drop\"\n", &file.bytes), whole);
}

/// TCP facts of a frame with right checksums: ports, numbers, RST, bytes of payload.
fn tcp(link: u32, frame: &[u8]) -> (u16, u16, u32, u32, bool, usize) {
    let headers = if link == LinkType::Ethernet as u32 {
        LaxPacketHeaders::from_ethernet(frame).unwrap()
    } else {
        LaxPacketHeaders::from_ip(Link::of(link).unwrap().find(frame).frame.network()).unwrap()
    };
    let Some(TransportHeader::Tcp(tcp)) = headers.transport else { panic!("no TCP") };
    let payload = headers.payload.slice();
    let checksum = match headers.net.unwrap() {
        NetHeaders::Ipv4(ip, _) => {
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            tcp.calc_checksum_ipv4(&ip, payload).unwrap()
        }
        NetHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(&ip, payload).unwrap(),
        NetHeaders::Arp(_) => panic!("no IP"),
    };
    assert_eq!(tcp.checksum, checksum);
    let numbers = (tcp.sequence_number, tcp.acknowledgment_number);
    (tcp.source_port, tcp.destination_port, numbers.0, numbers.1, tcp.rst, payload.len())
}

#[test]
fn a_reset_is_written_as_two_rsts_and_what_follows_is_answered_by_one_each() {
    let shapes: [(bool, &[u16]); 4] = [(false, &[]), (true, &[]), (false, &[0x8100]), (true, &[0x88a8, 0x8100])];
    for (v6, tags) in shapes {
        for link in LinkType::ALL {
            if link != LinkType::Ethernet && !tags.is_empty() || link == LinkType::Ipv4 && v6 {
                continue;
            }
            let mut frames = frames(v6, tags);
            // At most one RST each 10 ms: this follows later.
            frames.iter_mut().skip(EHLO + 1).for_each(|frame| frame.time += 20_000_000);
            let capture = pcap(link, true, &frames[..EHLO + 2]);
            let whole = read(capture.clone());
            let out = written(RESETS, &capture);
            let what = format!("{link:?} {v6} {tags:?}");
            assert_eq!(out[..EHLO], whole[..EHLO], "{what}");
            assert_eq!(out.len(), EHLO + 3, "{what}");
            let [ehlo, reply] = [EHLO, EHLO + 1].map(|at| tcp(whole[at].0, &whole[at].2));
            let [back, on, answer] = [0, 1, 2].map(|at| &out[EHLO + at]);
            for rst in [back, on] {
                assert_eq!((rst.0, rst.1, rst.2.len()), (whole[EHLO].0, whole[EHLO].1, rst.3 as usize), "{what}");
            }
            let behind = ehlo.2.wrapping_add(ehlo.5 as u32);
            assert_eq!(tcp(back.0, &back.2), (ehlo.1, ehlo.0, ehlo.3, behind, true, 0), "{what}: to the sender");
            assert_eq!(tcp(on.0, &on.2), (ehlo.0, ehlo.1, ehlo.2, ehlo.3, true, 0), "{what}: to the receiver");
            let behind = reply.2.wrapping_add(reply.5 as u32);
            assert_eq!(tcp(answer.0, &answer.2), (reply.1, reply.0, reply.3, behind, true, 0), "{what}: later");
            // The link layer's header, tags included, and which way it went.
            let turned = Link::of(whole[EHLO].0).unwrap().turned(&whole[EHLO].2[..12.min(back.2.len())]);
            if link == LinkType::Ethernet {
                assert_eq!(back.2[..12], turned[..12], "{what}");
                assert_eq!(back.2[12..14 + 4 * tags.len()], whole[EHLO].2[12..14 + 4 * tags.len()], "{what}");
            }
            if link == LinkType::Cooked {
                assert_eq!([whole[EHLO].2[1], back.2[1], on.2[1]], [0, 4, 0], "{what}");
            }
        }
    }
}

#[test]
fn mode_monitor_lets_everything_out() {
    let capture = pcap(LinkType::Ethernet, true, &frames(false, &[]));
    let policy = RESETS.replace("enforce", "monitor");
    assert_eq!(written(&policy, &capture), read(capture.clone()));
}

#[test]
fn a_capture_of_nothing_comes_out_as_one() {
    let out = written(DROPS, &pcap(LinkType::Ethernet, true, &[]));
    assert!(out.is_empty());
}

#[test]
fn the_standard_output_takes_the_capture_or_the_events() {
    let capture = pcap(LinkType::Ethernet, true, &frames(false, &[]));
    let (code, out, err) = replay(&["-", "--write", "-"], &capture);
    assert_eq!(code, 0);
    assert_eq!(read(out), read(capture.clone()));
    assert!(err.starts_with("smtp-filter: 12 frames ("), "{err}");
    let (code, out, err) = replay(&["-", "--write", "-", "--json"], &capture);
    assert_eq!((code, out.as_slice()), (2, b"".as_slice()));
    assert_eq!(err, "smtp-filter: replay: events and what is written cannot both go to the standard output\n");
}

/// Code 1, this line, and the folder as before.
fn refused(folder: &Folder, words: &[&Path], input: &[u8], expected: &str) {
    let before = folder.names();
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
    let (code, _, err) = replay(&[words[0], "--json", "--write", words[1]], input);
    assert_eq!(err, format!("smtp-filter: replay {}: {expected}\n", words[0]));
    assert_eq!(code, 1);
    assert_eq!(folder.names(), before);
}

#[test]
fn what_is_read_is_never_written_over() {
    let folder = Folder::new("over");
    let capture = pcap(LinkType::Ethernet, true, &frames(false, &[]));
    let input = folder.file("in.pcap", &capture);
    let (soft, hard) = (folder.0.join("soft.pcap"), folder.0.join("hard.pcap"));
    symlink(&input, &soft).unwrap();
    fs::hard_link(&input, &hard).unwrap();
    for out in [&input, &soft, &hard] {
        let expected = format!("write {}: that is the capture that is read: give another name", out.display());
        refused(&folder, &[&input, out], b"", &expected);
    }
    // By the standard input.
    let from = fs::File::open(&input).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtp-filter"));
    let run = command.args(["replay", "-", "--write"]).arg(&hard).stdin(from).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(fs::read(&input).unwrap(), capture);
}

#[test]
fn where_it_fails_there_is_nothing_new() {
    let folder = Folder::new("fails");
    let capture = pcap(LinkType::Ethernet, true, &frames(false, &[]));
    let cut = folder.file("cut.pcap", &capture[..capture.len() - 1]);
    let there = folder.file("there.pcap", b"as before");
    let at = "the file ends in the middle of a record after frame 11: it was cut off, or is damaged";
    refused(&folder, &[&cut, &there], b"", at);
    assert_eq!(fs::read(&there).unwrap(), b"as before");
    refused(&folder, &[&cut, &folder.0.join("new.pcap")], b"", at);
    let no_file = "it is there, and no file: give another name, or `-` for the standard output";
    for name in [folder.0.as_path(), Path::new("/dev/null")] {
        refused(&folder, &[Path::new("-"), name], &capture, &format!("write {}: {no_file}", name.display()));
    }
    let nowhere = Path::new("/no/such/out.pcap");
    let expected = "write /no/such/out.pcap: No such file or directory (os error 2)";
    refused(&folder, &[Path::new("-"), nowhere], &capture, expected);
    // A link to a file stays one.
    let link = folder.0.join("link.pcap");
    symlink(&there, &link).unwrap();
    let (code, ..) = replay(&["-", "--write", link.to_str().unwrap()], &capture);
    assert_eq!(code, 0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read(fs::read(&there).unwrap()), read(capture));
}

#[test]
fn two_link_types_are_refused() {
    let folder = Folder::new("two");
    let frames = frames(false, &[]);
    let mut ng = Ng::new(Endian::Little);
    ng.interface(LinkType::Ethernet, &[]);
    ng.interface(LinkType::Raw, &[]);
    ng.frame(0, LinkType::Ethernet, 0, &frames[0], &[]);
    ng.frame(1, LinkType::Raw, 0, &frames[1], &[]);
    let out = folder.0.join("out.pcap");
    let expected = format!(
        "write {}: frame 2 has the link type 101 and the first one 1, and a pcap file has one for all: replay each \
         interface of the capture by itself",
        out.display()
    );
    refused(&folder, &[Path::new("-"), &out], &ng.bytes, &expected);
}
