//! What the tests need beyond the build: real mail software and tools that look at the wire.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{apt, say};
use crate::{
    ebpf::Toolchain,
    process::{output, root, succeeds},
};

/// Clients and network tools: they start nothing when they are installed.
/// python3 runs aiosmtpd; without libsasl2-modules Postfix as a client has no AUTH.
const PACKAGES: &[&str] = &[
    "swaks",
    "libnet-ssleay-perl",
    "openssl",
    "nftables",
    "ethtool",
    "tcpdump",
    "strace",
    "python3",
    "libsasl2-modules",
];

/// Mail software that the tests cannot do without: unpacked into `.tools/`, so that none is set up or started on the
/// user's machine.
const UNPACKED: &[&str] = &["postfix"];

/// More mail software, in the same way. Where one cannot be had, the tests that want it say so and leave it out.
const UNPACKED_WHERE_THERE: &[&str] = &["exim4-daemon-light", "opensmtpd", "python3-aiosmtpd", "msmtp", "dma"];

/// Begins the names of packages that are only there to show documentation.
const DOCUMENTATION: [&str; 3] = ["fonts-", "libjs-", "sphinx-"];

/// Installs the test tools. Returns whether anything had to be done.
pub fn install() -> Result<bool> {
    let mut did = apt::install(PACKAGES)?;
    for package in UNPACKED {
        did |= unpack(package)?;
    }
    for package in UNPACKED_WHERE_THERE {
        match unpack(package) {
            Ok(unpacked) => did |= unpacked,
            Err(error) => say(format_args!("without {package}, and the tests without it: {error:#}")),
        }
    }
    did |= clippy(&Toolchain::read(root())?)?;
    Ok(did)
}

/// The lints for the eBPF part come with its compiler; where they cannot be had, `cargo xtask ci` says so.
fn clippy(toolchain: &Toolchain) -> Result<bool> {
    if toolchain.has_clippy() {
        return Ok(false);
    }
    if !toolchain.build_std {
        return apt::install(&["rust-web-clippy"]);
    }
    // A toolchain of rustup lies in a folder of its name.
    let Some(name) = toolchain.bin.parent().and_then(|folder| folder.file_name()) else {
        return Ok(false);
    };
    let mut add = Command::new("timeout");
    add.args(["90", "rustup", "component", "add", "clippy", "--toolchain"]).arg(name);
    Ok(succeeds(&mut add))
}

/// Unpacks a package, and what it needs and is not installed, into `.tools/PACKAGE`.
fn unpack(package: &str) -> Result<bool> {
    let home = root().join(".tools").join(package);
    if home.is_dir() {
        return Ok(false);
    }
    if apt::candidate(package).is_none() {
        bail!("no repository of this system has the package {package}");
    }
    say(format_args!("unpacking {package} into .tools/{package}; it is neither set up nor started"));
    let mut names = missing_with_dependencies(package)?;
    if !names.iter().any(|name| name == package) {
        names.push(package.to_owned());
    }
    // Under another name until it is complete.
    let scratch = root().join(".tools").join(format!("{package}.part"));
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).with_context(|| format!("create {}", scratch.display()))?;
    let download = || output(Command::new("apt-get").args(["-qq", "download"]).args(&names).current_dir(&scratch));
    download().or_else(|_| apt::update().and_then(|()| download()))?;
    for entry in fs::read_dir(&scratch).with_context(|| format!("read {}", scratch.display()))? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&scratch))?;
            fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        }
    }
    // Nothing in there is to run with other rights than those of who runs it.
    output(Command::new("chmod").args(["-R", "a-s"]).arg(&scratch))?;
    fs::rename(&scratch, &home).with_context(|| format!("move {} to {}", scratch.display(), home.display()))?;
    Ok(true)
}

/// What apt-get would install for a package.
fn missing_with_dependencies(package: &str) -> Result<Vec<String>> {
    let plan = output(Command::new("apt-get").args(["install", "--simulate", "--no-install-recommends", package]))?;
    let names = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let names = names.filter(|name| !DOCUMENTATION.iter().any(|begin| name.starts_with(begin)));
    Ok(names.map(str::to_owned).collect())
}
