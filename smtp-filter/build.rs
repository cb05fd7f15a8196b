//! Compiles the eBPF object and leaves it as `$OUT_DIR/smtp-filter-ebpf`, where the loader includes it.
//!
//! `SMTP_FILTER_SKIP_EBPF=1` leaves an empty file instead: for documentation and for machines without the compiler.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};

#[path = "../xtask/src/ebpf.rs"]
#[allow(dead_code, reason = "shared with xtask, which uses the rest")]
mod ebpf;

/// What the object is made of, below the root of the workspace.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "smtp-filter-common/Cargo.toml",
    "smtp-filter-common/src",
    "smtp-filter-ebpf/Cargo.toml",
    "smtp-filter-ebpf/src",
    "xtask/src/ebpf.rs",
    ebpf::CHOICE,
];

const SKIP: &str = "SMTP_FILTER_SKIP_EBPF";

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate lies in a workspace")?;
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is set by cargo")?);
    let object = out_dir.join(ebpf::CRATE);

    if is_set(SKIP) {
        println!("cargo::warning={SKIP} is set: the program is built without its eBPF object and cannot filter");
        return fs::write(&object, []).with_context(|| format!("write {}", object.display()));
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }

    let target_dir = target_dir(&out_dir).join("ebpf");
    compile(root, &target_dir)?;
    let built = ebpf::object(&target_dir);
    fs::copy(&built, &object).with_context(|| format!("copy {} to {}", built.display(), object.display()))?;
    Ok(())
}

/// A switch in the environment; cargo runs this again when it changes.
fn is_set(variable: &str) -> bool {
    println!("cargo::rerun-if-env-changed={variable}");
    env::var_os(variable).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

/// The target directory of the surrounding build: one object for all its profiles and verbs.
fn target_dir(out_dir: &Path) -> PathBuf {
    out_dir.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).unwrap_or(out_dir).to_owned()
}

/// Runs the compiler. Cargo shows what a build script says where it fails, and its warnings where it does not.
fn compile(root: &Path, target_dir: &Path) -> Result<()> {
    let toolchain = ebpf::Toolchain::read(root)?;
    let mut cargo = toolchain.command(root, target_dir, ebpf::Verb::Build);
    let output = cargo.arg("--quiet").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {}", cargo.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("{said}");
        bail!("the eBPF part does not compile ({}); `cargo xtask build --ebpf` shows the same", output.status);
    }
    for line in said.lines() {
        println!("cargo::warning={line}");
    }
    Ok(())
}
