//! The verbs, one a file.

mod confirm;
mod connections;
mod doctor;
mod down;
mod events;
mod expire;
mod generate;
mod guardian;
mod policy;
mod replay;
#[cfg(test)]
mod schemas;
mod stats;
mod stats_watch;
mod status;
mod up;

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

use crate::{
    cli::{Cli, Global, Usage, Verb},
    instance::{Running, Wanted},
    netns,
    policy::{self as policies, Document, Profile},
    system,
};

/// Does what the command line says.
pub fn run(cli: &Cli) -> Result<()> {
    let Cli { global, verb } = cli;
    match verb {
        Verb::Up(args) => up::run(global, args),
        Verb::Confirm(_) => confirm::run(global),
        Verb::Down(args) => down::run(global, args),
        Verb::Status(_) => status::run(global),
        Verb::Policy(args) => policy::run(global, args),
        Verb::Events(args) => events::run(global, args),
        Verb::Stats(args) => stats::run(global, args),
        Verb::Connections(args) => connections::run(global, args),
        Verb::Replay(args) => replay::run(global, args),
        Verb::Doctor(args) => doctor::run(global, args),
        Verb::Generate(args) => generate::run(args),
        Verb::Expire(args) => expire::run(global, args.owner),
    }
}

/// What comes before everything that asks the kernel; `what` is the command. No other thread may have been started
/// yet: threads are born in the network namespace of the one that starts them.
fn begin(global: &Global, what: &str) -> Result<()> {
    system::require_privileges(what)?;
    match &global.netns {
        Some(name) => netns::enter(name),
        None => Ok(()),
    }
}

/// The policy that the arguments of `what` ask for.
fn wanted(what: &str, file: Option<&Path>, profile: Option<&str>, ports: &[u16]) -> Result<Wanted> {
    let document = match (file, profile) {
        (Some(file), _) => Some(policies::load(file)?),
        (None, Some(name)) => {
            let base = Profile::default().document();
            let document = policies::set(&base, &[format!("profile={name}")]);
            Some(document.map_err(|message| Usage(format!("{what}: {message}")))?)
        }
        (None, None) => None,
    };
    let wanted = Wanted { document, ports: ports.to_vec() };
    // Wrong ports are wrong with every policy.
    wanted.document(None).map_err(|message| Usage(format!("{what}: {message}")))?;
    Ok(wanted)
}

/// The same, where nothing runs whose policy could be kept.
fn asked(what: &str, file: Option<&Path>, profile: Option<&str>, ports: &[u16]) -> Result<Document> {
    let wanted = wanted(what, file, profile, ports)?;
    Ok(wanted.document(None).map_err(|message| Usage(format!("{what}: {message}")))?)
}

/// The filter that is on.
fn running(global: &Global, what: &str) -> Result<Running> {
    begin(global, what)?;
    Running::open(&global.pins())
}

/// One thread for everything that waits.
fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("start the runtime")
}
