//! `cargo xtask build`: the program with its eBPF object inside, its man pages and completions beside it.

use std::process::Command;

use anyhow::Result;

use crate::{
    ebpf::{Toolchain, Verb, object},
    process::{cargo, root, run as execute, target_dir},
    setup,
};

/// Build target/release/smtp-filter, the eBPF object inside; man pages and shell completions beside it.
///
/// The same as `cargo build --release`, after what is missing of the set-up was made up for, and then `smtp-filter
/// generate`, which writes target/release/man and target/release/completions. `--ebpf` compiles the
/// eBPF part alone and prints its compiler's own errors: the fast way while working on it.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Compile the eBPF part alone
    #[arg(long)]
    pub ebpf: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    if args.ebpf {
        return ebpf();
    }
    setup::build_tools(None)?;
    execute(cargo().args(["build", "--release", "--locked", "--package", "smtp-filter"]))?;
    let release = target_dir().join("release");
    let program = release.join("smtp-filter");
    println!("build: {}", program.display());
    execute(Command::new(&program).arg("generate").arg(&release))
}

/// The eBPF part alone, into the target directory that the whole build uses too.
fn ebpf() -> Result<()> {
    let target_dir = target_dir().join("ebpf");
    execute(&mut Toolchain::read(root())?.command(root(), &target_dir, Verb::Build))?;
    println!("build: {}", object(&target_dir).display());
    Ok(())
}
