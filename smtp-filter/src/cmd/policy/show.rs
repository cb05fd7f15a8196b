//! `smtp-filter policy show`

use anyhow::Result;

use super::decides;
use crate::{
    cli::Ends,
    instance::Running,
    output::{print, print_json},
    policy::{Mode, to_text, to_toml},
};

/// Prints the policy in force.
pub fn run(running: &Running, toml: bool, ends: &Ends, json: bool) -> Result<()> {
    let (document, generation) = running.in_force()?;
    if ends.are_given() {
        return decides::print_policy(&document, ends, toml, json);
    }
    if json {
        return print_json(&document);
    }
    if toml {
        return print(&to_toml(&document));
    }
    let remark = match document.values.mode() {
        Mode::Enforce => "",
        Mode::Monitor => "; mode monitor: actions are reported, not carried out",
    };
    print(&format!("# generation {generation}{remark}\n{}", to_text(&document)))
}
