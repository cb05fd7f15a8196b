//! Loader and command line of smtp-filter.
//!
//! [`main`] is the command line. The rest is for tests and tools that want the filter without it: [`loader::Filter`]
//! loads the programs, [`policy`] makes a policy, [`events`] reads what the filter says.

mod cli;
pub mod clock;
mod cmd;
mod doctor;
pub mod events;
mod files;
pub mod instance;
pub mod kernel;
pub mod live;
mod logging;
mod output;
pub mod policy;
mod prefixes;
mod readable;
pub mod replay;
mod screen;
mod signals;
mod system;
mod text;

use std::{io, process::ExitCode};

use clap::Parser as _;

// Its parts by their short names, here and for tests and tools.
pub use crate::kernel::{attach::best_hook, loader, netns, pins, record, tables};
use crate::{
    kernel::{attach, bpffs, pod},
    text::one_line,
};

/// Exit code for wrong usage.
const USAGE: u8 = 2;

/// The command line: reads the arguments, does what they say, returns the exit code.
pub fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_words(&error),
    };
    logging::init(cli.global.verbose);
    match cmd::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("smtp-filter: {}", one_line(&format!("{error:#}")));
            if error.is::<cli::Usage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Says what is wrong with the arguments, in one line like every error; or prints the help that they ask for.
fn wrong_words(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(USAGE);
    }
    anstream::eprintln!("smtp-filter: {}", cli::wrong_usage(error));
    ExitCode::from(USAGE)
}

/// The reader of the output has gone: `smtp-filter events | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
