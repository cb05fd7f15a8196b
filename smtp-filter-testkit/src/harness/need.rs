//! What a test may need of the machine. The attribute `test` names these; a test that finds out later says [`skip`].

use std::{
    fmt,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::{folders, unpacked};

/// Whether something is there; an error of [`Skip`] where it is not.
pub type Need = fn() -> Result<()>;

/// Why a test is not run. It counts neither as passed nor as failed.
#[derive(Clone, Debug)]
pub struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends a test that cannot be run here: `return skip("there is no zsh")`.
pub fn skip<T>(why: impl Into<String>) -> Result<T> {
    bail!(Skip(why.into()))
}

/// The right to load programs and to make network namespaces.
pub fn root() -> Result<()> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { skip("it needs root, as `cargo xtask test` has it") }
}

/// `strace`, which kills a program at a system call.
pub fn strace() -> Result<()> {
    program("strace")
}

/// `man`, which reads manual pages.
pub fn man() -> Result<()> {
    program("man")
}

/// `bash` with its completions.
pub fn bash() -> Result<()> {
    program("bash")
}

/// `zsh` with its completions.
pub fn zsh() -> Result<()> {
    program("zsh")
}

/// `script`, which gives a program a terminal.
pub fn script() -> Result<()> {
    program("script")
}

/// The folder of real captures beside the workspace.
pub fn captures() -> Result<()> {
    let folder = folders::captures();
    if folder.is_dir() { Ok(()) } else { skip(format!("there are no captures in {}", folder.display())) }
}

/// A program on the search path that knows `--version`.
pub fn program(name: &str) -> Result<()> {
    let mut asked = Command::new(name);
    asked.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if asked.status().is_ok() { Ok(()) } else { skip(format!("there is no {name}")) }
}

/// A package that `cargo xtask setup --tests` unpacks.
pub fn package(name: &str) -> Result<()> {
    if unpacked(name).is_dir() { Ok(()) } else { skip(format!("`cargo xtask setup --tests` could not have {name}")) }
}

/// Says that a part of a test is left out. The rest of it counts.
pub fn left_out(what: impl fmt::Display) {
    eprintln!("LEFT OUT: {what}");
}
