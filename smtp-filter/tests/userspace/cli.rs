//! What the command line answers to whom, without a filter: exit codes, and errors in one line.

use std::{
    env, fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use smtp_filter_testkit::lab::schema;

/// Nobody: a user without any privilege.
const NOBODY: u32 = 65534;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtp-filter"));
    command.env_remove("SMTP_FILTER_PIN_DIR").stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> (i32, String, String) {
    finish(program().args(words).output().unwrap())
}

fn finish(Output { status, stdout, stderr }: Output) -> (i32, String, String) {
    (status.code().expect("it ends by itself"), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A file that goes away with its name.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = env::temp_dir().join(format!("smtp-filter-cli-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for words in [["--help"].as_slice(), &["-V"], &["help", "up"], &["policy", "set", "--help"], &["status", "-h"]] {
        let (code, out, err) = run(words);
        assert_eq!((code, err.as_str()), (0, ""), "{words:?}");
        assert!(!out.is_empty(), "{words:?}");
    }
}

#[test]
fn every_verb_has_a_help_of_its_own() {
    let (_, out, _) = run(&["--help"]);
    for verb in ["up", "down", "status", "policy", "events", "stats", "connections", "replay", "doctor"] {
        let line = out.lines().find(|line| line.trim_start().starts_with(verb)).unwrap();
        assert!(line.trim().len() > verb.len() + 3, "{line}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for words in [
        [].as_slice(),
        &["replay"],
        &["connections", "--client", "mail.example"],
        &["doctor", "eth0"],
        &["confirm", "now"],
        &["up"],
        &["up", "--iface", "lo", "--connections", "0"],
        &["up", "--iface", "lo", "--port", "70000"],
        &["up", "--iface", "lo", "--confirm", "soon"],
        &["up", "--iface", "lo", "--profile", "monitor", "--policy", "x.toml"],
        &["policy"],
        &["policy", "set"],
        &["policy", "check"],
        &["events", "--client", "mail.example"],
        &["events", "--count", "0"],
        &["events", "--reason", "command.ehlo"],
        &["policy", "show", "--client", "10.0.0.0/8"],
        &["status", "--verbose=9"],
    ] {
        assert_eq!(run(words).0, 2, "{words:?}");
    }
}

#[test]
fn an_unknown_profile_or_port_is_wrong_usage_in_one_line() {
    for (words, expected) in [
        (
            ["--profile", "strict"],
            "smtp-filter: up: `profile=strict`: profile: there is no profile `strict`; expected monitor, mark-esmtp, \
             drop-esmtp, helo-only, pix-mailguard, asa-esmtp or hardened\n",
        ),
        (
            ["--port", "465"],
            "smtp-filter: up: `ports=465`: ports: 465 is TLS from the first byte and has no commands to read; expected \
             ports of plain SMTP such as 25 or 587\n",
        ),
    ] {
        let (code, out, err) = run(&[&["up", "--iface", "lo"], words.as_slice()].concat());
        assert_eq!((code, out.as_str(), err.as_str()), (2, "", expected));
    }
}

#[test]
fn a_reason_that_cannot_be_is_wrong_usage_and_says_what_can_be() {
    let (code, out, err) = run(&["events", "--reason", "guards", "--reason", "guards.sink"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("guards has no reason `sink`; expected unknown_connection, fragment, "), "{err}");
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let bad = File::new("bad.toml", b"[commands]\n  VRFY = \"downgrade\"\n");
    let (code, out, err) = run(&["policy", "check", bad.name()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(
        err,
        format!(
            "smtp-filter: {}:2:10: commands.VRFY: `downgrade` is not legal here; expected pass, log, mark, mask, drop \
             or reset\n",
            bad.name()
        )
    );

    // As JSON, too.
    let json = |words: &[&str]| -> (i32, serde_json::Value) {
        let (code, out, err) = run(words);
        assert_eq!((out.lines().count(), err.lines().count()), (1, 1), "{out}{err}");
        let value = serde_json::from_str(&out).unwrap();
        schema::check("refused_policy", &value).unwrap();
        (code, value)
    };
    assert_eq!(
        json(&["policy", "check", bad.name(), "--json"]),
        (
            1,
            serde_json::json!({
                "v": 1, "good": false, "file": bad.name(), "line": 2, "column": 10,
                "message": "commands.VRFY: `downgrade` is not legal here; expected pass, log, mark, mask, drop or reset",
                "expected": "pass, log, mark, mask, drop or reset",
            })
        )
    );
    let (code, unread) = json(&["policy", "check", "/no/such.toml", "--json"]);
    assert_eq!((code, &unread["line"], &unread["expected"]), (1, &serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(unread["message"], "read the policy /no/such.toml: No such file or directory (os error 2)");

    let good = File::new("good.toml", b"profile = \"drop-esmtp\"\nports = [25, 587]\n");
    let (code, out, err) = run(&["policy", "check", good.name()]);
    assert_eq!((code, err.lines().count()), (0, 1), "{err}");
    assert!(err.starts_with("smtp-filter: warning: this policy takes STARTTLS away (commands.ehlo=drop, "), "{err}");
    assert!(out.contains("good: profile drop-esmtp, mode enforce, ports [25, 587]"), "{out}");

    let (code, _, err) = run(&["policy", "check", "/no/such.toml"]);
    assert_eq!(code, 1);
    assert_eq!(err, "smtp-filter: read the policy /no/such.toml: No such file or directory (os error 2)\n");
}

#[test]
fn a_policy_that_is_not_text_is_refused_with_its_place() {
    let latin = File::new("latin.toml", b"# gr\xfc\xdfe\n");
    let (code, _, err) = run(&["policy", "check", latin.name()]);
    assert_eq!(code, 1);
    assert!(err.ends_with(":1:5: byte 0xfc is not UTF-8; expected a text file in UTF-8\n"), "{err}");
    let endless = run(&["policy", "check", "/dev/zero"]);
    assert_eq!(endless.0, 1);
    assert!(endless.2.contains("longer than 64 MiB"), "{}", endless.2);
}

#[test]
fn the_standard_input_is_a_policy_too() {
    let mut child = program()
        .args(["policy", "check", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"[commands]\nEHLO = \"drop\"\n").unwrap();
    let (code, out, _) = finish(child.wait_with_output().unwrap());
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["profile"], &json["commands"]["EHLO"]), (&"monitor".into(), &"drop".into()));
}

#[test]
fn actions_are_one_table() {
    let (code, out, _) = run(&["policy", "check", "--actions"]);
    assert_eq!(code, 0);
    let row = ["guards.late_end_of_data", "reset", "reset"];
    assert!(out.lines().any(|line| line.split_whitespace().take(3).eq(row)), "{out}");
    let (_, out, _) = run(&["policy", "check", "--actions", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let sync = json["keys"].as_array().unwrap().iter().find(|row| row["key"] == "guards.sync").unwrap();
    assert_eq!(sync["actions"], serde_json::json!(["drop", "reset"]));
    let actions = |key: &str| {
        let row = json["keys"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
        (row["actions"].clone(), row["default"].clone())
    };
    let of_a_verb = serde_json::json!(["pass", "log", "mark", "mask", "drop", "reset"]);
    for key in ["commands.VERB", "commands.other"] {
        assert_eq!(actions(key), (of_a_verb.clone(), "log".into()));
    }
    let of_ehlo = serde_json::json!(["pass", "log", "mark", "downgrade", "mask", "drop", "reset"]);
    assert_eq!(actions("commands.EHLO"), (of_ehlo, "log".into()));
    for key in ["extensions.KEYWORD", "extensions.other"] {
        assert_eq!(actions(key), (serde_json::json!(["pass", "log", "mask"]), "pass".into()));
    }
}

/// What the table says is legal is what a file may say, and nothing else.
#[test]
fn the_table_of_actions_is_the_one_that_files_are_held_against() {
    let (_, out, _) = run(&["policy", "check", "--actions", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    for row in json["keys"].as_array().unwrap() {
        let key = row["key"].as_str().unwrap().replace("VERB", "XYZ").replace("KEYWORD", "XYZ");
        let (section, name) = key.split_once('.').unwrap();
        for action in ["pass", "log", "mark", "downgrade", "mask", "drop", "reset"] {
            let file = File::new("row.toml", format!("[{section}]\n{name} = \"{action}\"\n").as_bytes());
            let legal = row["actions"].as_array().unwrap().contains(&action.into());
            assert_eq!(run(&["policy", "check", file.name()]).0 == 0, legal, "{key} {action}");
        }
    }
}

#[test]
fn a_printed_profile_is_a_good_policy() {
    let (_, names, _) = run(&["policy", "profiles", "--json"]);
    let names: serde_json::Value = serde_json::from_str(&names).unwrap();
    let names: Vec<_> = names["profiles"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["monitor", "mark-esmtp", "drop-esmtp", "helo-only", "pix-mailguard", "asa-esmtp", "hardened"]);
    for name in names {
        let (code, text, _) = run(&["policy", "profiles", name]);
        assert_eq!(code, 0);
        let file = File::new(&format!("{name}.toml"), text.as_bytes());
        // Who checks a policy is told what he would be told when it is loaded.
        let (code, out, warning) = run(&["policy", "check", file.name()]);
        let takes_starttls = ["drop-esmtp", "helo-only", "pix-mailguard", "asa-esmtp"].contains(&name);
        assert_eq!((code, warning.contains("takes STARTTLS away")), (0, takes_starttls), "{name}: {warning}");
        assert_eq!(warning.lines().count(), usize::from(takes_starttls), "{warning}");
        assert_eq!(out.contains("not enforced: in mode monitor"), name == "monitor", "{out}");
        let json = |words: &[&str]| -> serde_json::Value { serde_json::from_str(&run(words).1).unwrap() };
        let loaded = json(&["policy", "check", file.name(), "--json"]);
        assert_eq!(loaded, json(&["policy", "profiles", name, "--json"]), "{name}");
    }
    assert_eq!(run(&["policy", "profiles", "strict"]).0, 1);
}

#[test]
fn colours_stay_out_of_what_is_no_terminal() {
    for words in [["policy", "profiles"], ["policy", "check"]] {
        let (_, out, err) = run(&words);
        assert!(!out.contains('\x1b') && !err.contains('\x1b'));
    }
}

#[test]
fn whoever_hears_no_more_is_no_error() {
    let mut child = program().args(["policy", "check", "--actions"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn who_is_not_root_is_warned() {
    let folder = env::temp_dir().join(format!("smtp-filter-cli-{}-program", std::process::id()));
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.join("smtp-filter");
    // By another process: what this one has open for writing, the children of tests beside this one inherit for a
    // moment, and the kernel starts no program that somebody may write to.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_smtp-filter")).arg(&copy).status().unwrap().success());
    for (words, what) in [
        (["up", "--iface", "lo"].as_slice(), "up"),
        (&["down"], "down"),
        (&["status", "--netns", "x"], "status"),
        (&["policy", "show"], "policy show"),
        (&["policy", "set", "mode=enforce"], "policy set"),
        (&["events"], "events"),
        (&["stats"], "stats"),
        (&["replay", "--kernel", "x"], "replay --kernel"),
    ] {
        let mut command = Command::new(&copy);
        command.args(words).current_dir("/");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let (code, out, err) = finish(command.output().unwrap());
        assert_eq!((code, out.as_str()), (1, ""), "{words:?}: {err}");
        assert_eq!(
            err,
            format!("smtp-filter: `smtp-filter {what}` needs root (CAP_BPF and CAP_NET_ADMIN): run it with sudo\n")
        );
    }
    fs::remove_dir_all(&folder).unwrap();
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line == "Uid:\t0\t0\t0\t0")
}
