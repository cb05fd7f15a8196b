//! The eBPF object: loaded, not yet attached, not yet pinned.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{MapData, ProgramArray},
    programs::{Program, ProgramError, ProgramInfo, SchedClassifier},
};
use smtp_filter_common::{
    abi,
    bounds::{self, CONNECTIONS},
};

use crate::{
    attach::Programs,
    events::reader::EventReader,
    pins::Side,
    policy::Compiled,
    tables::{CounterRow, PINNED_MAPS, Tables},
};

/// The object that build.rs compiled.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/smtp-filter-ebpf"));

/// Lines of the verifier's log that `-v` shows: it can have many thousands, and the last ones say why.
const VERIFIER_TAIL: usize = 40;

/// The log level of the eBPF side that says nothing and costs nothing: the kernel leaves dead code out.
pub const SILENT: u8 = 0;
/// The log level of the eBPF side that says everything up to debug messages.
pub const DEBUG: u8 = aya_log::Level::Debug as u8;

/// What is fixed when the object is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Live connections that the table holds; it is allocated in full.
    pub connections: u32,
    /// [`SILENT`] or [`DEBUG`].
    pub log_level: u8,
    /// Folder of pinned maps to go on with, instead of new ones. They must be of this program's layout: see
    /// [`Tables::open`].
    pub adopt: Option<PathBuf>,
    /// Whether it replays a capture: its clock is the capture's, and it numbers the connections as they come.
    pub replay: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { connections: CONNECTIONS, log_level: SILENT, adopt: None, replay: false }
    }
}

/// The loaded programs and maps. On drop they go, unless something else holds them.
pub struct Filter {
    ebpf: Ebpf,
    tables: Tables,
}

impl Filter {
    /// Loads maps and programs into the kernel, and has the programs verified and chained.
    pub fn load(options: &LoadOptions) -> Result<Self> {
        let LoadOptions { connections, log_level, adopt, replay } = options;
        if OBJECT.is_empty() {
            bail!("this smtp-filter was built without its eBPF object and cannot filter: build it again with it");
        }
        let mut loader = EbpfLoader::new();
        let replay = u8::from(*replay);
        let slots = bounds::roster(*connections);
        loader
            .map_max_entries(abi::LIVE, *connections)
            .map_max_entries(abi::ROSTER, slots)
            .override_global(abi::SLOTS, &slots, true)
            .override_global(aya_log::LEVEL, log_level, false)
            .override_global(abi::REPLAY, &replay, true);
        if let Some(folder) = adopt {
            for name in PINNED_MAPS {
                loader.map_pin_path(name, folder.join(name));
            }
        }
        let mut ebpf = loader.load(OBJECT).map_err(|error| load_error(error, *connections))?;
        verify_all(&mut ebpf)?;
        chain(&mut ebpf)?;
        let tables = Tables::of(&ebpf)?;
        Ok(Self { ebpf, tables })
    }

    /// Makes a compiled policy the active one.
    pub fn set_policy(&mut self, policy: &Compiled) -> Result<()> {
        self.tables.activate(policy)
    }

    /// The program for what comes in.
    pub fn ingress(&mut self) -> Result<&mut SchedClassifier> {
        program(&mut self.ebpf, abi::INGRESS)
    }

    /// The program for what goes out.
    pub fn egress(&mut self) -> Result<&mut SchedClassifier> {
        program(&mut self.ebpf, abi::EGRESS)
    }

    /// The numbers of both programs, that for what comes in first.
    pub fn program_ids(&self) -> [Option<u32>; 2] {
        [abi::INGRESS, abi::EGRESS].map(|name| Some(self.ebpf.program(name)?.info().ok()?.id()))
    }

    /// All programs by name, as the kernel describes them: those at the hooks first, then the steps of the chain.
    pub fn programs(&self) -> Result<Vec<(&'static str, ProgramInfo)>> {
        let info = |name| {
            let program = self.ebpf.program(name).with_context(|| format!("the eBPF object has no program {name}"))?;
            Ok((name, program.info().with_context(|| format!("look at the program {name}"))?))
        };
        PROGRAMS.into_iter().map(info).collect()
    }

    /// Every counter that is not zero.
    pub fn counters(&self) -> Result<Vec<CounterRow>> {
        self.tables.counters()
    }

    /// A new reader of events: it gets every event from now on.
    pub fn reader(&self) -> Result<EventReader> {
        EventReader::of_unpinned(Tables::of(&self.ebpf)?)
    }

    /// The maps.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The object, for what is not here: other maps, log messages.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Pins the maps that outlast this process, by their names. What the programs need for themselves alone they hold
    /// themselves.
    pub(crate) fn pin_maps(&self, folder: &Path) -> Result<()> {
        for name in PINNED_MAPS {
            let map = self.ebpf.map(name).with_context(|| format!("the eBPF object has no map {name}"))?;
            map.pin(folder.join(name)).with_context(|| format!("pin the map {name} in {}", folder.display()))?;
        }
        Ok(())
    }

    /// Pins the chain there, and then both programs, each where `place` says: a program that is pinned has its chain.
    pub(crate) fn pin_programs(&mut self, chain: &Path, place: impl Fn(Side) -> PathBuf) -> Result<()> {
        let map = self.ebpf.map(abi::CHAIN).with_context(|| format!("the eBPF object has no map {}", abi::CHAIN))?;
        map.pin(chain).with_context(|| format!("pin {}", chain.display()))?;
        for side in Side::BOTH {
            let path = place(side);
            self.program(side)?.pin(&path).with_context(|| format!("pin {}", path.display()))?;
        }
        Ok(())
    }
}

impl Programs for Filter {
    fn program(&mut self, side: Side) -> Result<&mut SchedClassifier> {
        match side {
            Side::Ingress => self.ingress(),
            Side::Egress => self.egress(),
        }
    }
}

/// All programs: those at the hooks, and the steps that follow.
const PROGRAMS: [&str; 2 + abi::STEPS.len()] = {
    let mut programs = [abi::INGRESS; 2 + abi::STEPS.len()];
    programs[1] = abi::EGRESS;
    let mut i = 0;
    while i < abi::STEPS.len() {
        programs[2 + i] = abi::STEPS[i];
        i += 1;
    }
    programs
};

/// Has all programs verified, at the same time where there are several CPUs.
fn verify_all(ebpf: &mut Ebpf) -> Result<()> {
    thread::scope(|scope| {
        let mut under_way = Vec::new();
        for (name, program) in ebpf.programs_mut() {
            let Some(name) = PROGRAMS.into_iter().find(|one| *one == name) else { continue };
            let Program::SchedClassifier(program) = program else { bail!("the program {name} is no classifier") };
            under_way.push((name, scope.spawn(move || verify(program))));
        }
        if under_way.len() != PROGRAMS.len() {
            bail!("the eBPF object lacks programs");
        }
        under_way.into_iter().try_for_each(|(name, thread)| {
            let verified = thread.join().map_err(|_| anyhow!("the program {name} could not be loaded"))?;
            verified.map_err(|error| verifier_error(name, error))
        })
    })
}

/// Puts the steps into their places of the chain.
fn chain(ebpf: &mut Ebpf) -> Result<()> {
    let mut programs = Vec::new();
    for name in abi::STEPS {
        programs.push(program(ebpf, name)?.fd()?.try_clone().with_context(|| format!("hold the program {name}"))?);
    }
    let map = ebpf.map_mut(abi::CHAIN).with_context(|| format!("the eBPF object has no map {}", abi::CHAIN))?;
    let mut chain: ProgramArray<&mut MapData> = map.try_into()?;
    for (place, program) in (0..).zip(&programs) {
        chain.set(place, program, 0).with_context(|| format!("put {} into the chain", abi::STEPS[place as usize]))?;
    }
    Ok(())
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    let program = ebpf.program_mut(name).with_context(|| format!("the eBPF object has no program {name}"))?;
    program.try_into().with_context(|| format!("the program {name} is no classifier"))
}

fn load_error(error: EbpfError, connections: u32) -> anyhow::Error {
    let memory = source_errno(&error).is_some_and(|errno| errno == rustix::io::Errno::NOMEM.raw_os_error());
    let error = anyhow::Error::new(error).context("load the eBPF object into the kernel");
    if memory {
        let kibibytes = u64::from(connections) * size_of::<smtp_filter_common::entry::Connection>() as u64 / 1024;
        return error.context(format!(
            "there is not enough memory for {connections} connections (about {kibibytes} KiB): give a smaller \
             --connections"
        ));
    }
    error
}

/// The error number at the root of an error.
pub(crate) fn source_errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        next = error.source();
    }
    None
}

/// How often a program is given to the verifier.
const TRIES: usize = 5;

/// Has a program verified. A signal ends that with EAGAIN, whatever becomes of the signal (kernel 6.18,
/// kernel/bpf/verifier.c, `do_check`).
fn verify(program: &mut SchedClassifier) -> Result<(), ProgramError> {
    for _ in 1..TRIES {
        match program.load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == ErrorKind::WouldBlock => {}
            verified => return verified,
        }
    }
    program.load()
}

/// The verifier's log is long: its last line that is no statistics says why.
fn verifier_error(name: &str, error: ProgramError) -> anyhow::Error {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return anyhow::Error::new(error).context(format!("load the program {name}"));
    };
    let log = verifier_log.to_string();
    let tail: Vec<&str> = log.lines().rev().take(VERIFIER_TAIL).collect();
    log::info!("the end of the verifier's log of {name}:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    let is_statistics =
        |line: &&str| ["processed ", "verification time", "stack depth"].iter().any(|start| line.starts_with(start));
    let reason = log.lines().rev().map(str::trim).filter(|line| !line.is_empty()).find(|line| !is_statistics(line));
    anyhow!(
        "the kernel refuses the program {name}: {io_error}: {} (-v shows more of what the verifier says)",
        reason.unwrap_or("the verifier gives no reason")
    )
}
