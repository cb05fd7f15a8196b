//! Scopes on the command line, without a filter: `policy check`, the example of the documentation, and `replay`.

use std::{
    env, fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smtp_filter_testkit::{
    captures::{Pcap, Recording, dialogue},
    lab::schema,
};

/// What the program says to words and an input: exit code, standard output, standard error.
fn run(words: &[&str], input: &[u8]) -> Result<(i32, String, String)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smtp-filter"))
        .args(words)
        .env_remove("SMTP_FILTER_PIN_DIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("its input")?.write_all(input)?;
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    Ok((status.code().context("it ends by itself")?, String::from_utf8(stdout)?, String::from_utf8(stderr)?))
}

/// The policies in docs/policy.md.
fn examples() -> Result<Vec<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md"))?;
    let example = |piece: &str| piece.split_once("\n```").map(|(example, _)| example.to_owned());
    Ok(text.split("\n```toml\n").skip(1).filter_map(example).collect())
}

fn gateway() -> Result<String> {
    examples()?.into_iter().find(|example| example.contains("\"printer\"")).context("the example of scopes")
}

#[test]
fn every_policy_of_the_documentation_is_good() -> Result<()> {
    let examples = examples()?;
    ensure!(examples.len() >= 2, "{examples:?}");
    let warns = |line: &str| line.starts_with("smtp-filter: warning: this policy takes STARTTLS away (");
    for example in examples {
        let (code, out, err) = run(&["policy", "check", "-"], example.as_bytes())?;
        ensure!(code == 0 && out.starts_with("-: good: ") && err.lines().all(warns), "{example}\n{out}{err}");
        let (_, out, _) = run(&["policy", "check", "-", "--json"], example.as_bytes())?;
        schema::check("policy", &serde_json::from_str(&out)?)?;
    }
    Ok(())
}

#[test]
fn the_gateway_of_the_documentation_does_what_is_said_of_it() -> Result<()> {
    let policy = gateway()?;
    let decides = |client: &str, server: &str| -> Result<Value> {
        let ends = ["--client", client, "--server", server];
        let (code, out, err) = run(&[["policy", "check", "-", "--json"], ends].concat(), policy.as_bytes())?;
        ensure!(code == 0, "{err}");
        Ok(serde_json::from_str(&out)?)
    };
    for (client, server, scope, facts) in [
        ("203.0.113.9", "192.0.2.25", Value::Null, json!(["pass", "mask", "mask", "mask", "host", false])),
        ("10.0.7.31", "192.0.2.25", "printer".into(), json!(["pass", "pass", "mask", "mask", "all", false])),
        ("10.0.7.32", "203.0.113.25", "users".into(), json!(["log", "log", "log", "pass", "all", true])),
        ("2001:db8:10::7", "2001:db8:99::25", "users".into(), json!(["log", "log", "log", "pass", "all", true])),
        (
            "2001:db8:10::7",
            "2001:db8:25::25",
            "users-to-own-server".into(),
            json!(["pass", "pass", "mask", "mask", "host", false]),
        ),
        (
            "10.9.9.9",
            "192.0.2.25",
            "users-to-own-server".into(),
            json!(["pass", "pass", "mask", "mask", "host", false]),
        ),
    ] {
        let said = decides(client, server)?;
        ensure!(said["scope"] == scope, "{client} {server}: {said}");
        let (policy, file) = (&said["policy"], serde_json::to_string(&said["policy"])?);
        schema::check("policy", policy)?;
        let named = |section: &str, word: &str| policy[section].get(word).unwrap_or(&policy[section]["other"]).clone();
        let auth = match named("extensions", "AUTH").as_str() {
            Some("mask") => "mask".into(),
            _ => named("commands", "AUTH"),
        };
        let found = json!([
            named("commands", "EHLO"),
            auth,
            named("commands", "VRFY"),
            named("extensions", "CHUNKING"),
            policy["banner"]["show"],
            policy["capture_envelope"],
        ]);
        ensure!(found == facts, "{client} {server}: {found} {file}");
        ensure!(policy["mode"] == "enforce" && policy["scope"] == json!([]), "{file}");
    }
    Ok(())
}

#[test]
fn check_says_how_many_scopes_there_are_and_which_one_decides() -> Result<()> {
    let policy = gateway()?;
    let (_, out, _) = run(&["policy", "check", "-"], policy.as_bytes())?;
    ensure!(out.ends_with(" keywords named, 3 scopes of 7 prefixes\n"), "{out}");
    let one = "[[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\"]\n";
    for (ends, expected) in [
        (["--client", "10.0.0.1"].as_slice(), "client 10.0.0.1, a server that no scope names: scope a decides\n"),
        (
            &["--server", "10.0.0.1"],
            "a client that no scope names, server 10.0.0.1: no scope decides, but the whole policy\n",
        ),
    ] {
        let (code, out, err) = run(&[&["policy", "check", "-"], ends].concat(), one.as_bytes())?;
        ensure!(code == 0 && out.contains(&format!(", 1 scope of 1 prefix\n{expected}")), "{out}{err}");
    }
    for words in [["--client", "10.0.0.0/8"].as_slice(), &["--actions", "--client", "10.0.0.1"]] {
        ensure!(run(&[&["policy", "check", "-"], words].concat(), b"")?.0 == 2, "{words:?}");
    }
    let bad = one.replace("10.0.0.0", "10.0.0.1");
    let (code, out, err) = run(&["policy", "check", "-"], bad.as_bytes())?;
    let expected =
        "smtp-filter: -:3:12: scope.a.clients: `10.0.0.1/8` has bits set after its first 8; expected 10.0.0.0/8\n";
    ensure!((code, out.as_str(), err.as_str()) == (1, "", expected), "{err}");
    Ok(())
}

#[test]
fn a_hundred_thousand_prefixes_are_a_policy_like_any_other() -> Result<()> {
    let host = |i: u32| format!("\"{}\",\n", std::net::Ipv4Addr::from(0x0a00_0000 + 2 * i));
    let network = |i: u32| format!("\"2001:db8:{i:x}::/48\",\n");
    let hosts: String = (0..60_000).map(host).chain((0..40_000).map(network)).collect();
    let policy = format!("[[scope]]\nname = \"many\"\nclients = [\n{hosts}]\ncommands = {{ EHLO = \"drop\" }}\n");
    let (code, out, err) = run(&["policy", "check", "-", "--client", "2001:db8:9c3f::1"], policy.as_bytes())?;
    ensure!(code == 0 && out.contains(", 1 scope of 100000 prefixes\n"), "{out}{err}");
    ensure!(out.contains("scope many decides\n"), "{out}");
    // The first fault is found where it stands.
    let bad = policy.replace("\"2001:db8:9c3f::/48\"", "\"2001:db8:9c3f::/47\"");
    let (code, _, err) = run(&["policy", "check", "-"], bad.as_bytes())?;
    ensure!(
        code == 1 && err.starts_with("smtp-filter: -:100003:1: scope.many.clients: `2001:db8:9c3f::/47` has"),
        "{err}"
    );
    Ok(())
}

#[test]
fn replay_judges_by_the_scope_and_names_it() -> Result<()> {
    let capture = env::temp_dir().join(format!("smtp-filter-scopes-{}.pcap", std::process::id()));
    let says: &[(bool, &[u8])] =
        &[(false, b"220 mx ESMTP\r\n"), (true, b"EHLO a\r\n"), (false, b"250 mx\r\n"), (true, b"QUIT\r\n")];
    fs::write(&capture, Pcap::of(&dialogue(&mut Recording::new(40_000), says)))?;
    let told = (|| {
        let name = capture.to_str().context("a path")?;
        let (code, events, _) = run(&["replay", name, "--json"], b"")?;
        ensure!(code == 0, "{events}");
        let lines = |events: &str| schema::check_events(&events.lines().map(str::to_owned).collect::<Vec<_>>());
        let lines = |events: &str| {
            lines(events).map(|mut lines| {
                lines.retain(|line| line["kind"] != "stats");
                lines
            })
        };
        let plain = lines(&events)?;
        let client = plain.first().and_then(|event| event["client"].as_str()).context("a client")?;
        let client = client.rsplit_once(':').context("its port")?.0.trim_matches(['[', ']']).to_owned();
        let policy = format!(
            "mode = \"enforce\"\n[[scope]]\nname = \"it\"\nclients = [\"{client}\"]\ncommands = {{ EHLO = \"mark\" }}\n"
        );
        let (code, events, err) = run(&["replay", name, "--policy", "-", "--json"], policy.as_bytes())?;
        ensure!(code == 0, "{err}");
        Ok((plain, lines(&events)?))
    })();
    fs::remove_file(&capture)?;
    let (plain, scoped) = told?;
    ensure!(plain.iter().all(|event| event["scope"].is_null()) && !plain.is_empty(), "{plain:#?}");
    ensure!(scoped.iter().all(|event| event["scope"] == "it"), "{scoped:#?}");
    let ehlo = scoped.iter().find(|event| event["verb"] == "EHLO").context("EHLO")?;
    ensure!(ehlo["action"] == "mark" && ehlo["enforced"] == true, "{ehlo}");
    Ok(())
}
