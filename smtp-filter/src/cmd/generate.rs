//! `smtp-filter generate DIR`: man pages and completions, from the command line's own definition.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _, ValueEnum as _};
use clap_complete::{Generator as _, Shell};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{
    cli::{Cli, Generate},
    output::print,
};

const NAME: &str = "smtp-filter";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes them into two folders of the one that is named.
pub fn run(args: &Generate) -> Result<()> {
    let (man, completions) = (folder(&args.dir, "man")?, folder(&args.dir, "completions")?);
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    pages(&command, &man).with_context(|| format!("write man pages to {}", man.display()))?;
    for shell in Shell::value_variants() {
        completion(*shell, &completions)
            .with_context(|| format!("write the completion for {shell} to {}", completions.display()))?;
    }
    print(&format!("man pages are in {}, completions in {}\n", man.display(), completions.display()))
}

fn folder(dir: &Path, name: &str) -> Result<PathBuf> {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(folder)
}

fn completion(shell: Shell, folder: &Path) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut seen(&Cli::command()), NAME, &mut script);
    let mut script = String::from_utf8(script).map_err(io::Error::other)?;
    if shell == Shell::Bash {
        // clap_complete 4.6.11 parts the name at its hyphen in the labels of the cases alone, so that none is met behind
        // the first word: https://github.com/clap-rs/clap/issues/6421
        script = script.replace("smtp__subcmd__filter__subcmd__", "smtp__filter__subcmd__");
    }
    fs::write(folder.join(shell.file_name(NAME)), script)
}

/// The command without its hidden ones, which nobody types.
fn seen(command: &Command) -> Command {
    let mut seen = Command::new(NAME).version(VERSION).args(command.get_arguments().cloned());
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        seen = seen.subcommand(verb.clone());
    }
    seen
}

/// A page for a command and for each of those below it.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, folder)?;
    }
    let man = Man::new(command.clone()).source(format!("{NAME} {VERSION}")).manual(NAME);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_long_help().or(command.get_after_help()) {
        notes(&text.to_string(), &mut page)?;
    }
    fs::File::create(folder.join(man.get_filename()))?.write_all(&page)
}

/// What stands below the help, its lines as they are.
fn notes(text: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", ["EXAMPLES AND NOTES"]).control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(page)
}
