//! `cargo xtask test`: all tests, those with real packets among them.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{
    build,
    process::{cargo, is_root, output, run as execute, target_dir},
    setup,
};

/// Dialogues of the long run.
const LONG: u64 = 100_000_000;

/// Run all tests: units, properties, fixtures in the kernel, networks of namespaces with real mail software.
///
/// Makes up for what is missing of the set-up and builds the release first, for that is what the tests with real
/// packets drive. The tests themselves are compiled with overflow checks. They need root and take sudo where they are
/// not run by root.
#[derive(clap::Args, Default)]
#[command(after_help = "Examples:
  cargo xtask test                                  everything
  cargo xtask test -p smtp-filter-common            one package
  cargo xtask test --long                           a hundred million dialogues of the generator of attacks
  cargo xtask test --test network_rules -- --nocapture ehlo what the words say, with their output")]
pub struct Args {
    /// Run the generator of attacks alone, with 100,000,000 dialogues (docs/security.md); takes about an hour
    #[arg(long, conflicts_with = "words")]
    pub long: bool,

    /// Words for `cargo test`, instead of the whole workspace
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CARGO TEST ARGUMENTS")]
    pub words: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    if args.long {
        return long();
    }
    setup::run(&setup::Args { tests: true, compiler: None })?;
    build::run(&build::Args::default())?;
    let mut cargo = cargo();
    cargo.args(["test", "--locked"]);
    if !args.words.iter().any(|word| word.starts_with("-p") || word.starts_with("--package")) {
        // The eBPF crate has no host to be tested on: its tests load it into the kernel from smtp-filter/tests.
        cargo.args(["--workspace", "--exclude", crate::ebpf::CRATE]);
    }
    cargo.args(&args.words).env("SMTP_FILTER_BIN", target_dir().join("release/smtp-filter"));
    if !is_root() {
        println!("test: the tests load programs into the kernel and make networks: they run through sudo");
        cargo.env(runner_variable()?, "sudo -E");
    }
    execute(&mut cargo)
}

/// The generator alone, as long as nobody waits for it. It needs neither root nor the kernel.
fn long() -> Result<()> {
    let mut cargo = cargo();
    cargo.args(["test", "--locked", "-p", "smtp-filter-common", "--test", "attacker", "--", "--nocapture"]);
    // What the caller has set counts.
    if std::env::var_os("ATTACKER_RUNS").is_none() {
        cargo.env("ATTACKER_RUNS", LONG.to_string());
    }
    execute(&mut cargo)
}

/// The variable by which cargo learns how to start a test program on this machine.
pub fn runner_variable() -> Result<String> {
    let verbose = output(Command::new("rustc").arg("-vV"))?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_")))
}
