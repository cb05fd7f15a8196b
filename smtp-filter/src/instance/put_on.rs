//! Putting a filter on: where there is none a new one, where there is one in its place.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail};
use rustix::rand::{GetRandomFlags, getrandom};
use smtp_filter_common::bounds::CONNECTIONS;

use super::{
    compile_for,
    settle::{Remains, settle},
    take_off::{clear_all, remove_all},
    take_over,
};
use crate::{
    attach,
    clock::{self, WallClock},
    loader::{Filter, LoadOptions},
    netns::{self, Netns},
    pins::{DirLock, PinDir},
    policy::{self, Document, Names, Profile, to_toml},
    record::{Hook, Instance, Records, Source},
};

/// The version of this program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The policy that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A whole one; none: that of the running filter, else the default.
    pub document: Option<Document>,
    /// Ports in the place of the policy's; none: the policy's.
    pub ports: Vec<u16>,
}

impl Wanted {
    /// The policy, where `running` is the one in force.
    pub fn document(&self, running: Option<Document>) -> Result<Document, String> {
        let document = self.document.clone().or(running).unwrap_or_else(|| Profile::default().document());
        if self.ports.is_empty() {
            return Ok(document);
        }
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        policy::set(&document, &[format!("ports={}", ports.join(","))])
    }
}

/// What `up` puts on.
#[derive(Clone, Debug)]
pub struct PutOn {
    /// Interfaces, in the calling thread's network namespace.
    pub interfaces: Vec<String>,
    /// The policy.
    pub policy: Wanted,
    /// How to attach; none: the best that the kernel has, and where the filter sits already, as it does.
    pub hook: Option<Hook>,
    /// Live connections that the table holds; none: the running filter's, else the default.
    pub connections: Option<u32>,
    /// Log level of the eBPF side: see [`LoadOptions`].
    pub log_level: u8,
    /// It goes off by itself after so long, unless it is confirmed.
    pub confirm: Option<Duration>,
}

/// How a filter was put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// There was none.
    New,
    /// In the place of one, with its connections.
    TookOver,
    /// In the place of one of another version: its connections are unknown now.
    TookOverOther,
}

/// A filter that was put on.
pub struct Placed {
    /// The loaded programs.
    pub filter: Filter,
    /// How.
    pub how: How,
    /// What is on now.
    pub instance: Instance,
    /// Its policy.
    pub document: Document,
}

/// Puts a filter on. Where it fails, everything is as it was. `before` is done when everything is there but these
/// programs do not sit anywhere yet: who reads events from then on misses none of theirs.
pub fn put_on(pins: &PinDir, what: &PutOn, before: impl FnOnce() -> Result<()>) -> Result<Placed> {
    // Before the programs are loaded, which takes its time.
    let mut indexes = BTreeSet::new();
    for name in &what.interfaces {
        if !indexes.insert(netns::interface_index(name)?) {
            bail!("the interface {name} is named twice: name each once");
        }
    }
    let was_there = pins.path().exists();
    let lock = pins.claim()?;
    match settle(pins, &lock)? {
        Remains::Filter => return take_over::take_over(pins, what, before),
        Remains::OtherLayout => return take_over::take_over_other(pins, what, before),
        Remains::Broken => clear_all(pins, &lock)?,
        Remains::Nothing => {}
    }
    put_on_new(pins, what, before).inspect_err(|_| undo(pins, &lock, was_there))
}

/// Removes what was begun. An empty folder that was there before stays.
fn undo(pins: &PinDir, lock: &DirLock, was_there: bool) {
    let undone = if was_there { clear_all(pins, lock) } else { remove_all(pins, lock) };
    if let Err(error) = undone {
        log::error!("{error:#}");
    }
}

/// A number for an owner, which nobody else has.
pub(super) fn new_owner() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("make a number for the owner of the filter")?;
    Ok(u64::from_ne_bytes(bytes))
}

/// When a filter that is not confirmed goes off.
pub(super) fn confirm_until(what: &PutOn) -> Option<u64> {
    let after = what.confirm?.as_nanos();
    Some(clock::since_boot().saturating_add(u64::try_from(after).unwrap_or(u64::MAX)))
}

/// Attaches to one more interface. It is written down first.
pub(super) fn sit_on(
    filter: &mut Filter,
    pins: &PinDir,
    records: &mut Records,
    instance: &mut Instance,
    (name, hook): (&str, Hook),
) -> Result<()> {
    let at = attach::plan(name, hook)?;
    instance.interfaces.push(at.clone());
    records.set_instance(instance)?;
    attach::attach(filter, pins, &at)
}

fn put_on_new(pins: &PinDir, what: &PutOn, before: impl FnOnce() -> Result<()>) -> Result<Placed> {
    let document = what.policy.document(None).map_err(anyhow::Error::msg)?;
    let connections = what.connections.unwrap_or(CONNECTIONS);
    let mut filter = Filter::load(&LoadOptions { connections, log_level: what.log_level, ..LoadOptions::default() })?;
    pins.create_folders()?;
    let now = clock::since_boot();
    let mut instance = Instance {
        owner: new_owner()?,
        confirm_until: confirm_until(what),
        up_at: now,
        on_since: Some(now),
        version: Some(VERSION.to_owned()),
        boot: WallClock::now().boot(),
        netns: Netns::current()?,
        interfaces: Vec::new(),
    };
    let mut records = furnish(&mut filter, pins, &instance, &document, Names::default())?;
    before()?;
    let hook = what.hook.unwrap_or_else(attach::best_hook);
    for name in &what.interfaces {
        sit_on(&mut filter, pins, &mut records, &mut instance, (name, hook))?;
    }
    Ok(Placed { filter, how: How::New, instance, document })
}

/// Fills folders of pins: maps and programs of a loaded object, the record, the first policy.
pub(super) fn furnish(
    filter: &mut Filter,
    pins: &PinDir,
    instance: &Instance,
    document: &Document,
    names: Names,
) -> Result<Records> {
    filter.pin_maps(&pins.maps())?;
    filter.pin_programs(&pins.chain(), |side| pins.program(side))?;
    let mut records = Records::create(&pins.maps())?;
    records.set_instance(instance)?;
    let mut source = Source { generation: 1, changes: Some(1), text: to_toml(document), names };
    let compiled = compile_for(instance, document, &mut source)?;
    records.set_source(&source)?;
    filter.set_policy(&compiled)?;
    Ok(records)
}
