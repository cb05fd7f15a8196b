//! `smtp-filter down`

use anyhow::Result;
use serde_json::json;

use super::begin;
use crate::{
    cli::{Down, Global},
    instance::{TakenOff, take_off},
    output::{print, print_json},
};

/// Takes the filter off.
pub fn run(global: &Global, args: &Down) -> Result<()> {
    begin(global, "down")?;
    let pins = global.pins();
    let taken_off = take_off(&pins, args.iface.as_deref())?;
    if global.json {
        let (interface, everything) = (taken_off == TakenOff::Interface, taken_off == TakenOff::Everything);
        return print_json(&json!({ "v": 1, "taken_off": interface || everything, "left": interface }));
    }
    let (place, interface) = (pins.path().display(), args.iface.as_deref().unwrap_or_default());
    match taken_off {
        TakenOff::Nothing => print(&format!("no filter is on at {place}: there is nothing to take off\n")),
        TakenOff::Interface => print(&format!("the filter is off {interface} and stays on elsewhere\n")),
        TakenOff::Everything => print(&format!("the filter at {place} is off, nothing is left\n")),
    }
}
