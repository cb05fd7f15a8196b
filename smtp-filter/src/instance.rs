//! A filter that is on: put on, found again by its pins, changed, taken off.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::programs::{
    ProgramInfo,
    links::{FdLink, PinnedLink},
    loaded_links, loaded_programs,
};
use smtp_filter_common::{abi, limits::POLICY_SLOTS};

use crate::{
    attach,
    clock::{self, WallClock},
    events::{
        lookup::LiveLookup,
        reader::{self, EventReader},
    },
    loader::{Filter, LoadOptions},
    netns::{self, Netns},
    pins::{DirLock, PinDir, Side},
    policy::{self, Document, Names, compile, to_toml},
    record::{Attached, Hook, Instance, Records, Source},
    tables::Tables,
};

/// Two policies are set at least so far apart, so that no segment still reads the slot that is written next.
const BETWEEN_POLICIES: Duration = Duration::from_millis(5);
/// How long the kernel is given to let go of what was taken off.
const LETTING_GO: Duration = Duration::from_secs(2);

/// What `up` puts on.
#[derive(Clone, Debug)]
pub struct PutOn {
    /// Interfaces, in the calling thread's network namespace.
    pub interfaces: Vec<String>,
    /// The policy.
    pub document: Document,
    /// How to attach.
    pub hook: Hook,
    /// How to load.
    pub load: LoadOptions,
}

/// Puts a filter on. Where it fails, nothing is left. `before` is done when everything is there but attached to
/// nothing yet: who reads events from then on misses none.
pub fn put_on(pins: &PinDir, what: &PutOn, before: impl FnOnce() -> Result<()>) -> Result<Filter> {
    // Before the programs are loaded, which takes its time.
    let mut indexes = BTreeSet::new();
    for name in &what.interfaces {
        if !indexes.insert(netns::interface_index(name)?) {
            bail!("the interface {name} is named twice");
        }
    }
    let lock = pins.create()?;
    put_on_locked(pins, what, before).inspect_err(|_| {
        if let Err(error) = remove_all(pins, &lock) {
            log::error!("{error:#}");
        }
    })
}

fn put_on_locked(pins: &PinDir, what: &PutOn, before: impl FnOnce() -> Result<()>) -> Result<Filter> {
    let PutOn { interfaces, document, hook, load } = what;
    let mut filter = Filter::load(load)?;
    pins.create_folders()?;
    filter.pin(&pins.maps(), &pins.programs())?;
    let mut records = Records::create(&pins.maps())?;
    let (up_at, boot) = (clock::since_boot(), WallClock::now().boot());
    let mut instance = Instance { up_at, boot, netns: Netns::current()?, interfaces: Vec::new() };
    records.set_instance(&instance)?;

    let mut names = Names::default();
    let compiled = compile(document, &mut names, 1, instance.up_at)?;
    records.set_source(&Source { generation: 1, text: to_toml(document), names })?;
    filter.set_policy(&compiled)?;
    before()?;

    for name in interfaces {
        let at = attach::plan(name, *hook)?;
        instance.interfaces.push(at.clone());
        records.set_instance(&instance)?;
        attach::attach(&mut filter, pins, &at)?;
    }
    Ok(filter)
}

/// A filter that is on, opened by its pins.
pub struct Running {
    pins: PinDir,
    tables: Tables,
    records: Records,
    instance: Instance,
}

/// An interface as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceState {
    /// What was attached.
    pub at: Attached,
    /// Number of the program that is attached there, by side.
    pub programs: [Option<u32>; 2],
}

/// A change of the policy.
#[derive(Clone, Debug)]
pub struct Change {
    /// The policy before.
    pub before: Document,
    /// The policy now.
    pub after: Document,
    /// Its generation.
    pub generation: u32,
}

impl Running {
    /// Opens what is pinned there; places of readers that are no more become free.
    pub fn open(pins: &PinDir) -> Result<Self> {
        if !pins.in_use() {
            bail!("no filter is on at {}: `smtp-filter up --iface IF` puts one on", pins.path().display());
        }
        let opened = Self::open_maps(pins);
        let (mut tables, records, instance) = opened.with_context(|| {
            format!("the filter at {} is not whole: `smtp-filter down` removes what is there", pins.path().display())
        })?;
        reader::reclaim(&mut tables, pins)?;
        Ok(Self { pins: pins.clone(), tables, records, instance })
    }

    fn open_maps(pins: &PinDir) -> Result<(Tables, Records, Instance)> {
        let tables = Tables::open(&pins.maps())?;
        let records = Records::open(&pins.maps())?;
        let instance = records.instance()?.context("its record has not been written")?;
        Ok((tables, records, instance))
    }

    /// The maps.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What it was put on with.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The active policy with its generation and names.
    pub fn source(&self) -> Result<Source> {
        // A change on the way may move the generation on between the two looks.
        for _ in 0..POLICY_SLOTS {
            if let Some(source) = self.records.source(self.tables.generation()?)? {
                return Ok(source);
            }
        }
        bail!("the active policy's source is not there: `smtp-filter policy load FILE` sets another one")
    }

    /// The active policy.
    pub fn document(&self) -> Result<Document> {
        Ok(policy::parse("the active policy", &self.source()?.text)?)
    }

    /// Changes the policy in one step: `edit` makes the new one out of the old one.
    pub fn change(&mut self, edit: impl FnOnce(&Document) -> Result<Document>) -> Result<Change> {
        let _lock = self.pins.lock()?.context("the filter has just been taken off")?;
        // Another filter may have been put on in the place of this one.
        (self.tables, self.records, self.instance) = Self::open_maps(&self.pins)?;
        let Source { generation, text, mut names } = self.source()?;
        let before = policy::parse("the active policy", &text)?;
        let after = edit(&before)?;
        let generation = generation.wrapping_add(1);
        let compiled = compile(&after, &mut names, generation, self.instance.up_at)?;
        self.records.set_source(&Source { generation, text: to_toml(&after), names })?;
        self.tables.activate(&compiled)?;
        // Still under the lock: the next change waits for it.
        thread::sleep(BETWEEN_POLICIES);
        Ok(Change { before, after, generation })
    }

    /// A new reader of events.
    pub fn reader(&self) -> Result<EventReader> {
        EventReader::of_pinned(Tables::open(&self.pins.maps())?, &self.pins)
    }

    /// The words for events.
    pub fn lookup(&self) -> Result<LiveLookup> {
        LiveLookup::new(Tables::open(&self.pins.maps())?, Records::open(&self.pins.maps())?, &self.instance)
    }

    /// The interfaces, each with the programs that are found there.
    pub fn interfaces(&self) -> Result<Vec<InterfaceState>> {
        let programs = [abi::INGRESS, abi::EGRESS].map(|name| program_id(&self.pins, name));
        let interfaces = &self.instance.interfaces;
        let look = || {
            let state = |at: &Attached| {
                let found = Side::BOTH
                    .map(|side| programs[side as usize].filter(|program| attach::is_attached(at, side, *program)));
                InterfaceState { at: at.clone(), programs: found }
            };
            interfaces.iter().map(state).collect::<Vec<_>>()
        };
        let gone = || interfaces.iter().map(|at| InterfaceState { at: at.clone(), programs: [None; 2] }).collect();
        Ok(self.instance.netns.inside(look)?.unwrap_or_else(gone))
    }
}

fn program_id(pins: &PinDir, name: &str) -> Option<u32> {
    ProgramInfo::from_pin(pins.programs().join(name)).ok().map(|info| info.id())
}

/// What `down` took off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenOff {
    /// There was nothing.
    Nothing,
    /// One interface; others are left.
    Interface,
    /// Everything.
    Everything,
}

/// Takes a filter off, from whatever state it is in: from one interface, or from everywhere. With its last interface
/// the rest goes too.
pub fn take_off(pins: &PinDir, interface: Option<&str>) -> Result<TakenOff> {
    let Some(lock) = pins.lock()? else {
        return match interface {
            None => Ok(TakenOff::Nothing),
            Some(name) => bail!("no filter is on at {}, so none is on {name}", pins.path().display()),
        };
    };
    if let Some(name) = interface
        && take_off_interface(pins, name)?
    {
        return Ok(TakenOff::Interface);
    }
    remove_all(pins, &lock)?;
    Ok(TakenOff::Everything)
}

/// Takes the filter off one interface; `false` where it was the last one.
fn take_off_interface(pins: &PinDir, name: &str) -> Result<bool> {
    let mut records = Records::open(&pins.maps())?;
    let mut instance = records.instance()?.context("the filter's record has not been written")?;
    let place = instance.interfaces.iter().position(|at| at.name == name);
    let Some(place) = place else {
        let on: Vec<_> = instance.interfaces.iter().map(|at| at.name.as_str()).collect();
        bail!("the filter at {} is not on {name}, but on {}", pins.path().display(), on.join(", "));
    };
    if instance.interfaces.len() == 1 {
        return Ok(false);
    }
    let links = link_ids(pins);
    let at = instance.interfaces.remove(place);
    detach_in_place(pins, &instance, &at)?;
    records.set_instance(&instance)?;
    let left = link_ids(pins);
    wait_until_gone(&links.into_iter().filter(|id| !left.contains(id)).collect::<Vec<_>>(), &[]);
    Ok(true)
}

fn detach_in_place(pins: &PinDir, instance: &Instance, at: &Attached) -> Result<()> {
    match at.hook {
        Hook::Tcx => attach::detach(pins, at),
        // A namespace that is gone has taken its interfaces and their filters along.
        Hook::Clsact => instance.netns.inside(|| attach::detach(pins, at))?.unwrap_or(Ok(())),
    }
}

fn remove_all(pins: &PinDir, lock: &DirLock) -> Result<()> {
    let links = link_ids(pins);
    let programs: Vec<u32> = [abi::INGRESS, abi::EGRESS].iter().filter_map(|name| program_id(pins, name)).collect();
    // Where that fails the record stays, for another try.
    detach_all(pins)?;
    pins.remove(lock)?;
    wait_until_gone(&links, &programs);
    Ok(())
}

fn detach_all(pins: &PinDir) -> Result<()> {
    // Without a record nothing has been attached yet: it is written first.
    let Ok(records) = Records::open(&pins.maps()) else { return Ok(()) };
    let Some(instance) = records.instance()? else { return Ok(()) };
    let failed: Vec<anyhow::Error> =
        instance.interfaces.iter().filter_map(|at| detach_in_place(pins, &instance, at).err()).collect();
    match failed.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn link_ids(pins: &PinDir) -> Vec<u32> {
    let entries = std::fs::read_dir(pins.links()).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| PinnedLink::from_pin(entry.path()).ok())
        .filter_map(|link| FdLink::from(link).info().ok())
        .map(|info| info.id())
        .collect()
}

/// The kernel lets go of links and programs a moment after their last holder has: waits until they are gone, so that
/// `down` means it. What another process still holds is not waited for longer than a moment.
fn wait_until_gone(links: &[u32], programs: &[u32]) {
    let deadline = Instant::now() + LETTING_GO;
    let still_there = || {
        loaded_links().filter_map(Result::ok).any(|link| links.contains(&link.id()))
            || loaded_programs().filter_map(Result::ok).any(|program| programs.contains(&program.id()))
    };
    while still_there() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}
