//! `cargo xtask setup`: installs what is missing, and nothing twice.

mod apt;
mod compiler;
mod tests;

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{
    ebpf::Toolchain,
    process::{self, cargo, find, output, root, succeeds},
};

pub use compiler::Compiler;

/// Install what the build needs: a compiler for BPF, its linker, the sources of all crates, iproute2, curl.
///
/// Needs the network once; no later step does. Uses apt-get on Debian and Ubuntu (through sudo where it is not run by
/// root), says what it does and which compiler it chose. Done twice, it does nothing. The linker and the choice go into
/// .tools/ of this checkout; the user's own cargo and rustup folders gain at most the component rust-src.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Also what the tests need: swaks, nftables, ethtool, tcpdump, strace, and mail software unpacked into .tools/
    #[arg(long)]
    pub tests: bool,
    /// Take this compiler for the eBPF part instead of the first that can be had
    #[arg(long, value_enum)]
    pub compiler: Option<Compiler>,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    let mut did = build_tools(args.compiler)? | demo_tools()?;
    if args.tests {
        did |= tests::install()?;
    }
    let toolchain = Toolchain::read(root())?;
    let verdict = if did { "done" } else { "nothing to do" };
    println!("setup: {verdict}; the eBPF part is compiled by {} (LLVM {})", toolchain.origin, toolchain.llvm);
    Ok(())
}

/// Says what is about to be done.
fn say(what: impl std::fmt::Display) {
    println!("setup: {what}");
}

/// What the demo needs besides the program. Returns whether anything had to be done.
pub fn demo_tools() -> Result<bool> {
    let mut did = false;
    for (program, package, what) in
        [("ip", "iproute2", "which makes the demo's network"), ("curl", "curl", "which sends mail in the demo")]
    {
        if find(program).is_none() {
            say(format_args!("installing {package}, {what}"));
            did |= apt::install(&[package])?;
        }
    }
    Ok(did)
}

/// What the build needs. Returns whether anything had to be done.
pub fn build_tools(wanted: Option<Compiler>) -> Result<bool> {
    let mut did = false;
    let toolchain = match Toolchain::read(root()) {
        Ok(toolchain) if wanted.is_none_or(|wanted| wanted.made(&toolchain)) => toolchain,
        _ => {
            did = true;
            let toolchain = compiler::choose(wanted)?;
            toolchain.write(root())?;
            toolchain
        }
    };
    Ok(did | fetch(&toolchain)?)
}

/// Fetches the crates, so that no later step needs the network.
fn fetch(toolchain: &Toolchain) -> Result<bool> {
    let workspace = || {
        let mut cargo = cargo();
        cargo.args(["fetch", "--locked", "--quiet"]);
        cargo
    };
    // With build-std the standard library has crates of its own to fetch.
    let library = || -> Option<Command> {
        toolchain.build_std.then(|| {
            let mut cargo = toolchain.cargo(root());
            cargo.args(["fetch", "--locked", "--quiet", "-Z", "build-std=core", "--target", crate::ebpf::bpf_target()]);
            cargo
        })
    };
    let offline = |command: &mut Command| succeeds(command.arg("--offline"));
    if offline(&mut workspace()) && library().is_none_or(|mut library| offline(&mut library)) {
        return Ok(false);
    }
    say("fetching the sources of all crates");
    output(&mut workspace()).context("fetch the crates of the workspace (is there a network?)")?;
    if let Some(mut library) = library() {
        output(&mut library).context("fetch the crates of the standard library (is there a network?)")?;
    }
    Ok(true)
}

/// The message for a system without apt-get.
fn by_hand(what: &str) -> Result<()> {
    bail!(
        "this system has no apt-get, so install by hand: {what}; then run `cargo xtask setup` again \
         (it works by itself on Debian 12 and later and on Ubuntu)"
    )
}

/// Runs a step that may take the network's time, with a limit, quietly.
fn within(seconds: u32, program: &str, args: &[&str]) -> Result<()> {
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg(seconds.to_string()).arg(program).args(args);
    process::output(&mut command).map(drop)
}
