//! A filter that outlasts its loader: put on, found again by its pins, changed, taken off.

mod put_on;
mod running;
mod take_off;

use aya::programs::ProgramInfo;

pub use self::{
    put_on::{PutOn, put_on},
    running::{Change, InterfaceState, Running},
    take_off::{TakenOff, take_off},
};
use crate::pins::PinDir;

/// The number of a pinned program.
fn program_id(pins: &PinDir, name: &str) -> Option<u32> {
    ProgramInfo::from_pin(pins.programs().join(name)).ok().map(|info| info.id())
}
