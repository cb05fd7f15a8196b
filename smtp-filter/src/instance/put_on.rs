//! Putting a filter on.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::take_off::remove_all;
use crate::{
    attach,
    clock::{self, WallClock},
    loader::{Filter, LoadOptions},
    netns::{self, Netns},
    pins::PinDir,
    policy::{Document, Names, compile, to_toml},
    record::{Hook, Instance, Records, Source},
};

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
