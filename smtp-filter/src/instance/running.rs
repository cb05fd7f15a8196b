//! A filter that is on, found by its pins: looked at, changed.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use smtp_filter_common::bounds::POLICY_SLOTS;

use super::{
    Opened, compile_for,
    interfaces::sit_on_all,
    open_maps, program_ids,
    settle::{Remains, settle},
    take_off::take_off_unconfirmed,
};
use crate::{
    attach::{self, Programs},
    bpffs,
    events::{
        lookup::LiveLookup,
        reader::{self, EventReader},
    },
    pins::{DirLock, PinDir, Side},
    policy::{self, Compiled, Document, Names, to_toml},
    record::{Attached, Instance, Records, Source},
    tables::{OtherLayout, Tables},
};

/// Two policies are set at least so far apart, so that no segment still reads the slot that is written next.
const BETWEEN_POLICIES: Duration = Duration::from_millis(5);

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

/// What `confirm` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It was waited for.
    Now,
    /// Nobody waited for it.
    Already,
}

/// That there is no filter; also what may have become of it.
fn none_is_on(pins: &PinDir) -> anyhow::Error {
    let at = pins.path().display();
    if bpffs::mount_point(pins.path()).is_some() {
        return anyhow!("no filter is on at {at}: `smtp-filter up --iface IF` puts one on");
    }
    anyhow!(
        "no filter is on at {at}: no BPF file system is mounted there. Was it unmounted under a filter, that is off (one by \
         clsact filters on, out of reach: see docs/operating.md); `smtp-filter up --iface IF` puts one on"
    )
}

impl Running {
    /// Opens what is pinned there; what a killed command left half-done is finished first, and places of readers that
    /// are no more become free.
    pub fn open(pins: &PinDir) -> Result<Self> {
        pins.require_pins()?;
        let none = || none_is_on(pins);
        if !pins.in_use() {
            return Err(none());
        }
        let opened = if pins.is_unsettled() { None } else { open_maps(pins).ok() };
        let opened = match opened {
            Some(opened) => opened,
            // A change may have been on the way: under the lock there is none.
            None => Self::open_settled(pins)?.ok_or_else(none)?,
        };
        let (mut tables, records, instance) = opened;
        if instance.is_expired() {
            take_off_unconfirmed(pins)?;
            bail!("the filter at {} was not confirmed in time, and is off", pins.path().display());
        }
        reader::reclaim(&mut tables, pins)?;
        Ok(Self { pins: pins.clone(), tables, records, instance })
    }

    fn open_settled(pins: &PinDir) -> Result<Option<Opened>> {
        let Some(lock) = pins.lock()? else { return Ok(None) };
        if settle(pins, &lock)? == Remains::Nothing {
            return Ok(None);
        }
        open_maps(pins).map(Some).map_err(|error| {
            if error.is::<OtherLayout>() {
                return error.context(format!("look at the filter at {}", pins.path().display()));
            }
            error.context(format!(
                "the filter at {} is not whole: `smtp-filter up` puts a new one in its place, `smtp-filter down` removes \
                 what is there",
                pins.path().display()
            ))
        })
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
        Ok(self.in_force()?.0)
    }

    /// The active policy with its generation as people see it: both of the same look, for a change may come between
    /// two.
    pub fn in_force(&self) -> Result<(Document, u32)> {
        let source = self.source()?;
        Ok((policy::parse("the active policy", &source.text)?, source.shown()))
    }

    /// The active policy as the datapath reads it, and the names in it.
    pub fn compiled(&self) -> Result<(Compiled, Names)> {
        let mut source = self.source()?;
        let document = policy::parse("the active policy", &source.text)?;
        Ok((compile_for(&self.instance, &document, &mut source)?, source.names))
    }

    /// Changes the policy in one step: `edit` makes the new one out of the old one.
    pub fn change(&mut self, edit: impl FnOnce(&Document) -> Result<Document>) -> Result<Change> {
        let _lock = self.lock()?;
        let before = self.document()?;
        let after = edit(&before)?;
        let generation = self.activate(&after, true)?;
        Ok(Change { before, after, generation })
    }

    /// Says that the filter is to stay on. Too late is an error: then it has gone off.
    pub fn confirm(&mut self) -> Result<Confirmed> {
        let _lock = self.lock()?;
        if self.instance.confirm_until.is_none() {
            return Ok(Confirmed::Already);
        }
        if self.instance.is_expired() {
            bail!("too late: the filter at {} was not confirmed in time, and is off", self.pins.path().display());
        }
        self.instance.confirm_until = None;
        // First in the kernel: a record that says less does no harm.
        let document = self.document()?;
        self.activate(&document, false)?;
        self.records.set_instance(&self.instance)?;
        Ok(Confirmed::Now)
    }

    /// Sees to it that the programs sit on interfaces that went and are back, if `owner` still owns the filter. Returns
    /// their names. To be called in the instance's network namespace.
    pub fn sit_on_those_back(&mut self, programs: &mut impl Programs, owner: u64) -> Result<Vec<String>> {
        let _lock = self.lock()?;
        if self.instance.owner != owner {
            return Ok(Vec::new());
        }
        sit_on_all(programs, &self.pins, &mut self.records, &mut self.instance)
    }

    /// Locks the filter for a change, and looks at it anew: another one may have been put on in the place of this one.
    fn lock(&mut self) -> Result<DirLock> {
        let lock = self.pins.lock()?.context("the filter has just been taken off")?;
        if self.pins.is_unsettled() {
            settle(&self.pins, &lock)?;
        }
        (self.tables, self.records, self.instance) = open_maps(&self.pins)?;
        Ok(lock)
    }

    /// Makes a policy the active one, under the lock. Returns its generation as people see it.
    fn activate(&mut self, document: &Document, changed: bool) -> Result<u32> {
        let mut source = self.source()?;
        source.advance(changed);
        source.text = to_toml(document);
        let compiled = compile_for(&self.instance, document, &mut source)?;
        self.records.set_source(&source)?;
        self.tables.activate(&compiled)?;
        // The next change waits for it.
        thread::sleep(BETWEEN_POLICIES);
        Ok(source.shown())
    }

    /// A new reader of events.
    pub fn reader(&self) -> Result<EventReader> {
        Self::reader_at(&self.pins)
    }

    /// A new reader of events of the filter that is pinned there, also while it is being put on.
    pub fn reader_at(pins: &PinDir) -> Result<EventReader> {
        let mut tables = Tables::open(&pins.maps())?;
        reader::reclaim(&mut tables, pins)?;
        EventReader::of_pinned(tables, pins)
    }

    /// The words for events.
    pub fn lookup(&self) -> Result<LiveLookup> {
        LiveLookup::new(Tables::open(&self.pins.maps())?, Records::open(&self.pins.maps())?, &self.instance)
    }

    /// The interfaces, each with the programs that are found there.
    pub fn interfaces(&self) -> Result<Vec<InterfaceState>> {
        let programs = Side::BOTH.map(|side| program_ids(&self.pins, side));
        let interfaces = &self.instance.interfaces;
        let look = || {
            let state = |at: &Attached| {
                let found = Side::BOTH.map(|side| attach::attached(at, side, &programs[side as usize]));
                InterfaceState { at: at.clone(), programs: found }
            };
            interfaces.iter().map(state).collect::<Vec<_>>()
        };
        let gone = || interfaces.iter().map(|at| InterfaceState { at: at.clone(), programs: [None; 2] }).collect();
        Ok(self.instance.netns.inside(look)?.unwrap_or_else(gone))
    }
}
