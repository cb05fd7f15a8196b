//! `cargo xtask ci`: what must hold before a change lands.

use anyhow::Result;

use crate::{
    ebpf::{CRATE, Toolchain, Verb},
    imports,
    process::{cargo, root, run as execute, target_dir},
    setup, test,
    times::Times,
};

/// Check the formatting, lint everything and make the documentation (warnings are errors), run all tests.
///
/// What .ci/run runs. Needs no terminal. At the end it says how long each step and each test program took.
#[derive(clap::Args)]
pub struct Args {
    /// Leave the tests out
    #[arg(long)]
    no_tests: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    let mut times = Times::default();
    let result = steps(args, &mut times);
    println!("\nci: how long it took\n{times}");
    result
}

fn steps(args: &Args, times: &mut Times) -> Result<()> {
    times.measure("set-up", || setup::run(&setup::Args { tests: true, compiler: None }))?;
    step("formatting", times, || execute(cargo().args(["fmt", "--all", "--check"])))?;
    step("lints of the loader, the datapath and the tools", times, || {
        let lint = ["clippy", "--locked", "--workspace", "--exclude", CRATE, "--all-targets", "--", "-D", "warnings"];
        execute(cargo().args(lint))
    })?;
    lint_ebpf(times)?;
    step("imports of the datapath", times, || imports::check(&root().join("smtp-filter-common/src")))?;
    step("documentation", times, document)?;
    if args.no_tests {
        return Ok(());
    }
    println!("ci: tests");
    // What else fails is worth knowing, too.
    test::tests(&["--no-fail-fast".to_owned()], times)
}

/// Lints the eBPF part for the target it is made for, with the clippy of the compiler that builds it: only there is
/// the code of the `bpf` architecture seen at all, and only that clippy can read that compiler's `core`. Both compilers
/// have one (rustup's component, Debian's rust-web-clippy). Where it is missing all the same, the clippy at hand reads
/// the crate for this machine, which leaves out what is under `cfg(target_arch = "bpf")`.
fn lint_ebpf(times: &mut Times) -> Result<()> {
    let toolchain = Toolchain::read(root())?;
    if toolchain.has_clippy() {
        return step(&format!("lints of the eBPF part, by {}", toolchain.origin), times, || {
            execute(&mut toolchain.command(root(), &target_dir().join("ebpf"), Verb::Clippy))
        });
    }
    step("lints of the eBPF part, as if it were for this machine: its compiler has no clippy here", times, || {
        execute(cargo().args(["clippy", "--locked", "--package", CRATE, "--", "-D", "warnings"]))
    })
}

/// Makes the documentation, the eBPF part's by itself: with the others' features it would have two panic handlers.
fn document() -> Result<()> {
    let document = |packages: &[&str]| {
        let words = ["doc", "--locked", "--no-deps"].iter().chain(packages);
        execute(cargo().args(words).env("RUSTDOCFLAGS", "-D warnings"))
    };
    document(&["--workspace", "--exclude", CRATE])?;
    document(&["--package", CRATE])
}

fn step<T>(what: &str, times: &mut Times, work: impl FnOnce() -> T) -> T {
    println!("ci: {what}");
    times.measure(what, work)
}
