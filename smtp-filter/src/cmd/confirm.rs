//! `smtp-filter confirm`

use anyhow::Result;
use serde_json::json;

use super::running;
use crate::{
    cli::Global,
    instance::Confirmed,
    output::{print, print_json},
};

/// Says that the filter is to stay on.
pub fn run(global: &Global) -> Result<()> {
    let confirmed = running(global, "confirm")?.confirm()?;
    if global.json {
        return print_json(&json!({ "v": 1, "confirmed": confirmed == Confirmed::Now }));
    }
    let place = global.pin_dir.display();
    match confirmed {
        Confirmed::Now => print(&format!("confirmed: the filter at {place} stays on\n")),
        Confirmed::Already => print(&format!("the filter at {place} stays on: nothing waited for a confirmation\n")),
    }
}
