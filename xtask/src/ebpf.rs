//! Compiles the eBPF crate with the compiler that `cargo xtask setup` chose.
//!
//! This file is shared: `cargo xtask` uses it, and so does `smtp-filter/build.rs` (by `#[path]`), so that a plain
//! `cargo build` makes the same object. It needs nothing but std and anyhow.
//!
//! Why not aya-build: it compiles once for every profile and every cargo verb, through rustup alone. Here one target
//! directory serves all of them (`target/ebpf`), and the compiler may be Debian's as well as rustup's.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The package, the binary and the object: one name.
pub const CRATE: &str = "smtp-filter-ebpf";

/// Where `cargo xtask setup` writes its choice, below the root of the workspace.
pub const CHOICE: &str = ".tools/toolchain.toml";

/// Crates that may use unstable features under a stable compiler (a nightly lets every crate).
const UNSTABLE_CRATES: &str = "aya_ebpf,smtp_filter_common,smtp_filter_ebpf";

/// What the parent cargo leaves in the environment and a cargo with another compiler must not see.
const FOREIGN: &[&str] = &[
    "CARGO",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "DEBUG",
    "HOST",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "TARGET",
    // clippy-driver's own: set by the cargo-clippy that runs build scripts.
    "CLIPPY_ARGS",
    "CLIPPY_CONF_DIR",
];

/// The compiler and linker for the eBPF crate, as `cargo xtask setup` found or installed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Where it comes from, for people: `rustup nightly`, `Debian rustc-web`.
    pub origin: String,
    /// The folder with `cargo`, `rustc` and, if installed, `cargo-clippy`.
    pub bin: PathBuf,
    /// Whether `core` is compiled from rust-src (`-Z build-std`) or lies ready for the target.
    pub build_std: bool,
    /// The major version of the compiler's LLVM, and of the linker's.
    pub llvm: u32,
    /// The BPF linker.
    pub linker: PathBuf,
}

/// What to do with the eBPF crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Compile and link the object.
    Build,
    /// Lint, warnings are errors. The eBPF crate alone: what it depends on is linted for the host, by the clippy of the
    /// compiler in use there, whose lints differ.
    Clippy,
}

impl Toolchain {
    /// Reads the choice of `cargo xtask setup`.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(CHOICE);
        let hint = "run `cargo xtask setup` first, it installs the compiler for the eBPF part";
        let text = fs::read_to_string(&path).with_context(|| format!("{}: {hint}", path.display()))?;
        Self::parse(&text, root).with_context(|| format!("{}: {hint}", path.display()))
    }

    /// Writes the choice, for [`Toolchain::read`].
    pub fn write(&self, root: &Path) -> Result<()> {
        let path = root.join(CHOICE);
        let linker = self.linker.strip_prefix(root).unwrap_or(&self.linker);
        let text = format!(
            "# What compiles the eBPF part: written by `cargo xtask setup`, read by smtp-filter/build.rs.\n\
             origin = \"{}\"\nbin = \"{}\"\nbuild_std = {}\nllvm = {}\nlinker = \"{}\"\n",
            self.origin,
            self.bin.display(),
            self.build_std,
            self.llvm,
            linker.display()
        );
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// The file is written by [`Toolchain::write`] alone: one `key = value` a line, no nesting.
    fn parse(text: &str, root: &Path) -> Result<Self> {
        let entries: BTreeMap<&str, &str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
            .collect();
        let get = |key: &str| entries.get(key).copied().with_context(|| format!("no `{key}` in it"));
        let toolchain = Self {
            origin: get("origin")?.to_owned(),
            bin: PathBuf::from(get("bin")?),
            build_std: get("build_std")?.parse().context("`build_std` is neither true nor false")?,
            llvm: get("llvm")?.parse().context("`llvm` is no number")?,
            linker: root.join(get("linker")?),
        };
        for tool in [toolchain.bin.join("cargo"), toolchain.bin.join("rustc"), toolchain.linker.clone()] {
            if !tool.is_file() {
                bail!("{} is gone", tool.display());
            }
        }
        Ok(toolchain)
    }

    /// Whether this compiler comes with clippy.
    pub fn has_clippy(&self) -> bool {
        self.bin.join("cargo-clippy").is_file() && self.bin.join("clippy-driver").is_file()
    }

    /// A cargo of this toolchain, cleared of what the surrounding cargo left in the environment.
    pub fn cargo(&self, root: &Path) -> Command {
        let mut cargo = Command::new(self.bin.join("cargo"));
        cargo.current_dir(root);
        for key in FOREIGN {
            cargo.env_remove(key);
        }
        // A build script sees the package's features, profile and target: none of it is meant for another cargo.
        for (key, _) in env::vars_os() {
            let name = key.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PROFILE_"].iter().any(|p| name.starts_with(p)) {
                cargo.env_remove(&key);
            }
        }
        // rustup's proxies must not come between: the folder itself goes first.
        let path = env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.bin.clone()).chain(env::split_paths(&path));
        cargo.env("PATH", env::join_paths(path).unwrap_or_default()).env("RUSTC", self.bin.join("rustc"));
        if !self.build_std {
            cargo.env("RUSTC_BOOTSTRAP", UNSTABLE_CRATES);
        }
        cargo
    }

    /// The command that does `verb` with the eBPF crate. It prints the compiler's errors on stderr.
    pub fn command(&self, root: &Path, target_dir: &Path, verb: Verb) -> Command {
        let mut cargo = self.cargo(root);
        cargo.args(match verb {
            Verb::Build => &["build", "--bins"][..],
            Verb::Clippy => &["clippy", "--bins", "--no-deps"],
        });
        cargo
            .args(["--release", "--locked", "--package", CRATE, "--target", bpf_target()])
            .arg("--target-dir")
            .arg(target_dir);
        if self.build_std {
            cargo.args(["-Z", "build-std=core"]);
        }
        if verb == Verb::Clippy {
            cargo.args(["--", "-D", "warnings"]);
        }
        let arch = if env::consts::ARCH.starts_with("riscv64") { "riscv64" } else { env::consts::ARCH };
        let flags = [
            format!("--cfg=bpf_target_arch=\"{arch}\""),
            // BTF function records need full debug info in every crate: the kernel refuses a subprogram without.
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
            // Copies and fills become loads and stores of words; else they are calls of functions that go byte by byte.
            "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
            // Atomics with fetch and compare-exchange, 32-bit ALU: kernel 5.12 and later.
            "-Ctarget-cpu=v3".to_owned(),
        ];
        cargo
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker)
            .env("CARGO_TARGET_BPFEB_UNKNOWN_NONE_LINKER", &self.linker)
            // The release profile of the workspace is made for the loader; bpf-linker optimises the whole program
            // itself.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
        cargo
    }
}

/// Where the linked object lies after [`Verb::Build`].
pub fn object(target_dir: &Path) -> PathBuf {
    target_dir.join(bpf_target()).join("release").join(CRATE)
}

/// The BPF target of this machine's byte order.
pub fn bpf_target() -> &'static str {
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" }
}
