//! A filter that outlasts its loader: put on, taken over, found again by its pins, changed, confirmed, taken off.
//!
//! A command that changes something holds the lock on the folder of pins. What a command that was killed left
//! half-done, the next one finishes or undoes (`settle`) before it does anything else.

mod held;
mod interfaces;
mod put_on;
mod running;
mod settle;
mod take_off;
mod take_over;

use aya::{
    maps::{Array, Map, MapData},
    programs::ProgramInfo,
};
use smtp_filter_common::abi;

pub use self::{
    held::{Held, Restored},
    interfaces::{Found, find_again},
    put_on::{How, Placed, PutOn, Wanted, put_on},
    running::{Change, Confirmed, InterfaceState, Running},
    take_off::{TakenOff, take_off, take_off_own, take_off_unconfirmed},
};
use crate::{
    pins::{PinDir, Side},
    policy::{CompileError, Compiled, Document, compile},
    record::{Instance, Source},
    tables::Tables,
};

/// Numbers of the programs that may be at the hooks of a side: those that are pinned.
fn program_ids(pins: &PinDir, side: Side) -> Vec<u32> {
    let paths = [pins.program(side), pins.next_program(side), pins.next().program(side)];
    paths.iter().filter_map(|path| ProgramInfo::from_pin(path).ok()).map(|info| info.id()).collect()
}

/// Numbers of the programs that follow those at the hooks.
fn chain_ids(pins: &PinDir) -> Vec<u32> {
    // A look into the array says them; aya's own type for it gives none.
    let ids = |path: &std::path::PathBuf| -> Option<Vec<u32>> {
        let chain: Array<_, u32> = Map::Array(MapData::from_pin(path).ok()?).try_into().ok()?;
        Some((0..abi::STEPS.len() as u32).filter_map(|place| chain.get(&place, 0).ok()).collect())
    };
    pins.chains().iter().filter_map(ids).flatten().collect()
}

/// Compiles a policy for an instance: its grace period, and when it goes off unconfirmed, are part of it.
fn compile_for(instance: &Instance, document: &Document, source: &mut Source) -> Result<Compiled, CompileError> {
    let mut compiled = compile(document, &mut source.names, source.generation, instance.up_at)?;
    compiled.set_off_at(instance.confirm_until.unwrap_or(0));
    Ok(compiled)
}

/// Maps of a folder of pins that are whole: opened, with the record of what is attached.
type Opened = (Tables, crate::record::Records, Instance);

/// Opens the maps of a folder of pins.
fn open_maps(pins: &PinDir) -> anyhow::Result<Opened> {
    use anyhow::Context as _;
    let tables = Tables::open(&pins.maps())?;
    let records = crate::record::Records::open(&pins.maps())?;
    let instance = records.instance()?.context("its record has not been written")?;
    Ok((tables, records, instance))
}
