//! Where things lie.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Real captures, where somebody has laid them beside the workspace.
pub fn captures() -> PathBuf {
    workspace().join("../shared/pcaps")
}

/// The program under test: the release where `cargo xtask test` names it, else the one that cargo has built for this
/// test program.
pub fn program() -> PathBuf {
    let beside = || env::current_exe().unwrap_or_default().ancestors().nth(2).map(|folder| folder.join("smtp-filter"));
    env::var_os("SMTP_FILTER_BIN").map(PathBuf::from).or_else(beside).unwrap_or_default()
}
