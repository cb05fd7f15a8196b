//! `smtp-filter generate DIR`: man pages and completions, from the command line's own definition.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Arg, Command, CommandFactory as _, ValueEnum as _, builder::PossibleValuesParser};
use clap_complete::{Generator as _, Shell};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{
    cli::{Cli, Generate},
    output::print,
    policy::{ByName, Document, Profile, settable},
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
    clap_complete::generate(shell, &mut seen(&with_values(Cli::command())), NAME, &mut script);
    let mut script = String::from_utf8(script).map_err(io::Error::other)?;
    match shell {
        Shell::Bash => {
            // clap_complete 4.6.11 parts the name at its hyphen in the labels of the cases alone, so that none is met
            // after the first word: https://github.com/clap-rs/clap/issues/6421
            script = script.replace("smtp__subcmd__filter__subcmd__", "smtp__filter__subcmd__");
            script = script.replace(INTERFACES, "$(command ls /sys/class/net 2>/dev/null)");
            script = script.replace("complete -F _smtp__filter ", "complete -F _smtp__filter_keys ");
            script.insert_str(0, BASH_KEYS);
        }
        Shell::Zsh => {
            script = script.replace(&format!("({INTERFACES})"), "_net_interfaces");
            let keys = keys().join(" ");
            script = script.replace(&format!(":({keys})"), &format!(":{{compadd -S \"\" -- {keys}}}"));
        }
        Shell::Fish => {
            script = script.replace(&format!("\"{INTERFACES}\\t''\""), "\"(command ls /sys/class/net)\"");
        }
        _ => {}
    }
    fs::write(folder.join(shell.file_name(NAME)), script)
}

/// Placeholder in a script for the interfaces that there are when it is run.
const INTERFACES: &str = "@INTERFACES@";

/// Bash: after a key comes its value, and no space.
const BASH_KEYS: &str = r#"_smtp__filter_keys() {
    _smtp__filter "$@"
    if [[ "${COMPREPLY[0]-}" == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}

"#;

/// What may be said where the grammar takes any word, because reading it gives a better error.
fn with_values(command: Command) -> Command {
    let one_of = |words: Vec<String>| {
        // clap keeps words for ever; this process ends soon.
        let words: Vec<&'static str> = words.into_iter().map(|word| &*word.leak()).collect();
        move |arg: Arg| arg.value_parser(PossibleValuesParser::new(words))
    };
    let profiles = || one_of(Profile::ALL.iter().map(|profile| profile.name().to_owned()).collect());
    let interfaces = || one_of(vec![INTERFACES.to_owned()]);
    command
        .mut_subcommand("up", |up| up.mut_arg("profile", profiles()).mut_arg("iface", interfaces()))
        .mut_subcommand("replay", |replay| replay.mut_arg("profile", profiles()))
        .mut_subcommand("down", |down| down.mut_arg("iface", interfaces()))
        .mut_subcommand("doctor", |doctor| doctor.mut_arg("iface", interfaces()))
        .mut_subcommand("policy", |policy| {
            policy
                .mut_subcommand("set", |set| set.mut_arg("settings", one_of(keys())))
                .mut_subcommand("profiles", |all| all.mut_arg("name", profiles()))
        })
}

/// The keys of a policy that are known beforehand, each with the `=` that follows.
fn keys() -> Vec<String> {
    let documents: Vec<Document> = Profile::ALL.iter().map(|profile| profile.document()).collect();
    let words = |section: &str, named: fn(&Document) -> &ByName| -> BTreeSet<String> {
        let named = documents.iter().flat_map(|document| named(document).named.keys().map(ToString::to_string));
        named.chain(["other".to_owned()]).map(|word| format!("{section}.{}=", word.to_ascii_lowercase())).collect()
    };
    ["profile".to_owned()]
        .into_iter()
        .chain(settable())
        .map(|key| format!("{key}="))
        .chain(words("commands", |document| &document.commands))
        .chain(words("extensions", |document| &document.extensions))
        .collect()
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

/// What follows the help, its lines as they are.
fn notes(text: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", ["EXAMPLES AND NOTES"]).control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy;

    #[test]
    fn every_key_that_is_offered_is_one() {
        let document = Profile::default().document();
        for key in keys() {
            let refused = policy::set(&document, &[format!("{key}@")]).unwrap_err();
            let about = key.trim_end_matches('=').rsplit_once('.').map_or(key.as_str(), |(_, key)| key);
            assert!(!refused.contains("unknown key"), "{about}: {refused}");
        }
        assert!(policy::set(&document, &["no_such_key=@"]).unwrap_err().contains("unknown key"));
    }
}
