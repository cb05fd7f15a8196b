//! Taking a filter off, from whatever state it is in.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::{
    maps::MapData,
    programs::{
        links::{FdLink, PinnedLink},
        loaded_links, loaded_programs,
    },
};

use super::{chain_ids, program_ids, settle::settle};
use crate::{
    attach,
    pins::{DirLock, PinDir, Side, wait_for_segments},
    record::{Attached, Hook, Instance, Records},
};

/// How long the kernel is given to let go of what was taken off.
const LETTING_GO: Duration = Duration::from_secs(2);

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
    pins.require_pins()?;
    let Some(lock) = pins.lock()? else {
        return match interface {
            None => Ok(TakenOff::Nothing),
            Some(name) => bail!("no filter is on at {}, so none is on {name}", pins.path().display()),
        };
    };
    if let Some(name) = interface {
        settle(pins, &lock)?;
        if take_off_interface(pins, name)? {
            return Ok(TakenOff::Interface);
        }
    }
    remove_all(pins, &lock)?;
    Ok(TakenOff::Everything)
}

/// Takes a filter off for who has put it on; `None` where another one has taken it over since: then it stays.
pub fn take_off_own(pins: &PinDir, owner: u64) -> Result<Option<TakenOff>> {
    take_off_if(pins, |instance| instance.owner == owner)
}

/// Takes a filter off that was not confirmed in time; `None` where it was, or is another one by now.
pub fn take_off_unconfirmed(pins: &PinDir) -> Result<Option<TakenOff>> {
    take_off_if(pins, Instance::is_expired)
}

fn take_off_if(pins: &PinDir, is_meant: impl FnOnce(&Instance) -> bool) -> Result<Option<TakenOff>> {
    let Some(lock) = pins.lock()? else { return Ok(Some(TakenOff::Nothing)) };
    match Records::open(&pins.maps()).and_then(|records| records.instance()) {
        Ok(Some(instance)) if is_meant(&instance) => {}
        _ if !pins.in_use() => return Ok(Some(TakenOff::Nothing)),
        // What cannot be read is of another version, which has taken over.
        _ => return Ok(None),
    }
    remove_all(pins, &lock)?;
    Ok(Some(TakenOff::Everything))
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

/// Takes the filter off everywhere and removes every pin.
pub(super) fn remove_all(pins: &PinDir, lock: &DirLock) -> Result<()> {
    remove_by(pins, || pins.remove(lock))
}

/// The same, but the folder itself stays.
pub(super) fn clear_all(pins: &PinDir, lock: &DirLock) -> Result<()> {
    remove_by(pins, || pins.clear(lock))
}

fn remove_by(pins: &PinDir, remove: impl FnOnce() -> Result<()>) -> Result<()> {
    let at_the_hooks = Side::BOTH.map(|side| program_ids(pins, side)).concat();
    let (followers, links) = (chain_ids(pins), link_ids(pins));
    // An array of programs is emptied with its last holder. The kernel detaches a link a moment after its pin has gone:
    // until then, and for the segments on their way, the chain has to be whole, or they would be dropped.
    let chains: Vec<_> = pins.chains().iter().filter_map(|path| MapData::from_pin(path).ok()).collect();
    // Where that fails the record stays, for another try.
    detach_all(pins)?;
    remove()?;
    wait_until_gone(&links, &at_the_hooks);
    wait_for_segments();
    drop(chains);
    wait_until_gone(&[], &followers);
    Ok(())
}

fn detach_all(pins: &PinDir) -> Result<()> {
    // While another layout takes over, its record may be the only one.
    let records = [pins.maps(), pins.next().maps()].into_iter().find_map(|maps| Records::open(&maps).ok());
    // Without a record nothing has been attached yet: it is written first.
    let Some(records) = records else { return Ok(()) };
    let Some(instance) = records.instance()? else { return Ok(()) };
    let failed: Vec<anyhow::Error> =
        instance.interfaces.iter().filter_map(|at| detach_in_place(pins, &instance, at).err()).collect();
    match failed.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn link_ids(pins: &PinDir) -> Vec<u32> {
    let entries = fs::read_dir(pins.links()).into_iter().flatten().filter_map(Result::ok);
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
