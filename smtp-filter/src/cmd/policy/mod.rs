//! `smtp-filter policy show|set|load|check|profiles`

mod actions;
mod change;
mod changes;
mod check;
mod decides;
mod profiles;
mod show;

use anyhow::Result;

#[cfg(test)]
pub(super) use self::check::Refused;
use super::running;
use crate::{
    cli::{Global, Policy, PolicyVerb},
    policy::{Document, starttls_warnings},
};

/// Shows or changes the policy.
pub fn run(global: &Global, args: &Policy) -> Result<()> {
    match &args.verb {
        PolicyVerb::Show { toml, ends } => show::run(&running(global, "policy show")?, *toml, ends, global.json),
        PolicyVerb::Set { settings } => change::set(global, settings),
        PolicyVerb::Load { file } => change::load(global, file),
        PolicyVerb::Check { actions: true, file: _, ends: _ } => actions::run(global.json),
        PolicyVerb::Check { actions: false, file, ends } => check::run(file.as_deref(), ends, global.json),
        PolicyVerb::Profiles { name: None } => profiles::list(global.json),
        PolicyVerb::Profiles { name: Some(name) } => profiles::show(name, global.json),
    }
}

/// Says on the standard error what a policy does that nobody may want.
pub(super) fn warn(document: &Document) {
    for warning in starttls_warnings(document) {
        anstream::eprintln!("smtp-filter: {warning}");
    }
}
