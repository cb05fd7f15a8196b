//! The verbs, one a file.

mod down;
mod events;
mod policy;
mod stats;
mod status;
mod up;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

use crate::{
    cli::{Cli, Global, Verb},
    instance::Running,
    netns, system,
};

/// Does what the command line says.
pub fn run(cli: &Cli) -> Result<()> {
    let Cli { global, verb } = cli;
    match verb {
        Verb::Up(args) => up::run(global, args),
        Verb::Down(args) => down::run(global, args),
        Verb::Status => status::run(global),
        Verb::Policy(args) => policy::run(global, args),
        Verb::Events(args) => events::run(global, args),
        Verb::Stats(args) => stats::run(global, args),
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

/// The filter that is on.
fn running(global: &Global, what: &str) -> Result<Running> {
    begin(global, what)?;
    Running::open(&global.pins())
}

/// One thread for everything that waits.
fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("start the runtime")
}
