//! Taking over a filter that is on: the programs at the hooks are exchanged one by one, each at once, so that no
//! segment goes unjudged.
//!
//! Where the layout of what is pinned is this program's, its programs go on with the same maps: connections, counters
//! and readers of events are not touched. Where it is another one, everything is made anew beside it; connections are
//! unknown then, with the grace that they have after `up`.

use anyhow::{Context as _, Result, bail};

use super::{
    compile_for,
    interfaces::{Found, find_again, sit_on_all},
    open_maps,
    put_on::{How, Placed, PutOn, VERSION, confirm_until, furnish, new_owner, sit_on},
};
use crate::{
    attach::{self, PinnedPrograms},
    clock::{self, WallClock},
    loader::{Filter, LoadOptions},
    netns::{self, Netns},
    pins::PinDir,
    policy::{self, Names, to_toml},
    record::{Attached, Hook, Instance, Records, Source},
    tables::Tables,
};

/// Takes over a filter of this layout.
pub(super) fn take_over(pins: &PinDir, what: &PutOn, before: impl FnOnce() -> Result<()>) -> Result<Placed> {
    let (tables, mut records, old) = open_maps(pins)?;
    let mut source = records.source(tables.generation()?)?.context("the source of the filter's policy is not there")?;
    let kept = policy::parse("the active policy", &source.text)?;
    let document = what.policy.document(Some(kept.clone())).map_err(anyhow::Error::msg)?;
    let (_, connections) = tables.live()?;
    if what.connections.is_some_and(|wanted| wanted != connections) {
        bail!(
            "the filter at {} has room for {connections} connections, and that cannot be changed while it is on: leave \
             --connections out, or take it off first",
            pins.path().display()
        );
    }
    let mut instance = settled_here(&old, pins)?;
    let new = new_interfaces(&instance, what)?;
    instance.owner = new_owner()?;
    instance.version = Some(VERSION.to_owned());
    instance.on_since = Some(old.since());
    instance.confirm_until = confirm_until(what);
    if !new.is_empty() {
        // Connections over them are older than the filter.
        instance.up_at = clock::since_boot();
    }
    let load =
        LoadOptions { connections, log_level: what.log_level, adopt: Some(pins.maps()), ..LoadOptions::default() };
    let mut filter = Filter::load(&load)?;
    source.advance(document != kept);
    source.text = to_toml(&document);
    let compiled = compile_for(&instance, &document, &mut source)?;

    let exchange = || -> Result<()> {
        records.set_source(&source)?;
        filter.pin_programs(&pins.next_chain(), |side| pins.next_program(side))?;
        records.set_instance(&instance)?;
        before()?;
        sit_on_all(&mut filter, pins, &mut records, &mut instance)?;
        for (name, hook) in &new {
            sit_on(&mut filter, pins, &mut records, &mut instance, (name, *hook))?;
        }
        filter.set_policy(&compiled)
    };
    let exchanged = exchange();
    if let Err(error) = exchanged {
        go_back(pins, &mut records, old, &instance);
        return Err(error);
    }
    // From here on there is no way back: what fails, the next command finishes.
    pins.swap_programs()?;
    Ok(Placed { filter, how: How::TookOver, instance, document })
}

/// Takes over a filter that another version put on.
pub(super) fn take_over_other(pins: &PinDir, what: &PutOn, before: impl FnOnce() -> Result<()>) -> Result<Placed> {
    let (old, source) = read_other(pins)?;
    let running =
        match (&what.policy.document, source) {
            (None, Some(source)) => Some(policy::parse("its policy", &source.text).context(
                "the policy of the other version that is on cannot be kept: give one by --profile or --policy",
            )?),
            _ => None,
        };
    let document = what.policy.document(running).map_err(anyhow::Error::msg)?;
    let mut instance = settled_here(&old, pins)?;
    let new = new_interfaces(&instance, what)?;
    instance.owner = new_owner()?;
    instance.version = Some(VERSION.to_owned());
    instance.confirm_until = confirm_until(what);
    instance.up_at = clock::since_boot();
    // Counters begin anew.
    instance.on_since = Some(instance.up_at);
    instance.boot = WallClock::now().boot();
    let connections = what.connections.unwrap_or(smtp_filter_common::bounds::CONNECTIONS);
    let mut filter = Filter::load(&LoadOptions { connections, log_level: what.log_level, ..LoadOptions::default() })?;
    let mut build = || -> Result<Records> {
        let building = pins.create_building()?;
        let records = furnish(&mut filter, &building, &instance, &document, Names::default())?;
        pins.building_is_whole()?;
        Ok(records)
    };
    let mut records = match build() {
        Ok(records) => records,
        Err(error) => {
            log_failure(pins.remove_building());
            return Err(error);
        }
    };
    if let Err(error) = sit_on_all(&mut filter, pins, &mut records, &mut instance) {
        log_failure(sit_as_before(pins, &mut records, &old));
        log_failure(pins.remove_next());
        return Err(error);
    }
    // From here on there is no way back, and none is needed: the filter is on.
    pins.swap()?;
    before()?;
    for (name, hook) in &new {
        sit_on(&mut filter, pins, &mut records, &mut instance, (name, *hook))?;
    }
    Ok(Placed { filter, how: How::TookOverOther, instance, document })
}

/// What can be read of a filter that another version put on: its interfaces and its policy.
fn read_other(pins: &PinDir) -> Result<(Instance, Option<Source>)> {
    let read = || -> Result<(Instance, Option<Source>)> {
        let records = Records::open(&pins.maps())?;
        let instance = records.instance()?.context("its record has not been written")?;
        let source = records.source(Tables::generation_of_other(&pins.maps())?)?;
        Ok((instance, source))
    };
    read().with_context(|| {
        format!(
            "another version of smtp-filter put the filter on at {}, and this one cannot read what it wrote down: \
             `smtp-filter down` takes it off",
            pins.path().display()
        )
    })
}

/// The instance in the calling thread's network namespace.
fn settled_here(old: &Instance, pins: &PinDir) -> Result<Instance> {
    let mut instance = old.clone();
    let here = Netns::current()?;
    if old.netns != here {
        if old.netns.inside(|| ())?.is_some() {
            bail!(
                "the filter at {} is in another network namespace: work there with --netns, or take another --pin-dir \
                 for a filter here",
                pins.path().display()
            );
        }
        // Its interfaces went with it.
        for at in &old.interfaces {
            attach::forget(pins, at)?;
        }
        instance.netns = here;
        instance.interfaces.clear();
    }
    Ok(instance)
}

/// Interfaces that are asked for and that the filter is not on yet.
fn new_interfaces(instance: &Instance, what: &PutOn) -> Result<Vec<(String, Hook)>> {
    let mut new = Vec::new();
    for name in &what.interfaces {
        let index = netns::interface_index(name)?;
        let on = |at: &&Attached| match find_again(at) {
            Found::There => at.ifindex == index,
            Found::Back => at.name == *name,
            Found::Gone => false,
        };
        match instance.interfaces.iter().find(on) {
            None => new.push((name.clone(), what.hook.unwrap_or_else(attach::best_hook))),
            Some(at) => {
                if what.hook.is_some_and(|hook| hook != at.hook) {
                    bail!(
                        "the filter is on {name} by {}, and that cannot be changed while it is on: leave --hook out, or \
                         take it off {name} first",
                        at.hook.name()
                    );
                }
            }
        }
    }
    Ok(new)
}

/// Undoes a takeover that failed: the old programs at all hooks, nothing at the new interfaces.
fn go_back(pins: &PinDir, records: &mut Records, old: Instance, begun: &Instance) {
    for at in begun.interfaces.iter().filter(|at| !old.interfaces.contains(at)) {
        log_failure(attach::detach(pins, at));
    }
    log_failure(sit_as_before(pins, records, &old));
    log_failure(records.set_instance(&old));
    log_failure(pins.remove_next_programs());
}

fn sit_as_before(pins: &PinDir, records: &mut Records, old: &Instance) -> Result<()> {
    let mut programs = PinnedPrograms::open(|side| pins.program(side))?;
    sit_on_all(&mut programs, pins, records, &mut old.clone()).map(drop)
}

/// One error is said already; what fails while it is undone is said beside it.
fn log_failure(result: Result<()>) {
    if let Err(error) = result {
        log::error!("{error:#}");
    }
}
