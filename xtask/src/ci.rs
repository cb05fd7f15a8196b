//! `cargo xtask ci`: what must hold before a change lands.

use anyhow::Result;

use crate::{
    ebpf::{CRATE, Toolchain, Verb},
    process::{cargo, root, run as execute, target_dir},
    setup, test,
};

/// Check the formatting, lint everything and make the documentation (warnings are errors), run all tests.
///
/// What .ci/run runs. Needs no terminal.
#[derive(clap::Args)]
pub struct Args {
    /// Leave the tests out
    #[arg(long)]
    no_tests: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    setup::run(&setup::Args { tests: true, compiler: None })?;
    step("formatting");
    execute(cargo().args(["fmt", "--all", "--check"]))?;
    step("lints of the loader, the datapath and the tools");
    let lint = ["clippy", "--locked", "--workspace", "--exclude", CRATE, "--all-targets", "--", "-D", "warnings"];
    execute(cargo().args(lint))?;
    lint_ebpf()?;
    document()?;
    if args.no_tests {
        return Ok(());
    }
    step("tests");
    // What else fails is worth knowing, too.
    test::run(&test::Args { words: vec!["--no-fail-fast".to_owned()], long: false })
}

/// Lints the eBPF part for the target it is made for, with the clippy of the compiler that builds it: only there is
/// the code of the `bpf` architecture seen at all, and only that clippy can read that compiler's `core`. Both compilers
/// have one (rustup's component, Debian's rust-web-clippy). Where it is missing all the same, the clippy at hand reads
/// the crate for this machine, which leaves out what is under `cfg(target_arch = "bpf")`.
fn lint_ebpf() -> Result<()> {
    let toolchain = Toolchain::read(root())?;
    if toolchain.has_clippy() {
        step(format_args!("lints of the eBPF part, by {}", toolchain.origin));
        return execute(&mut toolchain.command(root(), &target_dir().join("ebpf"), Verb::Clippy));
    }
    step("lints of the eBPF part, as if it were for this machine: its compiler has no clippy here");
    execute(cargo().args(["clippy", "--locked", "--package", CRATE, "--", "-D", "warnings"]))
}

/// Makes the documentation, the eBPF part's by itself: with the others' features it would have two panic handlers.
fn document() -> Result<()> {
    step("documentation");
    let document = |packages: &[&str]| {
        let words = ["doc", "--locked", "--no-deps"].iter().chain(packages);
        execute(cargo().args(words).env("RUSTDOCFLAGS", "-D warnings"))
    };
    document(&["--workspace", "--exclude", CRATE])?;
    document(&["--package", CRATE])
}

fn step(what: impl std::fmt::Display) {
    println!("ci: {what}");
}
