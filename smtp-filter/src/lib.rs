//! Loader and command line of smtp-filter.
//!
//! [`main`] is the command line. The rest is for tests and tools that want the filter without it: [`loader::Filter`]
//! loads the programs, [`policy`] makes a policy, [`events`] reads what the filter says.

mod attach;
mod bpffs;
mod cli;
pub mod clock;
mod cmd;
pub mod events;
pub mod instance;
pub mod loader;
mod logging;
pub mod netns;
mod output;
pub mod pins;
mod pod;
pub mod policy;
mod readable;
pub mod record;
pub mod replay;
mod signals;
mod system;
pub mod tables;

use std::{io, process::ExitCode};

use clap::Parser as _;

pub use crate::attach::best_hook;

/// Exit code for wrong usage.
const USAGE: u8 = 2;

/// The command line: reads the arguments, does what they say, returns the exit code.
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    logging::init(cli.global.verbose);
    match cmd::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ");
            anstream::eprintln!("smtp-filter: {line}");
            if error.is::<cli::Usage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Whoever read the output has gone: `smtp-filter events | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
