//! `cargo xtask test`: all tests, those with real packets among them.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    build,
    process::{as_root, cargo, is_root, output, run as execute, target_dir},
    setup,
    times::{Folder, Times},
};

/// Dialogues of the long run.
const LONG: u64 = 100_000_000;

/// Run all tests: units, properties, fixtures in the kernel, networks of namespaces with real mail software.
///
/// Makes up for what is missing of the set-up and builds the release first, for that is what the tests with real
/// packets drive. The tests themselves are compiled with overflow checks. They need root and take sudo where they are
/// not run by root. At the end it says how long each test program took, and which tests took longest.
#[derive(clap::Args, Default)]
#[command(after_help = "Examples:
  cargo xtask test                                  everything
  cargo xtask test -p smtp-filter-common            one package
  cargo xtask test --long                           a hundred million dialogues of the generator of attacks
  cargo xtask test --test network -- rules::ehlo    what the words say")]
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
    let mut times = Times::default();
    let result = tests(&args.words, &mut times);
    println!("\ntest: how long it took\n{times}");
    result
}

/// Builds and runs the tests. The times are there whatever becomes of them.
pub fn tests(words: &[String], times: &mut Times) -> Result<()> {
    times.measure("set-up", || setup::run(&setup::Args { tests: true, compiler: None }))?;
    times.measure("release build", || build::run(&build::Args::default()))?;
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    if !words.iter().any(|word| word.starts_with("-p") || word.starts_with("--package")) {
        // The eBPF crate has no host to be tested on: its tests load it into the kernel from smtp-filter/tests.
        words.splice(0..0, ["--workspace", "--exclude", crate::ebpf::CRATE]);
    }
    let cargo_words = words.iter().position(|word| *word == "--").map_or(&words[..], |at| &words[..at]);
    let command = || {
        let mut cargo = cargo();
        cargo.args(["test", "--locked"]);
        cargo
    };
    times.measure("compiling the tests", || execute(command().args(cargo_words).arg("--no-run")))?;
    let folder = Folder::new()?;
    let mut cargo = command();
    cargo.args(["--config", &runner()?]).args(words).envs([folder.variable()]);
    let result = execute(cargo.env("SMTP_FILTER_BIN", target_dir().join("release/smtp-filter")));
    let (programs, longest) = folder.read()?;
    times.extend(programs);
    println!("\ntest: the tests that took longest, some of them at the same time\n{longest}");
    result
}

/// Run one test program, as root, and note how long it takes: what `cargo test` is told to start.
#[derive(clap::Args)]
pub struct ProgramArgs {
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs the hidden verb.
pub fn run_program(args: &ProgramArgs) -> Result<()> {
    let status = Folder::run(&args.program, |(variable, file)| {
        let mut command = if is_root() { Command::new(&args.program) } else { as_root("-E") };
        if !is_root() {
            command.arg(&args.program);
        }
        command.args(&args.words).env(variable, file).status()
    })?;
    if !status.context("start the test program")?.success() {
        bail!("{} failed", args.program.display());
    }
    Ok(())
}

/// The setting by which cargo starts each test program through this one.
fn runner() -> Result<String> {
    let this = std::env::current_exe().context("where this program lies")?;
    Ok(format!("target.{}.runner=[{:?}, \"run-test-program\"]", host()?, this.display().to_string()))
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

/// What rustc calls this machine.
fn host() -> Result<String> {
    let verbose = output(Command::new("rustc").arg("-vV"))?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(host.to_owned())
}

/// The variable by which cargo learns how to start a program on this machine.
pub fn runner_variable() -> Result<String> {
    Ok(format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace('-', "_")))
}
