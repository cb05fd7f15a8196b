//! Man pages and completions, as `smtp-filter generate` writes them: whole, without a complaint of their readers, and
//! a shell completes by them. Needs no root.

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::need;

const PROGRAM: &str = env!("CARGO_BIN_EXE_smtp-filter");

/// What is written, which goes away with it.
struct Written(PathBuf);

impl Written {
    fn new(name: &str) -> Result<Self> {
        let dir = env::temp_dir().join(format!("smtpf-{}-generate-{name}", std::process::id()));
        let said = output(Command::new(PROGRAM).arg("generate").arg(&dir))?;
        ensure!(said.contains("man pages are in") && said.lines().count() == 1, "{said}");
        Ok(Self(dir))
    }

    fn page(&self, name: &str) -> Result<String> {
        let path = self.0.join("man").join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.env_remove("SMTP_FILTER_PIN_DIR").stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The commands below one, as its help lists them.
fn verbs(words: &[&str]) -> Result<Vec<String>> {
    let help = output(Command::new(PROGRAM).args(words).arg("--help"))?;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // What stands further in goes on with the line above.
    let listed = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let named = listed.filter_map(|line| line.split_whitespace().next());
    Ok(named.filter(|verb| *verb != "help").map(str::to_owned).collect())
}

#[test]
fn every_command_has_a_page_with_all_its_options() -> Result<()> {
    let written = Written::new("pages")?;
    let mut expected = BTreeSet::from(["smtp-filter.1".to_owned()]);
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    for verb in verbs(&[])? {
        let below = if verb == "policy" { verbs(&["policy"])? } else { Vec::new() };
        commands.extend(below.into_iter().map(|below| vec![verb.clone(), below]));
        commands.push(vec![verb]);
    }
    ensure!(commands.len() > 12, "{commands:?}");
    for words in &commands {
        let name = format!("{}.1", [&["smtp-filter".to_owned()], words.as_slice()].concat().join("-"));
        let page = written.page(&name)?;
        let help = output(Command::new(PROGRAM).args(words).arg("--help"))?;
        for option in help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
            let option = option.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let option = option.split(['=', ']']).next().unwrap_or_default();
            ensure!(page.contains(&option.replace('-', "\\-")), "{name} says nothing of {option}");
        }
        // Examples keep their lines.
        let examples = help.lines().skip_while(|line| *line != "Examples:").take_while(|line| !line.is_empty());
        for line in examples.filter(|line| line.starts_with("  smtp-filter")) {
            let line = line.replace('\\', "\\\\").replace('-', "\\-").replace('\'', "\\*(Aq");
            ensure!(page.lines().any(|found| found == line), "{name} lacks {line:?}");
        }
        expected.insert(name);
    }
    let found: BTreeSet<String> = fs::read_dir(written.0.join("man"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    assert_eq!(found, expected, "no page of a hidden command");
    Ok(())
}

#[test(man)]
fn man_has_nothing_to_complain_of() -> Result<()> {
    let written = Written::new("man")?;
    for page in fs::read_dir(written.0.join("man"))? {
        let page = page?.path();
        let mut man = Command::new("man");
        man.args(["--warnings", "-l"]).arg(&page).env("MANPAGER", "cat").env("LC_ALL", "C.UTF-8");
        let shown = man.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&shown.stderr).into_owned();
        ensure!(shown.status.success() && said.is_empty(), "{}: {said}", page.display());
        ensure!(String::from_utf8_lossy(&shown.stdout).contains("SYNOPSIS"), "{}", page.display());
    }
    Ok(())
}

/// What bash offers for these words, the last of which is being typed.
fn completed(script: &Path, words: &[&str]) -> Result<BTreeSet<String>> {
    let last = words.len() - 1;
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let commands = format!(
        "source '{}'; f=$(complete -p smtp-filter); f=${{f#*-F }}; f=${{f%% *}}; COMP_WORDS=({}); COMP_CWORD={last}; $f \
         smtp-filter '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        quoted.join(" "),
        words[last],
        words[last - 1],
    );
    let said = output(Command::new("bash").args(["--norc", "-c", &commands]))?;
    Ok(said.lines().map(str::to_owned).collect())
}

#[test(bash)]
fn bash_completes_what_is_typed() -> Result<()> {
    let written = Written::new("bash")?;
    let script = written.0.join("completions/smtp-filter.bash");
    output(Command::new("bash").arg("-n").arg(&script))?;
    let set = |words: &[&str]| words.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(completed(&script, &["smtp-filter", "po"])?, set(&["policy"]));
    assert_eq!(completed(&script, &["smtp-filter", "policy", "s"])?, set(&["set", "show"]));
    assert_eq!(completed(&script, &["smtp-filter", "up", "--det"])?, set(&["--detach"]));
    assert_eq!(completed(&script, &["smtp-filter", "up", "--hook", ""])?, set(&["auto", "tcx", "clsact"]));
    let profiles = set(&["monitor", "mark-esmtp", "drop-esmtp", "helo-only", "pix-mailguard", "asa-esmtp", "hardened"]);
    for words in [["up", "--profile", ""], ["replay", "--profile", ""], ["policy", "profiles", ""]] {
        ensure!(
            completed(&script, &[&["smtp-filter"], words.as_slice()].concat())?.is_superset(&profiles),
            "{words:?}"
        );
    }
    for verb in ["up", "down", "doctor"] {
        ensure!(completed(&script, &["smtp-filter", verb, "--iface", "l"])?.contains("lo"), "{verb}");
    }
    let keys = |typed| completed(&script, &["smtp-filter", "policy", "set", "mode=enforce", typed]);
    assert_eq!(keys("commands.eh")?, set(&["commands.ehlo="]));
    assert_eq!(
        keys("guards.unknown_connection.")?,
        set(&["guards.unknown_connection.action=", "guards.unknown_connection.grace=",])
    );
    ensure!(keys("extensions.")?.contains("extensions.starttls=") && keys("mo")?.contains("mode="));
    let all = completed(&script, &["smtp-filter", ""])?;
    for verb in verbs(&[])? {
        ensure!(all.contains(&verb), "{verb}: {all:?}");
    }
    ensure!(!all.contains("generate") && !all.contains("expire"), "hidden: {all:?}");
    Ok(())
}

/// What zsh offers at a terminal for what is typed: `script` plays the terminal, and a widget of a test's own writes
/// down what would be inserted or listed.
fn completed_by_zsh(folder: &Path, typed: &str) -> Result<String> {
    let commands = format!(
        "fpath=('{}' $fpath); autoload -U compinit; compinit -u -D; zmodload zsh/zutil; zstyle ':completion:*' list-max 0; \
         compadd() {{ local -a found; builtin compadd -O found \"$@\"; print -l -- $found >>'{}'; builtin compadd \"$@\" }}; \
         LISTMAX=0; bindkey '^I' complete-word",
        folder.display(),
        folder.join("offered").display()
    );
    let offered = folder.join("offered");
    fs::write(&offered, "")?;
    fs::write(folder.join(".zshrc"), commands)?;
    let mut zsh = Command::new("script");
    zsh.args(["--quiet", "--return", "--command", "stty cols 200; exec zsh -i", "/dev/null"]);
    zsh.env("ZDOTDIR", folder).env("TERM", "dumb").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut zsh = zsh.spawn()?;
    let mut keys = zsh.stdin.take().context("a terminal")?;
    std::thread::sleep(Duration::from_millis(1500));
    keys.write_all(typed.as_bytes())?;
    keys.write_all(b"\t")?;
    std::thread::sleep(Duration::from_millis(1500));
    // With its terminal the shell ends.
    zsh.kill()?;
    zsh.wait()?;
    Ok(fs::read_to_string(&offered)?)
}

#[test(zsh, script)]
fn zsh_completes_what_is_typed() -> Result<()> {
    let written = Written::new("zsh")?;
    let folder = written.0.join("completions");
    for (typed, offers) in [
        ("smtp-filter up --profile ", "pix-mailguard\n"),
        ("smtp-filter up --iface ", "lo\n"),
        ("smtp-filter policy set mode=enforce commands.eh", "commands.ehlo=\n"),
    ] {
        let offered = completed_by_zsh(&folder, typed)?;
        ensure!(offered.contains(offers), "{typed}: {offered}");
    }
    Ok(())
}

#[test]
fn other_shells_read_theirs_without_complaint() -> Result<()> {
    let written = Written::new("shells")?;
    for (shell, file) in [("zsh", "_smtp-filter"), ("fish", "smtp-filter.fish")] {
        let file = written.0.join("completions").join(file);
        let text = fs::read_to_string(&file)?;
        ensure!(text.contains("doctor") && !text.contains("@INTERFACES@"), "{}", file.display());
        match need::program(shell) {
            Ok(()) => drop(output(Command::new(shell).arg("-n").arg(&file))?),
            Err(missing) => need::left_out(missing),
        }
    }
    Ok(())
}
