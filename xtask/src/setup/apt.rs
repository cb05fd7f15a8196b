//! Packages of Debian and Ubuntu.

use std::{process::Command, sync::Once};

use anyhow::{Context as _, Result};

use super::{by_hand, say};
use crate::process::{as_root, find, is_root, output};

/// Whether this system's packages can be installed.
pub fn is_there() -> bool {
    find("apt-get").is_some()
}

/// Which of the packages are not installed.
pub fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    packages.iter().copied().filter(|package| !is_installed(package)).collect()
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]);
    output(&mut query).is_ok_and(|status| status == "installed")
}

/// The version of a package that could be installed, if its repository is known here.
pub fn candidate(package: &str) -> Option<String> {
    let ask = || {
        let policy = output(Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C")).ok()?;
        let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
        (version != "(none)").then(|| version.to_owned())
    };
    ask().or_else(|| {
        // Lists that are old or absent, as in a fresh container.
        update().ok()?;
        ask()
    })
}

/// Installs what is missing of the packages, without what they merely recommend. Returns whether anything was.
pub fn install(packages: &[&str]) -> Result<bool> {
    if !is_there() {
        by_hand(&packages.join(", "))?;
    }
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(false);
    }
    for package in &missing {
        candidate(package).with_context(|| format!("no repository of this system has the package {package}"))?;
    }
    say(format_args!("apt-get install {}", missing.join(" ")));
    let install = || {
        let mut apt = apt_get();
        apt.args(["install", "--yes", "--no-install-recommends"]).args(&missing);
        output(&mut apt)
    };
    // A list that is older than the archive names files that are gone.
    install().or_else(|_| update().and_then(|()| install()))?;
    Ok(true)
}

/// Refreshes the package lists, once in a run.
pub fn update() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        say("apt-get update");
        result = output(apt_get().arg("update")).map(drop);
    });
    result
}

/// apt-get that asks nothing and waits for another one to end.
fn apt_get() -> Command {
    let mut command = as_root("env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]);
    if !is_root() {
        // sudo may have to ask for the password.
        command.stdin(std::process::Stdio::inherit());
    }
    command
}
