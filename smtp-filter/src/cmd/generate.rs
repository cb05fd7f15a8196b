//! `smtp-filter generate DIR`: man pages and completions, from the command line's own definition.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, ValueEnum as _};
use clap_complete::Shell;

use crate::{
    cli::{Cli, Generate},
    output::print,
};

const NAME: &str = "smtp-filter";

/// Writes them into two folders of the one that is named.
pub fn run(args: &Generate) -> Result<()> {
    let (man, completions) = (folder(&args.dir, "man")?, folder(&args.dir, "completions")?);
    clap_mangen::generate_to(Cli::command(), &man).with_context(|| format!("write man pages to {}", man.display()))?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut Cli::command(), NAME, &completions)
            .with_context(|| format!("write the completion for {shell} to {}", completions.display()))?;
    }
    print(&format!("man pages are in {}, completions in {}\n", man.display(), completions.display()))
}

fn folder(dir: &Path, name: &str) -> Result<PathBuf> {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(folder)
}
