//! `cargo xtask`: everything around the code, one module a verb.

mod bench;
mod build;
mod ci;
mod demo;
mod ebpf;
mod imports;
mod process;
mod setup;
mod test;
mod times;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Everything around the code of smtp-filter: set-up, build, tests, demo, bench.
///
/// A first time: `cargo xtask setup` (installs what is missing; the only step that needs the network), then
/// `cargo xtask demo` (shows the filter at work) or `cargo xtask build` (leaves it as target/release/smtp-filter).
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(setup::Args),
    Build(build::Args),
    Demo(demo::Args),
    Test(test::Args),
    Bench(bench::Args),
    Ci(ci::Args),
    #[command(hide = true)]
    RunTestProgram(test::ProgramArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Setup(args) => setup::run(&args),
        Verb::Build(args) => build::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Ci(args) => ci::run(&args),
        Verb::RunTestProgram(args) => test::run_program(&args),
    }
}
