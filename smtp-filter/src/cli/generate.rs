//! `smtp-filter generate`, which nobody sees in the help

use std::path::PathBuf;

use clap::Args;

/// Write man pages and shell completions
///
/// DIR/man gets a page for each command, DIR/completions a file for each shell.
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Generate {
    /// Folder to write to; created if it does not exist
    pub dir: PathBuf,
}
