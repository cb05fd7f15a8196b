//! The filter in the kernel in front of a capture: a private instance of the programs, attached to nothing, run on each
//! frame by BPF_PROG_TEST_RUN.
//!
//! It lives in a network namespace of its own, for the RSTs that a run sends are really sent: they end there.

use std::{collections::HashMap, fs, io, marker::PhantomData, os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    TestRunOptions,
    maps::{Array, MapData},
    programs::TestRun as _,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, Protocol, RawProtocol, RecvFlags, SocketFlags, SocketType, recv, socket_with},
    thread::UnshareFlags,
};
use smtp_filter_common::{
    abi::{REPLAYED, Replayed},
    datapath::Met,
    event::Event,
    policy::Policy,
    userspace::SliceFrame,
    verdict::Verdict,
    wire::Frame as _,
};

use super::{
    judge::{Judge, Out},
    wire::Wire,
};
use crate::{
    events::reader::EventReader,
    loader::{Filter, LoadOptions},
    pod::Shared,
    tables::CounterRow,
};

/// Passes, and lets later programs look (`TCX_NEXT`).
const NEXT: u32 = u32::MAX;
/// `TCX_DROP`.
const DROP: u32 = 2;
/// Size of `struct __sk_buff`.
const CONTEXT: usize = 192;
/// Where the interface's index stands in it.
const IFINDEX: usize = 40;
/// `ETH_P_ALL`, in network byte order.
const EVERYTHING: u32 = (3_u16.to_be()) as u32;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// An Ethernet header's addresses; which ones does not matter.
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
/// Longest frame that BPF_PROG_TEST_RUN takes: a page less what stands before and behind it.
const LONGEST: usize = 3_500;
/// How long a RST may be under way within the machine. It decides nothing but when an error is said.
const SOON: Duration = Duration::from_secs(10);

/// The programs in the kernel.
pub struct Kernel {
    filter: Filter,
    reader: EventReader,
    replayed: Array<MapData, Shared<Replayed>>,
    /// What the programs are told, and tell.
    state: Replayed,
    /// Generation of the policy that they have.
    generation: Option<u32>,
    /// The wires that stand for the capture's interfaces, one for each direction of each.
    wires: HashMap<(u32, bool), Wire>,
    /// Sees what is sent in the namespace.
    tap: OwnedFd,
    /// The frame as it goes in.
    frame: Vec<u8>,
    /// The frame as it comes out.
    came: Vec<u8>,
    /// The RST that went back.
    back: Option<Vec<u8>>,
    /// The namespace is the thread's that made it.
    here: PhantomData<*const ()>,
}

impl Kernel {
    /// Moves the calling thread into a network namespace of its own, and loads the programs there.
    pub fn new() -> Result<Self> {
        // SAFETY: only the network namespace is left, and only by this thread; file descriptors stay shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
            .context("make a network namespace, which needs root (CAP_SYS_ADMIN)")?;
        // No interface says anything by itself. Where there is no IPv6, there is nothing to silence.
        match fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context("write /proc/sys/net/ipv6/conf/default/disable_ipv6");
            }
            _ => {}
        }
        let mut filter = Filter::load(&LoadOptions { replay: true, ..LoadOptions::default() })?;
        let reader = filter.reader()?;
        let map = filter.ebpf().take_map(REPLAYED).with_context(|| format!("the eBPF object has no map {REPLAYED}"))?;
        let protocol = Protocol::from_raw(RawProtocol::new(EVERYTHING).context("a protocol")?);
        let tap = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::NONBLOCK, Some(protocol))
            .context("open a packet socket")?;
        Ok(Self {
            filter,
            reader,
            replayed: map.try_into()?,
            state: Replayed::default(),
            generation: None,
            wires: HashMap::new(),
            tap,
            frame: Vec::new(),
            came: Vec::new(),
            back: None,
            here: PhantomData,
        })
    }

    /// The wire that stands for an interface's direction.
    fn wire(&mut self, met: Met) -> Result<Wire> {
        let number = self.wires.len();
        let side = (met.ifindex, met.egress);
        if let Some(wire) = self.wires.get(&side) {
            return Ok(*wire);
        }
        let wire = Wire::new(number)?;
        self.wires.insert(side, wire);
        Ok(wire)
    }

    /// Runs the program of the frame's direction on it.
    fn run(&mut self, met: Met) -> Result<u32> {
        if self.frame.len() > LONGEST {
            bail!(
                "a frame of {} bytes is longer than what BPF_PROG_TEST_RUN takes: replay it without --kernel",
                self.frame.len()
            );
        }
        let wire = self.wire(met)?;
        let mut context = [0; CONTEXT];
        context[IFINDEX..IFINDEX + 4].copy_from_slice(&wire.here.to_ne_bytes());
        self.came.resize(self.frame.len(), 0);
        let program = if met.egress { self.filter.egress()? } else { self.filter.ingress()? };
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(&self.frame),
                data_out: Some(&mut self.came),
                ctx_in: Some(&context),
                ..TestRunOptions::default()
            })
            .context("run the program on the frame (BPF_PROG_TEST_RUN)")?;
        self.came.truncate(result.data_size_out as usize);
        Ok(result.return_value)
    }

    /// The RST that a run has sent.
    fn sent(&self) -> Result<Vec<u8>> {
        loop {
            let mut frame = vec![0; LONGEST];
            match recv(&self.tap, frame.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => {
                    frame.truncate(length);
                    return Ok(frame);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut tap = [PollFd::new(&self.tap, PollFlags::IN)];
                    let patience = Timespec::try_from(SOON).context("a time to wait")?;
                    let ready = poll(&mut tap, Some(&patience)).context("wait for the RST to the sender")?;
                    ensure!(ready > 0, "the kernel has not sent the RST to the sender");
                }
                Err(error) => return Err(error).context("read the packet socket"),
            }
        }
    }
}

impl Judge for Kernel {
    fn judge(&mut self, policy: &Policy, frame: SliceFrame<'_>, met: Met) -> Result<Verdict> {
        self.back = None;
        self.frame.clear();
        self.frame.extend(ADDRESSES);
        self.frame.extend(frame.protocol().to_be_bytes());
        self.frame.extend(frame.network());
        if frame.network().is_empty() {
            // There is no such frame on a wire.
            self.came.clone_from(&self.frame);
            return Ok(Verdict::Pass);
        }
        if self.generation != Some(policy.generation) {
            self.filter.set_policy(policy)?;
            self.generation = Some(policy.generation);
        }
        self.state.now = met.now;
        self.replayed.set(0, Shared(self.state), 0).context("tell the time of the frame")?;
        let returned = self.run(met)?;
        let before = self.state.frames;
        self.state = self.replayed.get(&0, 0).context("read what became of the frame")?.0;
        ensure!(
            self.state.frames == before + 1,
            "the program has judged {} frames instead of one",
            self.state.frames - before
        );
        let verdict = Verdict::from_u8(self.state.verdict as u8);
        match (verdict, returned) {
            (Verdict::Pass, NEXT) | (Verdict::Drop, DROP) => {}
            (Verdict::Reset, NEXT) | (Verdict::ResetSender, DROP) => {
                self.back = Some(self.sent()?);
            }
            _ => bail!("the program has returned {returned} for {verdict:?}"),
        }
        Ok(verdict)
    }

    fn out(&self, _: SliceFrame<'_>, verdict: Verdict) -> Out {
        let network = |frame: &Vec<u8>| frame.get(ETHERNET..).unwrap_or_default().to_vec();
        let goes_on = matches!(verdict, Verdict::Pass | Verdict::Reset);
        Out { back: self.back.as_ref().map(network), on: goes_on.then(|| network(&self.came)) }
    }

    fn events(&mut self) -> Result<Vec<Event>> {
        let events: Vec<Event> = self.reader.by_ref().collect();
        if !events.is_empty() {
            let lost = self.reader.lost()?;
            ensure!(lost == 0, "{lost} events found no room");
        }
        Ok(events)
    }

    fn counters(&self) -> Result<Vec<CounterRow>> {
        self.filter.counters()
    }

    fn opened(&self) -> Result<u64> {
        Ok(self.filter.tables().lost()?.opened)
    }
}
