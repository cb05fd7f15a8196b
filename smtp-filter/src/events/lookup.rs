//! The words for an event's numbers, from the pins of a running filter.

use std::collections::HashMap;

use anyhow::Result;

use super::view::Lookup;
use crate::{
    clock::WallClock,
    netns,
    policy::Names,
    record::{Instance, Records},
    tables::Tables,
};

/// Words from a running filter.
pub struct LiveLookup {
    tables: Tables,
    records: Records,
    names: Names,
    interfaces: HashMap<u32, String>,
    boot: WallClock,
    clock: WallClock,
}

impl LiveLookup {
    /// Words of this filter.
    pub fn new(tables: Tables, records: Records, instance: &Instance) -> Result<Self> {
        let indexes: Vec<u32> = instance.interfaces.iter().map(|at| at.ifindex).collect();
        let now =
            instance.netns.inside(|| indexes.iter().map(|index| netns::interface_name(*index)).collect::<Vec<_>>())?;
        let now = now.unwrap_or_default().into_iter().chain(std::iter::repeat(None));
        let named = instance.interfaces.iter().zip(now);
        let interfaces = named.map(|(at, now)| (at.ifindex, now.unwrap_or_else(|| at.name.clone()))).collect();
        let boot = WallClock::booted(instance.boot);
        let mut lookup = Self { tables, records, names: Names::default(), interfaces, boot, clock: boot.or_now() };
        lookup.refresh_names()?;
        Ok(lookup)
    }

    /// Reads the clocks again: one of them may have been set.
    pub fn refresh_clock(&mut self) {
        self.clock = self.boot.or_now();
    }

    fn refresh_names(&mut self) -> Result<()> {
        if let Some(source) = self.records.source(self.tables.generation()?)? {
            self.names = source.names;
        }
        Ok(())
    }
}

impl Lookup for LiveLookup {
    fn reason(&mut self, number: u16) -> String {
        // A name that is new since the last look: names only ever come to it.
        if !self.names.knows(number)
            && let Err(error) = self.refresh_names()
        {
            log::info!("the names of a new policy cannot be read: {error:#}");
        }
        self.names.reason(number)
    }

    fn scope(&mut self, number: u16) -> Option<String> {
        if number == 0 {
            return None;
        }
        if self.names.scope(number).is_none()
            && let Err(error) = self.refresh_names()
        {
            log::info!("the names of a new policy cannot be read: {error:#}");
        }
        Some(self.names.scope(number).map_or_else(|| format!("unknown.{number}"), str::to_owned))
    }

    fn interface(&mut self, index: u32) -> String {
        self.interfaces.get(&index).cloned().unwrap_or_else(|| format!("#{index}"))
    }

    fn clock(&self) -> WallClock {
        self.clock
    }
}
