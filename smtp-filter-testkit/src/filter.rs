//! The program under test, on a gateway of a test network.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    cleanup::{self, Leftover},
    namespace::Namespace,
    process::{Running, line},
};

/// An smtp-filter with a pin directory of its own, for the interfaces of one namespace. On drop it is taken off, and
/// the pin directory goes away.
#[derive(Debug)]
pub struct Filter {
    binary: PathBuf,
    namespace: String,
    pin_dir: PathBuf,
}

impl Filter {
    /// The program at `binary`, for interfaces of `namespace`. Nothing runs yet.
    pub fn new(binary: impl Into<PathBuf>, namespace: &Namespace) -> Result<Self> {
        Self::at(binary, namespace, cleanup::unique_pin_dir())
    }

    /// The same, with its pins in a folder that the caller has chosen.
    pub fn at(binary: impl Into<PathBuf>, namespace: &Namespace, pin_dir: PathBuf) -> Result<Self> {
        let filter = Self { binary: binary.into(), namespace: namespace.name().to_owned(), pin_dir };
        if !filter.binary.is_file() {
            bail!("{} is not there: run `cargo xtask build`", filter.binary.display());
        }
        cleanup::add(filter.leftover());
        Ok(filter)
    }

    /// The release program that `cargo xtask test` names in `SMTP_FILTER_BIN`.
    pub fn from_env(namespace: &Namespace) -> Result<Self> {
        let binary = env::var_os("SMTP_FILTER_BIN").context("SMTP_FILTER_BIN is not set: run `cargo xtask test`")?;
        Self::new(binary, namespace)
    }

    /// Where its pins lie.
    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    fn leftover(&self) -> Leftover {
        Leftover::Folder(self.pin_dir.clone())
    }

    /// A command of the program, for this pin directory: `&["policy", "show"]`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).arg("--pin-dir").arg(&self.pin_dir);
        command
    }

    /// Loads the filter and leaves it on: `&["--iface", "inside"]` and what else `up` takes.
    pub fn up(&self, words: &[&str]) -> Result<String> {
        self.succeed(&[&["up", "--detach", "--netns", &self.namespace], words].concat())
    }

    /// Takes the filter off.
    pub fn down(&self) -> Result<String> {
        self.succeed(&["down"])
    }

    /// Sets keys of the policy: `&["mode=enforce", "commands.ehlo=drop"]`.
    pub fn set(&self, settings: &[&str]) -> Result<String> {
        self.succeed(&[&["policy", "set"], settings].concat())
    }

    /// Runs a command and returns how it ended and what it said.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.command(words);
        command.output().with_context(|| format!("run `{}`", line(&command)))
    }

    /// Runs a command that must end well, and returns what it said on stdout.
    pub fn succeed(&self, words: &[&str]) -> Result<String> {
        crate::process::output(&mut self.command(words))
    }

    /// Runs a command with `--json` and returns the object.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let text = self.succeed(&[words, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("`{} --json` did not print JSON: {text}", words.join(" ")))
    }

    /// Starts a reader of the events, one JSON object a line.
    pub fn events(&self) -> Result<Running> {
        Running::spawn(&mut self.command(&["events", "--json"]))
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        if self.pin_dir.exists() {
            let _ = self.down();
        }
        if let Err(error) = cleanup::remove(&self.leftover()) {
            eprintln!("testkit: {error:#}");
        }
    }
}
