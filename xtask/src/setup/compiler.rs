//! The choice of the compiler for the eBPF part, and the linker that goes with it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{apt, by_hand, say, within};
use crate::{
    ebpf::Toolchain,
    process::{cargo, find, output, root},
};

/// The linker; its `--locked` dependencies make it reproducible.
const LINKER_VERSION: &str = "0.13.0";

/// The LLVM versions that this linker can be built with. The compiler's must be the same one.
const LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// Installed where nothing else can be had: the LLVM of this one is packaged widely.
const DATED_NIGHTLY: &str = "nightly-2026-05-19";

/// Debian's compiler with a ready-made `core` for BPF. It does without nightly and rust-src.
const DEBIAN: &[&str] = &["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// The compilers that can be had for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compiler {
    /// rustup's nightly, which compiles `core` from the component rust-src
    Nightly,
    /// Debian's packages rustc-web, cargo-web and libstd-rust-web-dev-bpf
    Debian,
}

impl Compiler {
    /// Whether an earlier set-up chose this one.
    pub fn made(self, toolchain: &Toolchain) -> bool {
        toolchain.build_std == (self == Self::Nightly)
    }
}

/// A compiler that is there, still without its linker.
struct Found {
    origin: String,
    bin: PathBuf,
    build_std: bool,
    llvm: u32,
}

/// A way to a compiler.
struct Way {
    compiler: Compiler,
    name: &'static str,
    find: fn() -> Result<Found>,
}

/// In the order in which they are tried. A nightly that is there costs nothing; Debian's packages take seconds; the
/// dated nightly serves systems that have neither.
const WAYS: &[Way] = &[
    Way { compiler: Compiler::Nightly, name: "rustup's nightly", find: || nightly("nightly") },
    Way { compiler: Compiler::Debian, name: "Debian's rustc-web", find: debian },
    Way { compiler: Compiler::Nightly, name: DATED_NIGHTLY, find: dated_nightly },
];

/// Finds or installs a compiler and its linker.
pub fn choose(wanted: Option<Compiler>) -> Result<Toolchain> {
    let mut why_not = Vec::new();
    for Way { compiler, name, find } in WAYS {
        if wanted.is_some_and(|wanted| wanted != *compiler) {
            continue;
        }
        match find().and_then(with_linker) {
            Ok(toolchain) => {
                say(format_args!("chose {} for the eBPF part", toolchain.origin));
                return Ok(toolchain);
            }
            Err(error) => {
                say(format_args!("{name} cannot be used: {error:#}"));
                why_not.push(format!("{name}: {error:#}"));
            }
        }
    }
    if !apt::is_there() {
        by_hand(
            "rustup's nightly with the component rust-src (`rustup toolchain install nightly --component rust-src`), \
             LLVM of the same major version as `rustc +nightly -vV` says, with headers, and bpf-linker \
             (`LLVM_PREFIX=… cargo install bpf-linker --no-default-features --features llvm-NN`)",
        )?;
    }
    bail!("no compiler for BPF can be had here: {}", why_not.join("; "))
}

/// A nightly that is installed; rust-src is added where it is not there and can be had.
fn nightly(name: &str) -> Result<Found> {
    if find("rustup").is_none() {
        bail!("rustup is not installed");
    }
    let which = |tool: &str| -> Result<PathBuf> {
        let mut which = Command::new("rustup");
        which.args(["which", "--toolchain", name, tool]).env("RUSTUP_AUTO_INSTALL", "0");
        match output(&mut which) {
            Ok(path) => Ok(PathBuf::from(path.trim())),
            Err(_) => bail!("it is not installed"),
        }
    };
    let rustc = which("rustc")?;
    let sysroot = output(Command::new(&rustc).args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    if !library.is_file() {
        say(format_args!("rustup component add rust-src --toolchain {name}"));
        within(90, "rustup", &["component", "add", "rust-src", "--toolchain", name])
            .context("its component rust-src cannot be had")?;
    }
    let bin = which("cargo")?.parent().context("cargo lies in a folder")?.to_owned();
    Ok(Found { origin: format!("rustup's {name}"), llvm: llvm_of(&rustc)?, bin, build_std: true })
}

/// A nightly known to fit, installed beside the user's own.
fn dated_nightly() -> Result<Found> {
    if find("rustup").is_none() {
        bail!("rustup is not installed");
    }
    say(format_args!("rustup toolchain install {DATED_NIGHTLY}"));
    let components = ["--profile", "minimal", "--component", "rust-src", "--component", "clippy"];
    within(600, "rustup", &[&["toolchain", "install", DATED_NIGHTLY][..], &components].concat())
        .context("it cannot be had")?;
    nightly(DATED_NIGHTLY)
}

/// Debian's own compiler.
fn debian() -> Result<Found> {
    if !apt::is_there() {
        bail!("this system has no apt-get");
    }
    let missing = apt::missing(DEBIAN);
    if let Some(package) = missing.iter().find(|package| apt::candidate(package).is_none()) {
        bail!("no repository of this system has {package}");
    }
    // The packages exclude one another; replacing the user's rustup would be a bad turn.
    if !missing.is_empty() && apt::missing(&["rustup"]).is_empty() {
        bail!("it would replace the installed package rustup");
    }
    apt::install(DEBIAN)?;
    let bin = PathBuf::from("/usr/bin");
    Ok(Found { origin: "Debian's rustc-web".to_owned(), llvm: llvm_of(&bin.join("rustc"))?, bin, build_std: false })
}

/// The major version of a compiler's LLVM.
fn llvm_of(rustc: &Path) -> Result<u32> {
    let verbose = output(Command::new(rustc).arg("-vV"))?;
    let version = verbose.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let major = version.and_then(|version| version.split('.').next()).and_then(|major| major.parse().ok());
    major.with_context(|| format!("{} does not say which LLVM it has", rustc.display()))
}

/// Adds the linker for the compiler's LLVM.
fn with_linker(found: Found) -> Result<Toolchain> {
    let Found { origin, bin, build_std, llvm } = found;
    Ok(Toolchain { origin, bin, build_std, llvm, linker: linker(llvm)? })
}

/// bpf-linker, built into `.tools/` against the LLVM that the compiler has.
fn linker(llvm: u32) -> Result<PathBuf> {
    let home = root().join(format!(".tools/llvm-{llvm}"));
    let linker = home.join("bin/bpf-linker");
    if output(Command::new(&linker).arg("--version")).is_ok_and(|version| version.trim().ends_with(LINKER_VERSION)) {
        return Ok(linker);
    }
    if !LINKER_LLVM.contains(&llvm) {
        bail!("its LLVM {llvm} is not one that bpf-linker {LINKER_VERSION} knows ({LINKER_LLVM:?})");
    }
    let prefix = match std::env::var_os("LLVM_PREFIX") {
        Some(prefix) => PathBuf::from(prefix),
        None if apt::is_there() => {
            let package = format!("llvm-{llvm}-dev");
            if apt::candidate(&package).is_none() {
                bail!("no repository of this system has {package} (apt.llvm.org offers it for most releases)");
            }
            // The linker is a C++ program at heart: g++ brings the library it is linked with.
            apt::install(&[&package, "g++"])?;
            PathBuf::from(format!("/usr/lib/llvm-{llvm}"))
        }
        // A system that this does not know: the user's own linker will do.
        None => return find("bpf-linker").context("bpf-linker is not installed"),
    };
    say(format_args!("building bpf-linker {LINKER_VERSION} for LLVM {llvm} into .tools/ (takes about a minute)"));
    let mut install = cargo();
    install
        .args(["install", "--quiet", "--locked", "--no-default-features", "--features", &format!("llvm-{llvm}")])
        .args(["--version", LINKER_VERSION, "bpf-linker", "--root"])
        .arg(&home)
        .env("LLVM_PREFIX", prefix);
    output(&mut install).context("bpf-linker cannot be built")?;
    Ok(linker)
}
