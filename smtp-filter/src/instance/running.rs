//! A filter that is on, found by its pins: looked at, changed.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use smtp_filter_common::{abi, limits::POLICY_SLOTS};

use super::program_id;
use crate::{
    attach,
    events::{
        lookup::LiveLookup,
        reader::{self, EventReader},
    },
    pins::{PinDir, Side},
    policy::{self, Document, compile, to_toml},
    record::{Attached, Instance, Records, Source},
    tables::Tables,
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
