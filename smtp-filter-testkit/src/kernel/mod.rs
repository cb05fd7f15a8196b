//! The real programs, loaded into the kernel and run on packets by BPF_PROG_TEST_RUN, attached to nothing.
//!
//! Each lives in a network namespace of its own, for the RSTs that a run sends are really sent.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::fd::OwnedFd,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{TestRunOptions, programs::TestRun as _};
use etherparse::{NetHeaders, PacketHeaders, TransportHeader};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with},
    thread::UnshareFlags,
};
use smtp_filter::{
    clock::{WallClock, since_boot},
    events::{
        reader::EventReader,
        view::{EventView, Lookup},
    },
    live::Live,
    loader::{Filter, LoadOptions},
    netns::interface_index,
    policy::{Compiled, Document, Names, compile, set},
};
use smtp_filter_common::{
    event::{Event, Kind, Summary},
    met::Met,
    reason::REASONS,
    scope::Policies as _,
    userspace::{SliceFrame, World},
    verdict::Verdict,
};

use crate::dialogue::{Hook, Outcome, Step};

/// Passes, and lets later programs look (`TCX_NEXT`).
const NEXT: u32 = u32::MAX;
/// `TCX_DROP`.
const DROP: u32 = 2;
/// Size of `struct __sk_buff`.
const CONTEXT: usize = 192;
/// Where the mark stands in it.
const MARK: usize = 8;
/// The mark that packets come with.
const MARK_BEFORE: u32 = 0x00ab_cdef;
/// Offset of the interface's index in it.
const IFINDEX: usize = 40;
/// How long a RST may be under way within the machine.
const SOON: Duration = Duration::from_secs(5);
/// `ETH_P_ALL`, in network byte order.
const EVERYTHING: u32 = 0x0300;

/// The loaded programs.
pub struct Kernel {
    filter: Filter,
    document: Document,
    names: Names,
    generation: u32,
    up_at: u64,
    reader: EventReader,
    /// Indexes of the interfaces towards the client and towards the server.
    interfaces: [u32; 2],
    tap: OwnedFd,
    policy: Compiled,
    /// The same datapath in user space, which judges every packet too.
    world: World,
    /// The last frame that passed in the kernel, as it came out.
    out: Vec<u8>,
    /// Events that have not been compared with those in user space.
    reported: Vec<Event>,
    /// Connections in the order in which events named them, in the kernel and in user space.
    connections: [HashMap<u64, u64>; 2],
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// Does something in a fresh network namespace, on a thread of its own: it goes away with the thread.
pub fn in_private_namespace<R: Send>(work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    let body = move || {
        // SAFETY: only the network namespace is left, and only by this thread; file descriptors stay shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.context("make a network namespace")?;
        work()
    };
    thread::scope(|scope| scope.spawn(body).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

impl Kernel {
    /// Loads the programs under a policy, as if the filter were put on now.
    pub fn load(document: &Document) -> Result<Self> {
        Self::load_for(document, 64)
    }

    /// The same with room for so many connections.
    pub fn load_for(document: &Document, connections: u32) -> Result<Self> {
        fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").context("silence the interfaces")?;
        for words in ["link add inside type veth peer name outside", "link set inside up", "link set outside up"] {
            let status = Command::new("ip").args(words.split(' ')).status().context("run `ip`")?;
            ensure!(status.success(), "`ip {words}` failed");
        }
        let mut filter = Filter::load(&LoadOptions { connections, ..LoadOptions::default() })?;
        let up_at = since_boot();
        let mut names = Names::default();
        let policy = compile(document, &mut names, 1, up_at)?;
        filter.set_policy(&policy)?;
        let reader = filter.reader()?;
        let interfaces = [interface_index("inside")?, interface_index("outside")?];
        let protocol = Protocol::from_raw(rustix::net::RawProtocol::new(EVERYTHING).context("a protocol")?);
        let tap = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::NONBLOCK, Some(protocol))
            .context("open a packet socket")?;
        let document = document.clone();
        let (world, reported, connections) = (World::new(), Vec::new(), Default::default());
        Ok(Self {
            filter,
            document,
            names,
            generation: 1,
            up_at,
            reader,
            interfaces,
            tap,
            policy,
            world,
            out: Vec::new(),
            reported,
            connections,
        })
    }

    /// Runs a packet through the program at a hook, and through the datapath in user space: they must agree. A RST to
    /// the receiver has to stand at `next`, where that is known.
    pub fn run(&mut self, hook: Hook, frame: &[u8], next: Option<u32>) -> Result<Outcome> {
        let outcome = self.run_in_kernel(hook, frame, next)?;
        let expected = self.run_in_user_space(hook, frame)?;
        ensure!(outcome == expected, "{outcome:?} in the kernel, {expected:?} in user space");
        if matches!(outcome, Outcome::Pass | Outcome::Marked(_)) {
            // Rewritten or not, the same bytes, checksum included.
            let (link, network) = frame.split_at(frame.len().min(ETHERNET));
            let expected = [link, self.world.rewritten().unwrap_or(network)].concat();
            ensure!(self.out == expected, "the kernel made {:02x?} of it, user space {expected:02x?}", self.out);
        }
        Ok(outcome)
    }

    /// Runs a packet through the datapath in user space alone.
    pub fn run_in_user_space(&mut self, hook: Hook, frame: &[u8]) -> Result<Outcome> {
        let met = Met { now: since_boot(), ifindex: self.interfaces[usize::from(hook.second)], egress: hook.egress };
        let verdict = self.world.frame(&self.policy, SliceFrame::ethernet(frame).with_checksums(), met);
        let policy = self.policy.of_scope(self.world.last().scope.into()).context("a policy of the scope")?;
        let mark = MARK_BEFORE & !policy.mark_mask | policy.mark_value & policy.mark_mask;
        Ok(match verdict {
            Verdict::Pass if self.world.marked => Outcome::Marked(mark),
            Verdict::Pass => Outcome::Pass,
            Verdict::Drop => Outcome::Drop,
            Verdict::Reset => Outcome::Reset,
            Verdict::ResetSender => Outcome::ResetSender,
        })
    }

    /// Runs a packet through the program at a hook alone.
    pub fn run_in_kernel(&mut self, hook: Hook, frame: &[u8], next: Option<u32>) -> Result<Outcome> {
        while self.tapped()?.is_some() {}
        let mut context_in = [0; CONTEXT];
        context_in[IFINDEX..IFINDEX + 4].copy_from_slice(&self.interfaces[usize::from(hook.second)].to_ne_bytes());
        context_in[MARK..MARK + 4].copy_from_slice(&MARK_BEFORE.to_ne_bytes());
        let mut context_out = [0; CONTEXT];
        let mut out = vec![0; 4096];
        let program = if hook.egress { self.filter.egress()? } else { self.filter.ingress()? };
        let result = program.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context_in),
            ctx_out: Some(&mut context_out),
            ..TestRunOptions::default()
        })?;
        out.truncate(result.data_size_out as usize);
        let mark = u32::from_ne_bytes(context_out[MARK..MARK + 4].try_into()?);
        match result.return_value {
            NEXT if out.len() == frame.len() && (out == frame || !tcp(&out).is_ok_and(|out| out.rst)) => {
                self.out = out;
                ensure!(self.tapped()?.is_none(), "it passed, and something was sent all the same");
                Ok(if mark == MARK_BEFORE { Outcome::Pass } else { Outcome::Marked(mark) })
            }
            NEXT => {
                let (sent, segment) = (facts(frame)?.0, reset_of(frame, &out).context("the RST to the receiver")?);
                ensure!(segment.rst && segment.ack && segment.source == sent.source, "it was changed: {segment:?}");
                ensure!(next.is_none_or(|next| segment.sequence == next), "{segment:?}");
                ensure!(segment.acknowledgement == sent.acknowledgement && segment.payload == 0, "{segment:?}");
                self.expect_reset_of_sender(frame, &sent)?;
                Ok(Outcome::Reset)
            }
            // A copy to the sender goes out before the run returns, or, where it comes in, is on its way.
            DROP => match self.tapped()? {
                Some(frame_back) => {
                    let sent = facts(frame)?.0;
                    check_reset_of_sender(&reset_of(frame, &frame_back)?, &sent)?;
                    Ok(Outcome::ResetSender)
                }
                None => Ok(Outcome::Drop),
            },
            other => bail!("the program returned {other}"),
        }
    }

    fn expect_reset_of_sender(&self, frame: &[u8], sent: &Facts) -> Result<()> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(reset) = self.tapped()? {
                return check_reset_of_sender(&reset_of(frame, &reset)?, sent);
            }
            ensure!(Instant::now() < deadline, "the sender got no RST");
            let mut tap = [PollFd::new(&self.tap, PollFlags::IN)];
            poll(&mut tap, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).context("wait for the RST")?;
        }
    }

    /// The next frame that was sent on either interface, if there is one.
    fn tapped(&self) -> Result<Option<Vec<u8>>> {
        let mut frame = vec![0; 4096];
        match recv(&self.tap, frame.as_mut_slice(), RecvFlags::empty()) {
            Ok((length, _)) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error).context("read the packet socket"),
        }
    }

    /// Changes the policy, as `policy set` does.
    pub fn set(&mut self, settings: &[&str]) -> Result<()> {
        self.document = set(&self.document, settings).map_err(|error| anyhow::anyhow!("{settings:?}: {error}"))?;
        self.generation += 1;
        let policy = compile(&self.document, &mut self.names, self.generation, self.up_at)?;
        self.filter.set_policy(&policy)?;
        self.policy = policy;
        Ok(())
    }

    /// Follows another policy.
    pub fn adopt(&mut self, document: &Document) -> Result<()> {
        self.document = document.clone();
        self.set(&[])
    }

    /// The datapath in user space, which has judged the same.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The last frame that passed in the kernel, as it came out.
    pub fn passed(&self) -> &[u8] {
        &self.out
    }

    /// Runs all steps and compares what becomes of each packet with what is expected.
    pub fn play(&mut self, steps: &[Step]) -> Result<()> {
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Policy(settings) => self.set(settings)?,
                Step::Packet { hook, frame, expected, rewritten, next } => {
                    let at =
                        || format!("step {number}, {hook:?}: {}", String::from_utf8_lossy(payload(frame)).trim_end());
                    let outcome = self.run(*hook, frame, Some(*next)).with_context(at)?;
                    ensure!(outcome == *expected, "{}: {outcome:?} instead of {expected:?}", at());
                    if matches!(outcome, Outcome::Pass | Outcome::Marked(_)) {
                        self.came_out(frame, rewritten.as_deref()).with_context(at)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The frame that passed last is the one that went in, but for a payload that was to be rewritten.
    fn came_out(&self, frame: &[u8], rewritten: Option<&[u8]>) -> Result<()> {
        let Some(expected) = rewritten else {
            ensure!(self.out == frame, "it was changed: {}", payload(&self.out).escape_ascii());
            return Ok(());
        };
        let out = payload(&self.out);
        ensure!(out == expected, "{} came out instead of {}", out.escape_ascii(), expected.escape_ascii());
        Ok(())
    }

    /// How the counters differ from those of a plain dialogue, all that do: `commands.ehlo drop: 1, 21 bytes`. What is
    /// missing of the plain ones is below zero.
    pub fn counters_beside(&self, plain: &[(&'static str, usize)]) -> Result<Vec<String>> {
        let mut missing: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (reason, bytes) in plain {
            let (segments, sum) = missing.entry(format!("{reason} pass")).or_default();
            (*segments, *sum) = (*segments + 1, *sum + *bytes as i64);
        }
        let mut lines = Vec::new();
        let mut differs = |name: &str, segments: i64, bytes: i64| {
            if (segments, bytes) != (0, 0) {
                lines.push(format!("{name}: {segments}, {bytes} bytes"));
            }
        };
        for (name, segments, bytes) in self.rows()? {
            let (plain_segments, plain_bytes) = missing.remove(&name).unwrap_or_default();
            differs(&name, segments as i64 - plain_segments, bytes as i64 - plain_bytes);
        }
        for (name, (segments, bytes)) in missing {
            differs(&name, -segments, -bytes);
        }
        Ok(lines)
    }

    /// All counters that are not zero: `commands.ehlo drop: 1, 21 bytes`.
    pub fn counters(&self) -> Result<Vec<String>> {
        let rows = self.rows()?.into_iter();
        Ok(rows.map(|(name, segments, bytes)| format!("{name}: {segments}, {bytes} bytes")).collect())
    }

    /// The counters that are not zero: reason and action, segments, bytes.
    fn rows(&self) -> Result<Vec<(String, u64, u64)>> {
        let rows = self.filter.counters()?.into_iter().map(|row| {
            let enforced = if row.enforced || row.action <= smtp_filter_common::action::Action::Log {
                ""
            } else {
                " (not enforced)"
            };
            let (reason, action) = (self.names.reason(row.reason), row.action.name());
            (format!("{reason} {action}{enforced}"), row.counter.segments, row.counter.bytes)
        });
        Ok(rows.collect())
    }

    /// All events since the last look, each in a line: `command client EHLO [client.example]: drop by commands.ehlo`.
    /// What a connection's beginning and end tell is left out.
    pub fn events(&mut self) -> Vec<String> {
        self.all_events().iter().filter(|event| !begins_or_ends(event)).map(|event| self.words(event)).collect()
    }

    /// All events since the last look.
    pub fn all_events(&mut self) -> Vec<Event> {
        let events: Vec<_> = self.reader.by_ref().collect();
        self.reported.extend(&events);
        events
    }

    /// The next event, which has been reported already, but for what a connection's beginning and end tell.
    pub fn next_event(&mut self) -> Result<Event> {
        self.reader.find(|event| !begins_or_ends(event)).context("an event")
    }

    /// Counters and events of the datapath in user space are the same. Times and the connections' numbers are not, but
    /// the same events are of the same connection.
    pub fn agrees_with_user_space(&mut self) -> Result<()> {
        let reported: Vec<_> = self.reader.by_ref().collect();
        self.reported.extend(reported);
        let user = std::mem::take(&mut self.world.events);
        let (kernel, user) =
            (comparable(&self.reported, &mut self.connections[0]), comparable(&user, &mut self.connections[1]));
        self.reported.clear();
        for (number, (kernel, user)) in kernel.iter().zip(&user).enumerate() {
            ensure!(kernel == user, "event {number}: {kernel:?} in the kernel, {user:?} in user space");
        }
        ensure!(kernel.len() == user.len(), "{} events in the kernel, {} in user space", kernel.len(), user.len());
        let counters = self.filter.counters()?;
        for reason in 0..REASONS as u16 {
            let rows = counters.iter().filter(|row| row.reason == reason);
            let kernel = rows
                .fold((0, 0), |(segments, bytes), row| (segments + row.counter.segments, bytes + row.counter.bytes));
            let user = self.world.counted(reason);
            ensure!(
                kernel == (user.segments, user.bytes),
                "{}: {kernel:?} in the kernel, {user:?} in user space",
                self.names.reason(reason)
            );
        }
        let lost = self.lost()?;
        ensure!(
            (lost.opened, lost.closed) == (self.world.opened, self.world.closed),
            "{lost:?}, {} and {}",
            self.world.opened,
            self.world.closed
        );
        Ok(())
    }

    fn words(&self, event: &Event) -> String {
        let view = EventView::new(event, &mut Words(&self.names));
        let EventView { kind, direction, verb, arg, action, reason, enforced, excerpt, .. } = &view;
        let what = match (verb, arg) {
            (Some(verb), Some(arg)) => format!(" {verb} [{arg}]"),
            (Some(verb), None) => format!(" {verb} [withheld]"),
            _ => String::new(),
        };
        let enforced = if *enforced { "" } else { ", not enforced" };
        let excerpt = excerpt.as_ref().map(|excerpt| format!(", excerpt {}", unhex(excerpt))).unwrap_or_default();
        format!("{kind} {direction}{what}: {action} by {reason}{enforced}{excerpt}")
    }

    /// The live connections, as `connections` reads them.
    pub fn connections(&self) -> Result<Vec<Live>> {
        self.filter.tables().connections(|_| true)
    }

    /// How many events found no room, and how many connections were opened and closed.
    pub fn lost(&self) -> Result<smtp_filter_common::abi::Lost> {
        self.filter.tables().lost()
    }

    /// Instructions that the verifier walked, by program.
    pub fn verified(&self) -> Result<Vec<(&'static str, u32)>> {
        let programs = self.filter.programs()?.into_iter();
        let count = |(name, info): (_, aya::programs::ProgramInfo)| {
            Ok((name, info.verified_instruction_count().context("the kernel tells no count")?))
        };
        programs.map(count).collect()
    }
}

/// Whether an event is of a connection's beginning or end.
fn begins_or_ends(event: &Event) -> bool {
    matches!(event.kind, Kind::CONNECT | Kind::CLOSE)
}

struct Words<'a>(&'a Names);

impl Lookup for Words<'_> {
    fn reason(&mut self, number: u16) -> String {
        self.0.reason(number)
    }

    fn scope(&mut self, number: u16) -> Option<String> {
        self.0.scope(number).map(str::to_owned)
    }

    fn interface(&mut self, index: u32) -> String {
        index.to_string()
    }

    fn clock(&self) -> WallClock {
        WallClock::booted(0)
    }
}

/// Events without their times, with the connections numbered as they come.
fn comparable(events: &[Event], connections: &mut HashMap<u64, u64>) -> Vec<Event> {
    let mut number = |id: u64| {
        let next = connections.len() as u64;
        *connections.entry(id).or_insert(next)
    };
    let clean = |event: &Event| {
        let mut event = Event { time: 0, connection: number(event.connection), ..*event };
        // What stands behind the lengths is nobody's.
        let (arg, excerpt) = (usize::from(event.arg_length), event.excerpt_bytes());
        let became = if event.became_length == 0 { 0 } else { excerpt };
        let summary = event.summary();
        event.arg[arg..].fill(0);
        event.excerpt[excerpt..].fill(0);
        event.became[became..].fill(0);
        if event.kind == Kind::CLOSE {
            event.set_summary(&Summary { duration: 0, ..summary });
        }
        event
    };
    events.iter().map(clean).collect()
}

/// What matters of a TCP segment.
#[derive(Debug)]
struct Facts {
    source: u16,
    sequence: u32,
    acknowledgement: u32,
    rst: bool,
    ack: bool,
    payload: u32,
}

/// The facts of a frame whose checksums are right.
fn tcp(frame: &[u8]) -> Result<Facts> {
    let (facts, found, right) = facts(frame)?;
    ensure!(found == right, "the TCP checksum is {found:04x} instead of {right:04x}");
    Ok(facts)
}

/// The facts of a RST that was made of a frame. Its checksum is right, unless the frame's happens to be the sum of its
/// pseudo header (one in 65,536): so a frame looks whose checksum the device completes, and the RST has that sum alone,
/// too.
fn reset_of(frame: &[u8], reset: &[u8]) -> Result<Facts> {
    let packet = PacketHeaders::from_ethernet_slice(frame).context("a frame")?;
    let Some(TransportHeader::Tcp(tcp)) = &packet.transport else { bail!("no TCP segment: {packet:?}") };
    let addresses: Vec<u8> = match &packet.net {
        Some(NetHeaders::Ipv4(ip, _)) => [ip.source, ip.destination].concat(),
        Some(NetHeaders::Ipv6(ip, _)) => [ip.source, ip.destination].concat(),
        _ => bail!("no IP datagram: {packet:?}"),
    };
    let words = addresses.chunks(2).map(|word| u64::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u64>() + 6 + (tcp.header_len() + packet.payload.slice().len()) as u64;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    if u64::from(tcp.checksum) == sum { Ok(facts(reset)?.0) } else { self::tcp(reset) }
}

/// The facts of a frame, its TCP checksum and what that should be.
fn facts(frame: &[u8]) -> Result<(Facts, u16, u16)> {
    let packet = PacketHeaders::from_ethernet_slice(frame).context("a frame")?;
    let Some(TransportHeader::Tcp(tcp)) = &packet.transport else { bail!("no TCP segment: {packet:?}") };
    let payload = packet.payload.slice();
    let checksum = match &packet.net {
        Some(NetHeaders::Ipv4(ip, _)) => {
            ensure!(ip.header_checksum == ip.calc_header_checksum(), "the IP header's checksum is wrong");
            tcp.calc_checksum_ipv4(ip, payload)?
        }
        Some(NetHeaders::Ipv6(ip, _)) => tcp.calc_checksum_ipv6(ip, payload)?,
        _ => bail!("no IP datagram: {packet:?}"),
    };
    let facts = Facts {
        source: tcp.source_port,
        sequence: tcp.sequence_number,
        acknowledgement: tcp.acknowledgment_number,
        rst: tcp.rst,
        ack: tcp.ack,
        payload: payload.len() as u32,
    };
    Ok((facts, tcp.checksum, checksum))
}

fn check_reset_of_sender(reset: &Facts, sent: &Facts) -> Result<()> {
    let expected = (sent.acknowledgement, sent.sequence.wrapping_add(sent.payload));
    ensure!(reset.rst && reset.source != sent.source, "no RST in the receiver's name: {reset:?}");
    ensure!((reset.sequence, reset.acknowledgement) == expected, "{reset:?} for {sent:?}");
    ensure!(reset.payload == 0, "a RST with payload");
    Ok(())
}

fn payload(frame: &[u8]) -> &[u8] {
    PacketHeaders::from_ethernet_slice(frame).map_or(&[], |packet| packet.payload.slice())
}

/// Printable again: `52 53 ff` as `RS\xff`.
fn unhex(text: &str) -> String {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap_or_default().escape_ascii().to_string()).collect()
}
