//! `cargo xtask build`: the program with its eBPF object inside.

use std::process::Command;

use anyhow::Result;

use crate::{
    ebpf::{Toolchain, Verb, object},
    process::{cargo, root, run as execute, target_dir},
    setup,
};

/// Build target/release/smtp-filter, the eBPF object inside.
///
/// The same as `cargo build --release`, after what is missing of the set-up was made up for. `--ebpf` compiles the
/// eBPF part alone and prints its compiler's own errors: the fast way while working on it.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Compile the log statements of the eBPF part in (slower; for looking into one packet)
    #[arg(long)]
    pub debug_log: bool,
    /// Compile the eBPF part alone
    #[arg(long)]
    pub ebpf: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    if args.ebpf {
        return ebpf(args.debug_log);
    }
    setup::build_tools(None)?;
    execute(&mut release(args.debug_log))?;
    println!("build: {}", target_dir().join("release/smtp-filter").display());
    Ok(())
}

/// The release build of the program.
fn release(debug_log: bool) -> Command {
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--locked", "--package", "smtp-filter"]);
    if debug_log {
        cargo.env(crate::ebpf::DEBUG_LOG, "1");
    }
    cargo
}

/// The eBPF part alone, into the target directory that the whole build uses too.
fn ebpf(debug_log: bool) -> Result<()> {
    let target_dir = target_dir().join("ebpf");
    execute(&mut Toolchain::read(root())?.command(root(), &target_dir, Verb::Build, debug_log))?;
    println!("build: {}", object(&target_dir).display());
    Ok(())
}
