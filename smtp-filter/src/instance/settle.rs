//! What a command that was killed left half-done: finished or undone, under the lock.

use anyhow::{Context as _, Result};

use super::{compile_for, interfaces::sit_on_all, open_maps};
use crate::{
    attach::PinnedPrograms,
    pins::{DirLock, PinDir},
    policy,
    record::Records,
    tables::OtherLayout,
};

/// What there is in a folder of pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// Nothing.
    Nothing,
    /// A filter that is whole.
    Filter,
    /// A filter that another version put on.
    OtherLayout,
    /// What is left of one that was put on or taken off by half, or that nobody confirmed in time.
    Broken,
}

/// Finishes or undoes what is half-done, and says what there is then.
pub(super) fn settle(pins: &PinDir, _lock: &DirLock) -> Result<Remains> {
    if !pins.in_use() {
        return Ok(Remains::Nothing);
    }
    if pins.is_unsettled() {
        pins.create_links().and_then(|()| finish(pins)).with_context(|| {
            format!(
                "a command was killed while it took over the filter at {}, and what it left cannot be finished: \
                 `smtp-filter down` removes all of it",
                pins.path().display()
            )
        })?;
    }
    let remains = match open_maps(pins) {
        Ok((_, _, instance)) if instance.is_expired() => Remains::Broken,
        Ok(_) => Remains::Filter,
        // Without its programs it was taken off by half, and its other maps may be gone.
        Err(error) if error.is::<OtherLayout>() && pins.has_programs() => Remains::OtherLayout,
        Err(_) => Remains::Broken,
    };
    if [Remains::Filter, Remains::OtherLayout].contains(&remains) {
        pins.create_links()?;
    }
    Ok(remains)
}

fn finish(pins: &PinDir) -> Result<()> {
    // Not whole: nothing of it is at a hook.
    pins.remove_building()?;
    let next = pins.next();
    if next.path().exists() {
        if next.programs().exists() {
            let maps = if next.maps().exists() { next.maps() } else { pins.maps() };
            sit_on(pins, Records::open(&maps)?, PinnedPrograms::open(|side| next.program(side))?)?;
        }
        pins.swap()?;
    }
    let takes_over = crate::pins::Side::BOTH.map(|side| pins.next_program(side).exists());
    if takes_over == [true, true] {
        sit_on(pins, Records::open(&pins.maps())?, PinnedPrograms::open(|side| pins.next_program(side))?)?;
        renew_policy(pins)?;
    }
    match takes_over {
        // One of them was put in its place already: then both are at the hooks.
        [false, true] | [true, true] => pins.swap_programs(),
        // The second one was not pinned yet.
        [true, false] => pins.remove_next_programs(),
        // Nor the first one, or both are in their places.
        [false, false] => pins.settle_chain(),
    }
}

/// Puts the policy in force on again as the record has it: a takeover writes down first when the filter goes off
/// unconfirmed and since when its grace counts, and says it to the programs last.
fn renew_policy(pins: &PinDir) -> Result<()> {
    // A filter of another version has no policy that this one could write: it is taken over as a whole.
    let Ok((mut tables, mut records, instance)) = open_maps(pins) else { return Ok(()) };
    let Some(mut source) = records.source(tables.generation()?)? else { return Ok(()) };
    let document = policy::parse("the active policy", &source.text)?;
    source.advance(false);
    let compiled = compile_for(&instance, &document, &mut source)?;
    records.set_source(&source)?;
    tables.activate(&compiled)
}

/// Puts programs on all interfaces of an instance, in its network namespace.
fn sit_on(pins: &PinDir, mut records: Records, mut programs: PinnedPrograms) -> Result<()> {
    let Some(mut instance) = records.instance()? else { return Ok(()) };
    let netns = instance.netns;
    // With its namespace all of its interfaces are gone.
    netns.inside(|| sit_on_all(&mut programs, pins, &mut records, &mut instance).map(drop))?.unwrap_or(Ok(()))
}
