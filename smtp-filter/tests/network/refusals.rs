//! Every error that a user can make: what is said, in one line, and the exit code; and that nothing changes.
//!
//! A table for each kind of error. `{dir}` stands for the folder with the bad files, `{ns}` for the network namespace
//! with the interfaces `one` and `two`, `{pins}` for the pin directory of the filter there.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat};
use serde_json::Value;
use smtp_filter_testkit::{
    Filter, Namespace, device_of_kind,
    folders::program,
    lab::{copy_program, filter},
};

/// Nobody: a user without any privilege.
const NOBODY: u32 = 65534;
/// When a command that hangs is ended. It decides nothing else.
const LONG: Duration = Duration::from_secs(60);
/// GRE with its own header (linux/if_arp.h), which the datapath does not read.
const ARPHRD_IPGRE: u16 = 778;

const FAILED: i32 = 1;
const USAGE: i32 = 2;
/// What comes after every complaint about the words themselves.
const HELP: &str = "; `smtp-filter --help` says what there is";

/// A folder of bad files, which goes away with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        // Two tests may use the same name at the same time.
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("smtpf-{}-{number}-{name}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<()> {
        Ok(fs::write(self.0.join(name), content)?)
    }

    fn fifo(&self, name: &str) -> Result<()> {
        Ok(mknodat(CWD, self.0.join(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A capture without frames: pcap of Ethernet, in this machine's byte order or not.
fn empty_capture() -> Vec<u8> {
    let mut header = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    header.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.extend(65_535_u32.to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header
}

/// Runs a command to its end and returns its exit code, what it printed, and what it said. One that hangs is an error.
fn run(command: &mut Command, input: &[u8]) -> Result<(i32, String, String)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("the standard input")?;
    // Whoever reads nothing of it is right.
    let _ = stdin.write_all(input);
    drop(stdin);
    let deadline = Instant::now() + LONG;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("it hangs: {command:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output()?;
    let code = output.status.code().context("it ends by itself")?;
    Ok((code, String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

/// The words are refused with this code and this one line, and nothing is printed.
fn refused(command: &mut Command, code: i32, message: &str) -> Result<()> {
    let (found, out, said) = run(command, b"")?;
    let expected = format!("smtp-filter: {message}\n");
    ensure!(said == expected, "{command:?}\n  says     {said:?}\n  expected {expected:?}");
    ensure!(found == code, "{command:?} ends with {found} instead of {code}");
    ensure!(out.is_empty(), "{command:?} prints {out:?}");
    ensure!(!said.trim_end_matches('\n').contains(|c: char| c.is_control()), "harmless to a terminal: {said:?}");
    Ok(())
}

/// Every failure of a table, not only the first.
fn all(failures: Vec<String>) -> Result<()> {
    ensure!(failures.is_empty(), "{} of the table do not hold:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

#[test]
fn wrong_words_are_wrong_usage() -> Result<()> {
    let cases: &[(&[&str], &str)] = &[
        (&["frob"], "unrecognized subcommand 'frob'"),
        (&[""], "unrecognized subcommand ''"),
        (&["b\u{7}ll"], "unrecognized subcommand 'bll'"),
        (&["evens"], "unrecognized subcommand 'evens'; a similar subcommand exists: 'events'"),
        (&["help", "frob"], "unrecognized subcommand 'frob'"),
        (&["--frob"], "unexpected argument '--frob' found"),
        (&["-q"], "unexpected argument '-q' found"),
        (&["status", "--json=1"], "unexpected value '1' for '--json' found; no more were expected"),
        (&["status", "--pin-dir"], "a value is required for '--pin-dir <DIR>' but none was supplied"),
        (&["status", "--pin-dir", ""], "a value is required for '--pin-dir <DIR>' but none was supplied"),
        (&["status", "--netns"], "a value is required for '--netns <NAME>' but none was supplied"),
        (&["status", "eth0"], "unexpected argument 'eth0' found"),
        (&["up"], "the following required arguments were not provided: --iface <IF>"),
        (&["up", "eth0"], "unexpected argument 'eth0' found"),
        (&["up", "--iface"], "a value is required for '--iface <IF>' but none was supplied"),
        (&["up", "--iface", "lo", "--port"], "a value is required for '--port <N>' but none was supplied"),
        (
            &["up", "--iface", "lo", "--port", "65536"],
            "invalid value '65536' for '--port <N>': 65536 is not in 0..=65535",
        ),
        (
            &["up", "--iface", "lo", "--port", "smtp"],
            "invalid value 'smtp' for '--port <N>': invalid digit found in string",
        ),
        (&["up", "--iface", "lo", "--port", "-1"], "unexpected argument '-1' found"),
        (
            &["up", "--iface", "lo", "--connections", "15"],
            "invalid value '15' for '--connections <N>': 15 is not in 16..=16777216",
        ),
        (
            &["up", "--iface", "lo", "--connections", "1e6"],
            "invalid value '1e6' for '--connections <N>': invalid digit found in string",
        ),
        (
            &["up", "--iface", "lo", "--hook", "xdp"],
            "invalid value 'xdp' for '--hook <HOOK>' [possible values: auto, tcx, clsact]",
        ),
        (
            &["up", "--iface", "lo", "--profile", "monitor", "--policy", "p.toml"],
            "the argument '--profile <NAME>' cannot be used with '--policy <FILE>'",
        ),
        (
            &["up", "--iface", "lo", "--confirm", "soon"],
            "invalid value 'soon' for '--confirm <TIME>': expected a time such as 5m, 90s or 1h",
        ),
        (
            &["up", "--iface", "lo", "--confirm", "8days"],
            "invalid value '8days' for '--confirm <TIME>': expected 1s to 7days",
        ),
        (&["confirm", "eth0"], "unexpected argument 'eth0' found"),
        (&["down", "eth0"], "unexpected argument 'eth0' found"),
        (&["down", "--iface"], "a value is required for '--iface <IF>' but none was supplied"),
        (&["policy", "frob"], "unrecognized subcommand 'frob'"),
        (&["policy", "set"], "the following required arguments were not provided: <KEY=VALUE>..."),
        (&["policy", "load"], "the following required arguments were not provided: <FILE>"),
        (&["policy", "load", "a", "b"], "unexpected argument 'b' found"),
        (&["policy", "check"], "the following required arguments were not provided: <FILE>"),
        (&["policy", "check", ""], "a value is required for '[FILE]' but none was supplied"),
        (&["policy", "check", "a", "b"], "unexpected argument 'b' found"),
        (&["policy", "check", "a", "--actions"], "the argument '[FILE]' cannot be used with '--actions'"),
        (&["policy", "show", "--toml", "--json"], "the argument '--toml' cannot be used with '--json'"),
        (&["policy", "profiles", "a", "b"], "unexpected argument 'b' found"),
        (&["events", "--count", "0"], "invalid value '0' for '--count <N>': 0 is not in 1..18446744073709551615"),
        (&["events", "--count", "few"], "invalid value 'few' for '--count <N>': invalid digit found in string"),
        (&["events", "--count", "5", "--count", "6"], "the argument '--count <N>' cannot be used multiple times"),
        (
            &["events", "--client", "mail.example"],
            "invalid value 'mail.example' for '--client <PREFIX>': expected an address or a prefix such as 192.0.2.0/24 or \
             2001:db8::/32",
        ),
        (
            &["events", "--client", "10.0.0.0/33"],
            "invalid value '10.0.0.0/33' for '--client <PREFIX>': expected an address or a prefix such as 192.0.2.0/24 or \
             2001:db8::/32",
        ),
        (&["stats", "--watch=1"], "unexpected value '1' for '--watch' found; no more were expected"),
        (&["replay"], "the following required arguments were not provided: <FILE>"),
        (&["replay", "a", "b"], "unexpected argument 'b' found"),
        (&["doctor", "eth0"], "unexpected argument 'eth0' found"),
        (&["doctor", "--connections", "1"], "invalid value '1' for '--connections <N>': 1 is not in 16..=16777216"),
        (&["generate"], "the following required arguments were not provided: <DIR>"),
    ];
    let refuse = |(words, message): &(&[&str], &str)| {
        refused(Command::new(program()).args(*words), USAGE, &format!("{message}{HELP}")).err()
    };
    all(cases.iter().filter_map(refuse).map(|error| error.to_string()).collect())?;

    // What is said in other words than the parser's.
    for (words, message) in [
        (["--pin-dir", "/x"].as_slice(), "a command is missing; `smtp-filter --help` says which there are"),
        (&["replay", "-", "--policy", "-"], "replay: capture and policy cannot both come from the standard input"),
        (
            &["replay", "x.pcap", "--profile", "no\u{1b}ne"],
            "replay: `profile=no\\u{1b}ne`: profile: there is no profile `no\\u{1b}ne`; expected {profiles}",
        ),
        (
            &["up", "--iface", "lo", "--profile", "none"],
            "up: `profile=none`: profile: there is no profile `none`; expected {profiles}",
        ),
        (
            &["up", "--iface", "lo", "--port", "465"],
            "up: `ports=465`: ports: 465 is TLS from the first byte and has no commands to read; expected ports of plain \
             SMTP such as 25 or 587",
        ),
        (&["up", "--iface", "lo", "--port", "0"], "up: `ports=0`: ports: 0 is no TCP port; expected 1 to 65535"),
        (
            &["replay", "x.pcap", "--port", "25", "--port", "25"],
            "replay: `ports=25,25`: ports: 25 is listed twice; expected each port once",
        ),
    ] {
        refused(Command::new(program()).args(words), USAGE, &message.replace("{profiles}", &profiles()?))?;
    }
    let byte = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    let message = format!("invalid UTF-8 was detected in one or more arguments{HELP}");
    refused(Command::new(program()).args(["up", "--iface"]).arg(byte), USAGE, &message)?;

    // Without any word there is the help, and so there is for `policy` alone.
    for words in [[].as_slice(), &["policy"]] {
        let (code, out, said) = run(Command::new(program()).args(words), b"")?;
        assert_eq!((code, out.as_str()), (USAGE, ""));
        assert!(said.contains("Usage: smtp-filter"), "{said}");
        assert!(!said.contains("generate") && !said.contains("expire"), "hidden: {said}");
    }
    Ok(())
}

/// The built-in profiles, as an error names them.
fn profiles() -> Result<String> {
    let (_, out, _) = run(Command::new(program()).args(["policy", "profiles", "--json"]), b"")?;
    let profiles: Value = serde_json::from_str(&out)?;
    let names: Vec<&str> = profiles["profiles"]
        .as_array()
        .context("profiles")?
        .iter()
        .filter_map(|profile| profile["name"].as_str())
        .collect();
    let (last, first) = names.split_last().context("a profile")?;
    Ok(format!("{} or {last}", first.join(", ")))
}

/// Bad policies: what stands in the file, and what is said behind the file's name.
fn bad_policies() -> Vec<(&'static str, Vec<u8>, String)> {
    let text = |name, text: &str, said: &str| (name, text.as_bytes().to_vec(), said.to_owned());
    let many: String = (0..65).map(|i| format!("V{i} = \"pass\"\n")).collect();
    let ports: Vec<String> = (1..=1025).map(|port| port.to_string()).collect();
    vec![
        text("key", "mod = \"enforce\"\n", ":1:1: unknown key `mod`; expected *"),
        text("section", "[command]\nEHLO = \"drop\"\n", ":1:2: unknown key `command`; expected *"),
        text(
            "section_type",
            "commands = 1\n",
            ":1:12: commands: expected a table of verbs and actions, found a number",
        ),
        text("mode", "mode = \"on\"\n", ":1:8: mode: there is no mode `on`; expected monitor or enforce"),
        text("mode_type", "mode = true\n", ":1:8: mode: expected \"monitor\" or \"enforce\", found true or false"),
        text("profile", "profile = \"none\"\n", ":1:11: profile: there is no profile `none`; expected *"),
        text("profile_type", "profile = []\n", ":1:11: profile: expected a profile's name, found a list"),
        text("ports_type", "ports = 25\n", ":1:9: ports: expected a list of TCP ports such as [25], found a number"),
        text("ports_none", "ports = []\n", ":1:9: ports: expected 1 to 1024 TCP ports, found 0"),
        text("ports_zero", "ports = [0]\n", ":1:10: ports: 0 is no TCP port; expected 1 to 65535"),
        text("ports_large", "ports = [65536]\n", ":1:10: ports: 65536 is no TCP port; expected 1 to 65535"),
        text("ports_negative", "ports = [-25]\n", ":1:10: ports: -25 is no TCP port; expected 1 to 65535"),
        text("ports_text", "ports = [\"25\"]\n", ":1:10: ports: expected a TCP port, 1 to 65535, found a string"),
        text(
            "ports_fraction",
            "ports = [2.5]\n",
            ":1:10: ports: expected a TCP port, 1 to 65535, found a number with a fraction",
        ),
        text("ports_twice", "ports = [25, 25]\n", ":1:14: ports: 25 is listed twice; expected each port once"),
        text(
            "ports_tls",
            "ports = [25, 465]\n",
            ":1:14: ports: 465 is TLS from the first byte and has no commands to read; expected *",
        ),
        text(
            "ports_many",
            &format!("ports = [{}]\n", ports.join(",")),
            ":1:9: ports: expected 1 to 1024 TCP ports, found 1025",
        ),
        text("flag", "capture_envelope = \"yes\"\n", ":1:20: capture_envelope: expected true or false, found a string"),
        text("action", "[commands]\nEHLO = \"deny\"\n", ":2:8: commands.EHLO: there is no action `deny`; expected *"),
        text(
            "action_case",
            "[commands]\nEHLO = \"DROP \"\n",
            ":2:8: commands.EHLO: there is no action `DROP `; expected *",
        ),
        text("action_type", "[commands]\nEHLO = 5\n", ":2:8: commands.EHLO: expected an action (*"),
        text(
            "action_guard",
            "[guards]\nsync = \"pass\"\n",
            ":2:8: guards.sync: `pass` is not legal here; expected drop or reset",
        ),
        text("guard", "[guards]\nmagic = \"drop\"\n", ":2:1: unknown guard `magic`; expected *"),
        text(
            "guards_type",
            "guards = \"drop\"\n",
            ":1:10: guards: expected a table of guards and actions, found a string",
        ),
        text(
            "grace",
            "[guards]\nunknown_connection = { grace = \"soon\" }\n",
            ":2:32: guards.unknown_connection.grace: `soon` is no time; expected one such as \"10m\"",
        ),
        text(
            "grace_long",
            "[guards]\nunknown_connection = { grace = \"8days\" }\n",
            ":2:32: guards.unknown_connection.grace: `8days` is too long; expected at most \"7days\"",
        ),
        text(
            "grace_type",
            "[guards]\nunknown_connection = { grace = 10 }\n",
            ":2:32: guards.unknown_connection.grace: expected a time such as \"10m\", found a number",
        ),
        text(
            "grace_key",
            "[guards]\nunknown_connection = { mercy = \"1m\" }\n",
            ":2:24: guards.unknown_connection: unknown key `mercy`; expected action or grace",
        ),
        text(
            "verb_long",
            "[commands]\nABCDEFGHIJKLMNOPQ = \"drop\"\n",
            ":2:1: commands: `ABCDEFGHIJKLMNOPQ` is no verb; expected a word of 1 to 16 characters",
        ),
        text(
            "verb_space",
            "[commands]\n\"A B\" = \"drop\"\n",
            ":2:1: commands: `A B` is no verb; expected a word of 1 to 16 characters",
        ),
        text(
            "verb_none",
            "[commands]\n\"\" = \"drop\"\n",
            ":2:1: commands: `` is no verb; expected a word of 1 to 16 characters",
        ),
        text(
            "verb_terminal",
            "[commands]\n\"\\u001B[2J\" = \"drop\"\n",
            ":2:1: commands: `\\u{1b}[2J` is no verb; expected a word of 1 to 16 characters",
        ),
        text(
            "verbs_many",
            &format!("[commands]\n{many}"),
            ":66:1: commands.V64: the verb after the 64th; expected at most 64",
        ),
        text("twice", "mode = \"monitor\"\nmode = \"enforce\"\n", ":2:1: not TOML: duplicate key"),
        text(
            "twice_case",
            "[commands]\nEHLO = \"drop\"\nehlo = \"pass\"\n",
            ":3:1: commands.ehlo: named twice, for case does not count; expected each verb once",
        ),
        text(
            "twice_guard",
            "[guards]\nsync = \"drop\"\nSYNC = \"reset\"\n",
            ":3:1: guards.sync: named twice, for case does not count; expected each guard once",
        ),
        text("twice_section", "[guards]\nsync = \"drop\"\n[guards]\n", ":3:2: not TOML: duplicate key"),
        text(
            "mark_large",
            "[mark]\nvalue = 0x1_0000_0000\n",
            ":2:9: mark.value: 4294967296 has no 32 bits; expected 0 to 0xffffffff",
        ),
        text("mark_negative", "[mark]\nmask = -1\n", ":2:8: mark.mask: -1 has no 32 bits; expected 0 to 0xffffffff"),
        text(
            "mark_none",
            "[mark]\nvalue = 0\nmask = 0\n",
            ":1:1: mark: mask 0x0 would set nothing; expected at least one bit",
        ),
        text(
            "mark_outside",
            "[mark]\nvalue = 0x100\nmask = 0xff\n",
            ":1:1: mark: value 0x100 has bits that mask 0xff leaves alone; expected a value within the mask",
        ),
        text("mark_key", "[mark]\ncolour = 1\n", ":2:1: mark: unknown key `colour`; expected value or mask"),
        text("mark_type", "mark = 5\n", ":1:8: mark: expected a table with value and mask, found a number"),
        text("number", "[mark]\nvalue = 99999999999999999999\n", ":2:9: 99999999999999999999 is too large a number"),
        text("date", "mode = 2026-11-24\n", ":1:8: mode: expected \"monitor\" or \"enforce\", found a date"),
        text("syntax", "mode = enforce\n", ":1:8: not TOML: *"),
        text("unfinished", "[commands\n", ":1:*"),
        text("no_toml", "permit tcp any any eq smtp\n", ":1:*"),
        text("terminal", "mode = \"x\u{1b}[2Jy\"\n", ":1:10: not TOML: *"),
        (
            "latin",
            b"# gr\xfc\xdfe\n".to_vec(),
            ":1:5: byte 0xfc is not UTF-8; expected a text file in UTF-8".to_owned(),
        ),
        ("utf16", b"\xff\xfem\0o\0".to_vec(), ":1:1: byte 0xff is not UTF-8; expected a text file in UTF-8".to_owned()),
        ("nul", b"mode = \"enforce\"\0\n".to_vec(), ":1:*".to_owned()),
        ("program", b"\x7fELF\x02\x01\x01\0".to_vec(), ":1:*".to_owned()),
    ]
}

/// Files that are none, and what is said behind `read the policy NAME`.
const NO_FILES: &[(&str, &str)] = &[
    ("{dir}/absent", "No such file or directory (os error 2)"),
    ("{dir}/folder", "is a directory"),
    ("{dir}/folder/", "is a directory"),
    ("{dir}/key.toml/x", "Not a directory (os error 20)"),
    ("{dir}/loop", "Too many levels of symbolic links (os error 40)"),
    ("{dir}/fifo", "is a FIFO that nobody writes to"),
    ("{dir}/huge", "longer than 64 MiB, which no policy is"),
    ("/dev/zero", "longer than 64 MiB, which no policy is"),
];

fn policy_files() -> Result<Folder> {
    let folder = Folder::new("policies")?;
    for (name, content, _) in bad_policies() {
        folder.file(&format!("{name}.toml"), &content)?;
    }
    fs::create_dir(folder.0.join("folder"))?;
    std::os::unix::fs::symlink(folder.0.join("loop"), folder.0.join("loop"))?;
    folder.fifo("fifo")?;
    folder.file("huge", &vec![b'#'; (64 << 20) + 1])?;
    Ok(folder)
}

/// Whether what was said is what was expected, in which `*` at the end stands for anything on the line.
fn reads_as(said: &str, expected: &str) -> bool {
    match expected.split_once('*') {
        Some((start, _)) => said.starts_with(start) && said.trim_end_matches('\n').len() > start.len(),
        None => said == format!("{expected}\n"),
    }
}

/// The failures of all bad policies with these words before and behind the file.
fn policies_with(filter: Option<&Filter>, before: &[&str], behind: &[&str], folder: &Folder) -> Result<Vec<String>> {
    let dir = folder.0.to_str().context("a name in UTF-8")?;
    let of_text = bad_policies().into_iter().map(|(name, _, said)| {
        let file = format!("{dir}/{name}.toml");
        (file.clone(), format!("smtp-filter: {file}{said}"))
    });
    let of_files = NO_FILES.iter().map(|(file, said)| {
        let file = file.replace("{dir}", dir);
        (file.clone(), format!("smtp-filter: read the policy {file}: {said}"))
    });
    let mut failures = Vec::new();
    for (file, expected) in of_text.chain(of_files) {
        let words = [before, &[&file], behind].concat();
        let mut command = match filter {
            Some(filter) => filter.command(&words),
            None => {
                let mut command = Command::new(program());
                command.args(words);
                command
            }
        };
        let (code, out, said) = run(&mut command, b"")?;
        if code != FAILED || !out.is_empty() || said.lines().count() != 1 || !reads_as(&said, &expected) {
            failures.push(format!(
                "{command:?}\n  ends with {code}, says {said:?}\n  expected {expected:?}; prints {out:?}"
            ));
        }
        if said.trim_end_matches('\n').contains(|c: char| c.is_control()) {
            failures.push(format!("{command:?} says what harms a terminal: {said:?}"));
        }
    }
    Ok(failures)
}

#[test]
fn a_bad_policy_is_refused_by_check_and_replay_with_its_place() -> Result<()> {
    let folder = policy_files()?;
    let capture = folder.0.join("capture.pcap");
    fs::write(&capture, empty_capture())?;
    let capture = capture.to_str().context("a name in UTF-8")?.to_owned();
    let mut failures = policies_with(None, &["policy", "check"], &[], &folder)?;
    failures.extend(policies_with(None, &["replay", &capture, "--policy"], &[], &folder)?);
    // The standard input is read as a file is.
    for (name, content, expected) in bad_policies() {
        let mut command = Command::new(program());
        let (code, _, said) = run(command.args(["policy", "check", "-"]), &content)?;
        if code != FAILED || !reads_as(&said, &format!("smtp-filter: -{expected}")) {
            failures.push(format!("{name} by the standard input: {said:?}"));
        }
    }
    all(failures)
}

#[test]
fn what_looks_odd_and_is_a_good_policy_is_taken() -> Result<()> {
    for (what, content) in [
        ("empty", b"".as_slice()),
        ("a byte order mark", b"\xef\xbb\xbfmode = \"enforce\"\n"),
        ("CRLF", b"mode = \"enforce\"\r\n\r\n[commands]\r\nEHLO = \"drop\"\r\n"),
        ("no end of the last line", b"mode = \"enforce\""),
        ("a verb of odd characters", b"[commands]\n\"X-#1\" = \"drop\"\n"),
    ] {
        let (code, out, said) = run(Command::new(program()).args(["policy", "check", "-"]), content)?;
        // A warning that it takes STARTTLS away is no refusal.
        assert!(code == 0 && said.lines().all(|line| line.contains("takes STARTTLS away")), "{what}: {said}");
        assert!(out.starts_with("-: good: "), "{what}: {out}");
    }
    Ok(())
}

#[test]
fn a_bad_capture_is_refused() -> Result<()> {
    let folder = Folder::new("captures")?;
    let header = empty_capture();
    let record = |captured: u32, long: u32, bytes: usize| {
        [header.clone(), [0, 0, captured, long].iter().flat_map(|word| word.to_le_bytes()).collect(), vec![0; bytes]]
            .concat()
    };
    let cut = "the file ends in the middle of a record after frame 0: it was cut off, or is damaged";
    let no_capture = |bytes: &str| format!("the file begins with {bytes}: no capture in the format pcap or pcapng");
    let packed = |tool: &str| format!("the file is compressed: unpack it with `{tool} FILE | smtp-filter replay -`");
    let foreign = |link: u32| {
        format!("its link type {link} is not read; expected Ethernet, raw IP, null or loopback, or Linux cooked")
    };
    let mut foreign_link = header.clone();
    foreign_link[20..24].copy_from_slice(&105_u32.to_le_bytes());
    let damaged = "the file's first block is damaged, or the file ends within it".to_owned();
    let section = |length: u32| {
        let mut block = vec![0x0a, 0x0d, 0x0d, 0x0a];
        block.extend(length.to_le_bytes());
        block.extend([0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0]);
        block.extend([0xff; 8]);
        block
    };
    let cases: Vec<(&str, Vec<u8>, String)> = vec![
        ("empty", Vec::new(), "the file is empty; expected a capture in the format pcap or pcapng".to_owned()),
        ("one_byte", b"x".to_vec(), no_capture("78")),
        ("text", b"EHLO client.example\r\n".to_vec(), no_capture("45 48 4c 4f")),
        ("snoop", b"snoop\0\0\0\0\0\0\x02".to_vec(), no_capture("73 6e 6f 6f")),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), packed("zcat")),
        ("xz", b"\xfd7zXZ\0\0\x04".to_vec(), packed("xzcat")),
        ("zstd", b"\x28\xb5\x2f\xfd\0\0\0\0".to_vec(), packed("zstdcat")),
        ("bzip2", b"BZh91AY&SY".to_vec(), packed("bzcat")),
        ("header_cut", header[..20].to_vec(), "the file ends within its header".to_owned()),
        ("record_header_cut", record(60, 60, 0)[..30].to_vec(), cut.to_owned()),
        ("record_cut", record(60, 60, 59), cut.to_owned()),
        ("length_huge", record(u32::MAX, u32::MAX, 64), cut.to_owned()),
        ("length_large", record(1 << 23, 1 << 23, 64), cut.to_owned()),
        ("foreign", [foreign_link, record(20, 20, 20)[24..].to_vec()].concat(), foreign(105)),
        ("pcapng_cut", section(28)[..16].to_vec(), damaged.clone()),
        ("pcapng_length_huge", section(u32::MAX), damaged.clone()),
        ("pcapng_length_tiny", section(3), damaged),
    ];
    let mut failures = Vec::new();
    for (name, content, said) in cases {
        folder.file(&format!("{name}.pcap"), &content)?;
        let file = folder.0.join(format!("{name}.pcap")).display().to_string();
        failures.extend(refused_capture(&file, &format!("replay {file}: {said}"))?);
    }
    fs::create_dir(folder.0.join("folder"))?;
    folder.fifo("fifo")?;
    for (name, said) in [
        ("{dir}/absent", "No such file or directory (os error 2)"),
        ("{dir}/folder", "is a directory"),
        ("{dir}/fifo", "is a FIFO that nobody writes to"),
        ("/dev/zero", "the file begins with 00 00 00 00: no capture in the format pcap or pcapng"),
        ("/dev/null", "the file is empty; expected a capture in the format pcap or pcapng"),
    ] {
        let file = name.replace("{dir}", &folder.0.display().to_string());
        failures.extend(refused_capture(&file, &format!("replay {file}: {said}"))?);
    }
    all(failures)
}

/// What does not hold of a capture's refusal: one line, code 1, nothing printed.
fn refused_capture(file: &str, message: &str) -> Result<Option<String>> {
    Ok(refused(Command::new(program()).args(["replay", file]), FAILED, message).err().map(|error| error.to_string()))
}

#[test]
fn who_is_nobody_is_advised_to_take_sudo_and_what_he_may_not_read() -> Result<()> {
    let folder = Folder::new("nobody")?;
    let copy = folder.0.join("smtp-filter");
    copy_program(program(), &copy)?;
    let nobody = |words: &[&str]| {
        let mut command = Command::new(&copy);
        command.args(words).current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    for (words, what) in [
        (["up", "--iface", "lo"].as_slice(), "up"),
        (&["up", "--iface", "no-such"], "up"),
        (&["down"], "down"),
        (&["confirm"], "confirm"),
        (&["status"], "status"),
        (&["policy", "show"], "policy show"),
        (&["policy", "set", "mode=enforce"], "policy set"),
        (&["events"], "events"),
        (&["stats"], "stats"),
        (&["doctor", "--netns", "x"], "doctor --netns"),
    ] {
        let message = format!("`smtp-filter {what}` needs root (CAP_BPF and CAP_NET_ADMIN): run it with sudo");
        refused(&mut nobody(words), FAILED, &message)?;
    }
    folder.file("secret", b"mode = \"enforce\"\n")?;
    let secret = folder.0.join("secret").display().to_string();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000))?;
    let denied = "Permission denied (os error 13)";
    refused(&mut nobody(&["policy", "check", &secret]), FAILED, &format!("read the policy {secret}: {denied}"))?;
    refused(&mut nobody(&["replay", &secret]), FAILED, &format!("replay {secret}: {denied}"))?;
    let made = format!("make the folder {}/new/man: {denied}", folder.0.display());
    refused(&mut nobody(&["generate", &format!("{}/new", folder.0.display())]), FAILED, &made)?;
    Ok(())
}

/// A namespace with the interfaces `one` and `two`, and the pin directory of a filter that is not on yet.
fn rig() -> Result<(Namespace, Filter)> {
    let namespace = Namespace::new("refusals")?;
    namespace.ip(&["link add one type veth peer name two", "link set one up", "link set two up"])?;
    let filter = filter(&namespace)?;
    Ok((namespace, filter))
}

fn filled(text: &str, namespace: &Namespace, filter: &Filter, folder: &Folder) -> String {
    text.replace("{ns}", namespace.name())
        .replace("{pins}", &filter.pin_dir().display().to_string())
        .replace("{dir}", &folder.0.display().to_string())
}

/// What there is of a filter: every pin with its number, the programs on the interfaces, the qdiscs.
fn traces(namespace: &Namespace, filter: &Filter) -> Result<String> {
    use aya::programs::{SchedClassifier, TcAttachType};

    fn pins(folder: &Path, into: &mut BTreeMap<String, u64>) -> Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            into.insert(path.display().to_string(), fs::metadata(&path)?.ino());
            pins(&path, into)?;
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    pins(filter.pin_dir(), &mut found)?;
    let attached = namespace.enter(|| -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for iface in ["one", "two"] {
            for side in [TcAttachType::Ingress, TcAttachType::Egress] {
                numbers.extend(SchedClassifier::query_tcx(iface, side)?.1.iter().map(|program| program.id()));
            }
        }
        Ok(numbers)
    })??;
    let qdiscs = namespace.command("tc").args(["qdisc", "show"]).output()?.stdout;
    let on = if filter.pin_dir().exists() {
        format!("{}{}", filter.json(&["status"])?, filter.json(&["policy", "show"])?)
    } else {
        "off".to_owned()
    };
    Ok(format!("{found:?}\n{attached:?}\n{}\n{on}", String::from_utf8(qdiscs)?))
}

#[test(root)]
fn a_refused_up_leaves_nothing() -> Result<()> {
    let (namespace, filter) = rig()?;
    let folder = policy_files()?;
    let _device = device_of_kind(&namespace, "strange", ARPHRD_IPGRE)?;
    let before = traces(&namespace, &filter)?;
    let long = "a".repeat(300);
    let cases: &[(&[&str], &str)] = &[
        (&["--iface", "three"], "there is no interface \"three\" here: `ip link` shows which there are"),
        (&["--iface", ""], "there is no interface \"\" here: `ip link` shows which there are"),
        (&["--iface", "o\u{1b}e"], "there is no interface \"o\\u{1b}e\" here: `ip link` shows which there are"),
        (&["--iface", &long], "there is no interface \"{long}\" here: `ip link` shows which there are"),
        (
            &["--iface", "one", "--iface", "three"],
            "there is no interface \"three\" here: `ip link` shows which there are",
        ),
        (&["--iface", "one", "--iface", "one"], "the interface one is named twice: name each once"),
        (
            &["--iface", "one", "--iface", "strange"],
            "interface \"strange\" has a link layer of kind 778, neither Ethernet nor bare IP: put the filter on the \
             interfaces that its packets come from and go to",
        ),
    ];
    let mut failures = Vec::new();
    for (words, message) in cases {
        let words = [&["up", "--detach", "--netns", namespace.name()], *words].concat();
        let message = message.replace("{long}", &long);
        failures.extend(refused(&mut filter.command(&words), FAILED, &message).err().map(|error| error.to_string()));
        ensure!(traces(&namespace, &filter)? == before, "something is left of {words:?}");
    }
    let up = ["up", "--detach", "--netns", namespace.name(), "--iface", "one", "--policy"];
    failures.extend(policies_with(Some(&filter), &up, &[], &folder)?);
    ensure!(traces(&namespace, &filter)? == before, "something is left of a bad policy");
    all(failures)
}

#[test(root)]
fn wrong_places_are_refused() -> Result<()> {
    let (namespace, filter) = rig()?;
    let folder = Folder::new("places")?;
    // What lies where the loader would look for its own is not touched.
    for name in ["maps", "programs", "links"] {
        fs::create_dir(folder.0.join(name))?;
        folder.file(&format!("{name}/mine"), b"mine")?;
    }
    let before = traces(&namespace, &filter)?;
    let up: &[&str] = &["up", "--detach", "--iface", "lo", "--netns", "{ns}", "--pin-dir"];
    let elsewhere = "is not in a BPF file system, so no filter is there: give the --pin-dir that it was put on with";
    let itself =
        "is the BPF file system itself, and no filter's folder in it: give the --pin-dir that it was put on with";
    let long = "a".repeat(300);
    let mut cases: Vec<(Vec<&str>, String)> = Vec::new();
    for (pins, message) in [
        (
            "{dir}/x",
            "the pin directory {dir}/x is not in a BPF file system: take one below /sys/fs/bpf, or mount one there: \
             `mount -t bpf -o mode=0700 bpffs {dir}`",
        ),
        (
            "/sys/fs/bpf",
            "/sys/fs/bpf is the BPF file system itself: name a folder in it, such as /sys/fs/bpf/smtp-filter",
        ),
        ("{pins}/a/b", "there is no folder {pins}/a for the pin directory {pins}/a/b: make it first"),
        (
            "{pins}.d",
            "the pin directory {pins}.d has a dot in its name, which the BPF file system refuses: take another name",
        ),
        ("pins", "the pin directory pins has no folder above it: give its whole path, such as /sys/fs/bpf/smtp-filter"),
        ("/", "the pin directory / has no folder above it: give its whole path, such as /sys/fs/bpf/smtp-filter"),
        ("/sys/fs/bpf/{long}", "make the pin directory /sys/fs/bpf/{long}: File name too long (os error 36)"),
    ] {
        cases.push(([up, &[pins]].concat(), message.to_owned()));
    }
    for verb in [["status"].as_slice(), &["down"], &["policy", "show"], &["events"], &["stats"], &["confirm"]] {
        cases.push(([verb, &["--pin-dir", "{dir}"]].concat(), format!("{{dir}} {elsewhere}")));
        cases.push(([verb, &["--pin-dir", "{dir}/maps/mine"]].concat(), format!("{{dir}}/maps/mine {elsewhere}")));
        cases.push(([verb, &["--pin-dir", "/sys/fs/bpf"]].concat(), format!("/sys/fs/bpf {itself}")));
        cases.push((
            [verb, &["--pin-dir", "{pins}", "--netns", "no-such"]].concat(),
            "there is no network namespace /run/netns/no-such: `ip netns list` shows which there are".to_owned(),
        ));
        if *verb != ["down"] {
            let none = "no filter is on at {pins}: `smtp-filter up --iface IF` puts one on";
            cases.push(([verb, &["--pin-dir", "{pins}"]].concat(), none.to_owned()));
        }
    }
    for (words, message) in [
        (
            ["policy", "set", "mode=enforce", "--pin-dir", "{pins}"].as_slice(),
            "no filter is on at {pins}: `smtp-filter up --iface IF` puts one on",
        ),
        (&["down", "--iface", "one", "--pin-dir", "{pins}"], "no filter is on at {pins}, so none is on one"),
        (
            &["status", "--netns", "/etc/passwd"],
            "/etc/passwd is no network namespace: `ip netns list` shows which there are",
        ),
        (&["status", "--netns", "."], "/run/netns/. is no network namespace: `ip netns list` shows which there are"),
        (
            &["status", "--netns", "../no/such"],
            "there is no network namespace ../no/such: `ip netns list` shows which there are",
        ),
        (
            &["doctor", "--netns", "{ns}", "--iface", "x"],
            "there is no interface \"x\" here: `ip link` shows which there are",
        ),
        (&["generate", "/proc/x"], "make the folder /proc/x/man: No such file or directory (os error 2)"),
        (&["generate", "{dir}/maps/mine"], "make the folder {dir}/maps/mine/man: Not a directory (os error 20)"),
        (
            &["policy", "profiles", "n\u{1b}e"],
            "there is no profile \"n\\u{1b}e\": `smtp-filter policy profiles` lists them",
        ),
    ] {
        cases.push((words.to_vec(), message.to_owned()));
    }
    let mut failures = Vec::new();
    for (words, message) in cases {
        let fill = |text: &str| filled(text, &namespace, &filter, &folder).replace("{long}", &long);
        let words: Vec<String> = words.into_iter().map(fill).collect();
        let mut command = Command::new(program());
        failures.extend(refused(command.args(&words), FAILED, &fill(&message)).err().map(|error| error.to_string()));
    }
    ensure!(traces(&namespace, &filter)? == before, "something is left");
    for name in ["maps", "programs", "links"] {
        ensure!(fs::read(folder.0.join(name).join("mine"))? == b"mine", "what is not the filter's stays: {name}");
    }
    all(failures)
}

#[test(root)]
fn a_running_filter_stays_as_it_is_whatever_is_refused() -> Result<()> {
    let (namespace, filter) = rig()?;
    let folder = policy_files()?;
    filter.up(&["--iface", "one", "--profile", "drop-esmtp"])?;
    filter.set(&["commands.vrfy=drop"])?;
    let before = traces(&namespace, &filter)?;
    let set = |setting: &str, said: &str| {
        (vec!["policy".to_owned(), "set".to_owned(), setting.to_owned()], format!("set: `{setting}`: {said}"))
    };
    let cases = [
        set("ehlo", "expected KEY=VALUE such as commands.ehlo=drop"),
        set("=drop", "expected a key before the `=`"),
        set("commands.=drop", "expected a key before the `=`"),
        set("commands=drop", "commands: expected a table of verbs and actions, found a string"),
        set("commands.ehlo=", "commands.ehlo: there is no action ``; expected *"),
        set("commands.ehlo=deny", "commands.ehlo: there is no action `deny`; expected *"),
        set("commands.ehlo.x=drop", "commands.ehlo: expected an action (*"),
        set(
            "commands.abcdefghijklmnopq=drop",
            "commands: `abcdefghijklmnopq` is no verb; expected a word of 1 to 16 characters",
        ),
        set("guards.sync=pass", "guards.sync: `pass` is not legal here; expected drop or reset"),
        set("guards.magic=drop", "unknown guard `magic`; expected *"),
        set(
            "guards.unknown_connection.grace=soon",
            "guards.unknown_connection.grace: `soon` is no time; expected one such as \"10m\"",
        ),
        set("mode=on", "mode: there is no mode `on`; expected monitor or enforce"),
        set("mode.x=on", "mode: expected \"monitor\" or \"enforce\", found a table"),
        set("ports=25,465", "ports: 465 is TLS from the first byte and has no commands to read; expected *"),
        set("ports=smtp", "ports: expected a list of TCP ports such as [25], found a string"),
        set("ports=0", "ports: 0 is no TCP port; expected 1 to 65535"),
        set("profile=none", "profile: there is no profile `none`; expected *"),
        set(
            "mark.value=0x1ff",
            "mark: value 0x1ff has bits that mask 0xff leaves alone; expected a value within the mask",
        ),
        set("mark.value=red", "mark.value: expected 0 to 0xffffffff, found a string"),
        set("capture_envelope=maybe", "capture_envelope: expected true or false, found a string"),
        set("colour=red", "unknown key `colour`; expected *"),
    ];
    let mut failures = Vec::new();
    for (words, message) in cases {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // A good setting before it counts for nothing.
        let words = [&words[..2], &["commands.noop=drop"], &words[2..]].concat();
        let (code, out, said) = run(&mut filter.command(&words), b"")?;
        if code != FAILED || !out.is_empty() || !reads_as(&said, &format!("smtp-filter: {message}")) {
            failures.push(format!("{words:?}\n  ends with {code}, says {said:?}\n  expected {message:?}"));
        }
    }
    ensure!(traces(&namespace, &filter)? == before, "a refused setting changed something");

    let around: &[(&[&str], i32, &str)] = &[
        (&["down", "--iface", "two"], FAILED, "the filter at {pins} is not on two, but on one"),
        (&["down", "--iface", "o\u{1b}e"], FAILED, "the filter at {pins} is not on o\\u{1b}e, but on one"),
        (
            &["up", "--detach", "--netns", "{ns}", "--iface", "three"],
            FAILED,
            "there is no interface \"three\" here: `ip link` shows which there are",
        ),
        (
            &["up", "--detach", "--netns", "{ns}", "--iface", "one", "--profile", "none"],
            USAGE,
            "up: `profile=none`: profile: there is no profile `none`; expected {profiles}",
        ),
        (
            &["policy", "load", "{dir}/mode.toml"],
            FAILED,
            "{dir}/mode.toml:1:8: mode: there is no mode `on`; expected monitor or enforce",
        ),
    ];
    for (words, code, message) in around {
        let words: Vec<String> = words.iter().map(|word| filled(word, &namespace, &filter, &folder)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let message = filled(message, &namespace, &filter, &folder).replace("{profiles}", &profiles()?);
        failures.extend(refused(&mut filter.command(&words), *code, &message).err().map(|error| error.to_string()));
    }
    failures.extend(policies_with(Some(&filter), &["policy", "load"], &[], &folder)?);
    let up = ["up", "--detach", "--netns", namespace.name(), "--iface", "one", "--policy"];
    failures.extend(policies_with(Some(&filter), &up, &[], &folder)?);
    ensure!(traces(&namespace, &filter)? == before, "a refused policy changed something");
    all(failures)
}

#[test(root)]
fn a_command_that_finds_the_folder_locked_gives_up_and_says_so() -> Result<()> {
    let (namespace, filter) = rig()?;
    filter.up(&["--iface", "one"])?;
    let before = traces(&namespace, &filter)?;
    let folder = fs::File::open(filter.pin_dir())?;
    flock(&folder, FlockOperation::LockExclusive)?;
    let pins = filter.pin_dir().display().to_string();
    let message = format!("another smtp-filter command is changing {pins} and does not finish");
    let up = ["up", "--detach", "--netns", namespace.name(), "--iface", "two"];
    thread::scope(|scope| {
        let changes = [["down"].as_slice(), &["policy", "set", "mode=enforce"], &up]
            .map(|words| scope.spawn(|| refused(&mut filter.command(words), FAILED, &message)));
        changes.into_iter().try_for_each(|change| change.join().unwrap_or_else(|_| bail!("a check ended early")))
    })?;
    drop(folder);
    ensure!(traces(&namespace, &filter)? == before, "something changed");
    Ok(())
}
