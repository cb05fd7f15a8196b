//! The command line with a filter that is on: in network namespaces of its own, with pins of its own. Needs root.
//!
//! Invariants: I7, I10.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use rustix::process::Signal;
use serde_json::{Value, json};
use smtp_filter_testkit::{Client, Filter, MailServer, Namespace, Network, Running, SERVER_V4};

const PROGRAM: &str = env!("CARGO_BIN_EXE_smtp-filter");
const SOON: Duration = Duration::from_secs(20);

/// A namespace with interfaces `one` and `two`, and a filter that is not on yet.
fn rig() -> Result<(Namespace, Filter)> {
    let namespace = Namespace::new("cli")?;
    namespace.ip(&["link add one type veth peer name two", "link set one up", "link set two up"])?;
    let filter = Filter::new(PROGRAM, &namespace)?;
    Ok((namespace, filter))
}

/// A command that fails: its one line.
fn refusal(filter: &Filter, words: &[&str]) -> Result<String> {
    let output = filter.run(words)?;
    let line = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{words:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    Ok(line)
}

fn gone(path: &Path) -> bool {
    !path.exists()
}

/// `up` in the foreground.
fn foreground(filter: &Filter, namespace: &Namespace, words: &[&str]) -> Result<Running> {
    let words = [&["up", "--netns", namespace.name()], words].concat();
    let up = Running::spawn(&mut filter.command(&words))?;
    up.wait_for(SOON, |line| line.contains("Ctrl-C takes it off").then_some(()))?;
    Ok(up)
}

#[test(root)]
fn a_filter_goes_on_and_off_and_leaves_nothing() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let (namespace, filter) = rig()?;
        assert!(refusal(&filter, &["status"])?.contains("no filter is on at"));
        assert!(filter.down()?.contains("there is nothing to take off"));

        let said = filter.up(&["--iface", "one", "--iface", "two", "--hook", hook, "--port", "25", "--port", "587"])?;
        assert!(said.contains("on one, two") && said.contains("smtp-filter down"), "{said}");
        let status = filter.json(&["status"])?;
        assert_eq!(status["v"], 1);
        for (at, name) in ["one", "two"].into_iter().enumerate() {
            let interface = &status["interfaces"][at];
            assert_eq!((&interface["name"], &interface["hook"]), (&name.into(), &hook.into()));
            assert!(interface["ifindex"].is_u64() && interface["ingress_program"].is_u64());
            assert!(interface["egress_program"].is_u64());
        }
        assert_eq!(status["policy"], json!({ "profile": "monitor", "mode": "monitor", "generation": 1 }));
        assert_eq!(status["connections"], json!({ "live": 0, "half_open": 0, "max": 65_536 }));
        assert_eq!(status["lost_events"], 0);
        assert_eq!((&status["attached"], &status["ports"]), (&true.into(), &json!([25, 587])));
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(status["pin_dir"], filter.pin_dir().display().to_string());
        for sums in ["segments", "commands", "extensions"] {
            assert!(status[sums].is_array(), "{sums}: {status}");
        }
        let stats = filter.json(&["stats"])?;
        assert_eq!(stats["since"], status["since"]);
        assert!(stats["ts"].as_str() > stats["since"].as_str(), "{stats}");

        // A takeover that keeps the policy changes neither its generation nor since when it counts.
        filter.up(&["--iface", "one", "--iface", "two", "--confirm", "1h"])?;
        filter.succeed(&["confirm"])?;
        let now = filter.json(&["status"])?;
        assert_eq!((&now["policy"], &now["since"]), (&status["policy"], &status["since"]));
        let status = now;
        assert_eq!(filter.json(&["policy", "show"])?["ports"], json!([25, 587]));

        let other = if hook == "tcx" { "clsact" } else { "tcx" };
        let second = ["up", "--detach", "--netns", namespace.name(), "--iface", "one"];
        let refused = refusal(&filter, &[second.as_slice(), &["--hook", other]].concat())?;
        assert!(refused.contains(&format!("the filter is on one by {hook}")), "{refused}");
        let refused = refusal(&filter, &[second.as_slice(), &["--connections", "100"]].concat())?;
        assert!(refused.contains("has room for 65536 connections"), "{refused}");
        assert_eq!(filter.json(&["status"])?, status, "nothing has changed");

        assert!(refusal(&filter, &["down", "--iface", "three"])?.contains("not on three, but on one, two"));
        filter.succeed(&["down", "--iface", "one"])?;
        assert_eq!(filter.json(&["status"])?["interfaces"].as_array().map(Vec::len), Some(1));
        filter.succeed(&["down", "--iface", "two"])?;
        assert!(gone(filter.pin_dir()));
        assert!(filter.down()?.contains("there is nothing to take off"));
        let qdiscs = namespace.command("tc").args(["qdisc", "show"]).output()?;
        assert!(!String::from_utf8(qdiscs.stdout)?.contains("clsact"), "the qdisc went with the filter");
    }
    Ok(())
}

#[test(root)]
fn a_failed_up_leaves_nothing() -> Result<()> {
    let (namespace, filter) = rig()?;
    let in_namespace = ["up", "--detach", "--netns", namespace.name()];
    for (words, expected) in [
        (["--iface", "three"].as_slice(), "there is no interface \"three\""),
        (&["--iface", "one", "--iface", "one"], "the interface one is named twice"),
        (&["--iface", "one", "--policy", "/no/such.toml"], "read the policy /no/such.toml"),
    ] {
        let line = refusal(&filter, &[&in_namespace, words].concat())?;
        assert!(line.contains(expected), "{line}");
        assert!(gone(filter.pin_dir()), "{line}");
    }
    assert!(refusal(&filter, &["up", "--netns", "no-such", "--iface", "one"])?.contains("/run/netns/no-such"));
    let elsewhere = std::process::Command::new(PROGRAM)
        .args(["up", "--detach", "--iface", "lo", "--pin-dir", "/proc/smtp-filter"])
        .output()?;
    let line = String::from_utf8(elsewhere.stderr)?;
    assert!(line.contains("is not in a BPF file system: take one below /sys/fs/bpf"), "{line}");
    Ok(())
}

#[test(root)]
fn signals_end_the_foreground_as_documented() -> Result<()> {
    let (namespace, filter) = rig()?;
    for signal in [Signal::INT, Signal::TERM] {
        let mut up = foreground(&filter, &namespace, &["--iface", "one"])?;
        assert!(!gone(filter.pin_dir()));
        up.signal(signal)?;
        assert!(up.wait(SOON)?, "{:?}", up.lines());
        assert!(gone(filter.pin_dir()));
    }
    let mut up = foreground(&filter, &namespace, &["--iface", "one"])?;
    up.signal(Signal::HUP)?;
    assert!(up.wait(SOON)?);
    assert!(filter.json(&["status"])?["interfaces"][0]["ingress_program"].is_u64());
    filter.down()?;

    let mut up = foreground(&filter, &namespace, &["--iface", "one"])?;
    filter.down()?;
    assert!(up.wait(SOON)?);
    assert!(up.lines().iter().any(|line| line.contains("taken off by another command")));
    Ok(())
}

#[test(root)]
fn a_killed_loader_leaves_a_filter_that_can_be_taken_off() -> Result<()> {
    let (namespace, filter) = rig()?;
    let mut up = foreground(&filter, &namespace, &["--iface", "one"])?;
    up.kill()?;
    assert!(filter.json(&["status"])?["interfaces"][0]["egress_program"].is_u64());
    filter.down()?;
    assert!(gone(filter.pin_dir()));
    Ok(())
}

#[test(root)]
fn a_policy_changes_whole_or_not_at_all() -> Result<()> {
    let (_namespace, filter) = rig()?;
    filter.up(&["--iface", "one"])?;
    let before = filter.json(&["policy", "show"])?;
    for words in [
        ["policy", "set", "commands.ehlo=drop", "commands.vrfy=downgrade"].as_slice(),
        &["policy", "set", "mode=enforce", "extensions.starttls=drop"],
        &["policy", "load", "/no/such.toml"],
    ] {
        refusal(&filter, words)?;
    }
    assert_eq!(filter.json(&["policy", "show"])?, before);
    assert_eq!(filter.json(&["status"])?["policy"]["generation"], 1);

    assert!(filter.set(&["commands.ehlo=drop"])?.contains("not enforced: in mode monitor"));
    assert!(!filter.set(&["mode=enforce"])?.contains("not enforced"));
    let after = filter.json(&["policy", "show"])?;
    assert_eq!((&after["commands"]["EHLO"], &after["mode"]), (&"drop".into(), &"enforce".into()));

    let text = filter.succeed(&["policy", "show", "--toml"])?;
    let file = std::env::temp_dir().join(format!("smtp-filter-live-{}.toml", std::process::id()));
    fs::write(&file, &text)?;
    filter.set(&["profile=monitor"])?;
    let loaded = filter.succeed(&["policy", "load", &file.display().to_string()]);
    fs::remove_file(&file)?;
    loaded?;
    assert_eq!(filter.succeed(&["policy", "show", "--toml"])?, text);
    Ok(())
}

#[test(root)]
fn who_takes_starttls_away_is_warned() -> Result<()> {
    const LINE: &str = "smtp-filter: warning: this policy takes STARTTLS away (commands.ehlo=downgrade, \
                        commands.starttls=mask, extensions.other=mask): mail goes in clear, and senders that insist on \
                        TLS (MTA-STS, DANE, REQUIRETLS) keep theirs back\n";
    let (namespace, filter) = rig()?;
    let told = |words: &[&str]| -> Result<String> {
        let output = filter.run(words)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        Ok(said)
    };
    let up = ["up", "--detach", "--netns", namespace.name(), "--iface", "one"];
    assert_eq!(told(&up)?, "");
    assert_eq!(told(&["policy", "set", "commands.ehlo=downgrade"])?, "", "monitored");
    assert_eq!(told(&["policy", "set", "profile=helo-only"])?, LINE);
    assert_eq!(told(&["policy", "show"])?, "");
    // A takeover that keeps the policy keeps what it does.
    assert_eq!(told(&up)?, LINE);
    assert_eq!(told(&["policy", "set", "profile=hardened", "--json"])?, "");
    let file = std::env::temp_dir().join(format!("smtp-filter-starttls-{}.toml", std::process::id()));
    fs::write(&file, "profile = \"helo-only\"\n")?;
    let said = told(&["policy", "load", &file.display().to_string()]);
    fs::remove_file(&file)?;
    assert_eq!(said?, LINE);
    filter.down()?;
    assert_eq!(told(&[&up[..], &["--profile", "helo-only"]].concat())?, LINE);
    filter.down()?;
    let foreground = foreground(&filter, &namespace, &["--iface", "one", "--profile", "helo-only"])?;
    assert!(foreground.lines().iter().any(|line| line == LINE.trim_end()), "{:?}", foreground.lines());
    Ok(())
}

#[test(root)]
fn an_extension_has_a_counter_of_its_name() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let filter = Filter::new(PROGRAM, &network.gateway)?;
    filter.up(&["--iface", "inside"])?;
    filter.set(&["extensions.8bitmime=log", "extensions.x-secret=mask", "banner.show=host"])?;
    let json = filter.json(&["policy", "show"])?;
    assert_eq!(json["extensions"], json!({ "8BITMIME": "log", "X-SECRET": "mask", "other": "pass" }));
    assert_eq!(json["banner"]["show"], "host");
    let text = filter.succeed(&["policy", "show"])?;
    assert!(text.contains("# X-SECRET is masked with the extension X-SECRET"), "{text}");
    let mut client = Client::connect(&network.client, SERVER_V4)?;
    client.greeting()?;
    let reply = client.command("EHLO client.example")?;
    let stats = filter.json(&["stats"])?;
    let row = stats["reasons"].as_array().into_iter().flatten().find(|row| row["reason"] == "extensions.8bitmime");
    assert_eq!(
        row.map(|row| (&row["segments"], &row["action"])),
        Some((&1.into(), &"log".into())),
        "{reply:?} {stats}"
    );
    Ok(())
}

#[test(root)]
fn changes_at_the_same_time_all_count() -> Result<()> {
    let (_namespace, filter) = rig()?;
    filter.up(&["--iface", "one"])?;
    let mut changes: Vec<Running> = (0..12)
        .map(|i| Running::spawn(&mut filter.command(&["policy", "set", &format!("commands.verb{i}=drop")])))
        .collect::<Result<_>>()?;
    for change in &mut changes {
        assert!(change.wait(SOON)?, "{:?}", change.lines());
    }
    let policy = filter.json(&["policy", "show"])?;
    for i in 0..12 {
        assert_eq!(policy["commands"][format!("VERB{i}")], "drop");
    }
    assert_eq!(filter.json(&["status"])?["policy"]["generation"], 13);
    Ok(())
}

#[test(root)]
fn the_place_of_a_killed_reader_is_free_again() -> Result<()> {
    let (_namespace, filter) = rig()?;
    filter.up(&["--iface", "one"])?;
    let mut readers: Vec<Running> = (0..8).map(|_| filter.events()).collect::<Result<_>>()?;
    for reader in &readers {
        reader.wait_for(SOON, |line| line.contains("reading the events of one").then_some(()))?;
    }
    assert!(refusal(&filter, &["events"])?.contains("all 8 places"));
    readers.remove(3).kill()?;
    let reader = filter.events()?;
    reader.wait_for(SOON, |line| line.contains("reading the events of one").then_some(()))?;
    filter.down()?;
    for reader in &readers {
        reader.wait_for(SOON, |line| line.contains("the filter was taken off").then_some(()))?;
    }
    Ok(())
}

#[test(root)]
fn who_waits_for_a_reason_that_no_event_can_have_is_warned() -> Result<()> {
    let (_namespace, filter) = rig()?;
    filter.up(&["--iface", "one"])?;
    for (reason, expected) in [
        ("nosuch", "no event has the reason `nosuch`"),
        ("elho", "no event has the reason `elho`; expected perhaps ehlo"),
        ("commands.xyz", "which the policy does not name: what is not named has the reason commands.other"),
    ] {
        let output = filter.run(&["events", "--reason", reason])?;
        let line = String::from_utf8(output.stderr)?;
        assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
        assert!(line.contains(expected), "{line}");
    }
    // Once the policy names it, there may be one.
    filter.set(&["commands.xyz=drop"])?;
    let reader = Running::spawn(&mut filter.command(&["events", "--reason", "xyz"]))?;
    reader.wait_for(SOON, |line| line.contains("reading the events of one").then_some(()))?;
    Ok(())
}

#[test(root)]
fn console_and_json_report_the_same_story_to_every_reader() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let filter = Filter::new(PROGRAM, &network.gateway)?;
    filter.up(&["--iface", "inside"])?;
    let (json, again) = (filter.events()?, filter.events()?);
    let console = Running::spawn(&mut filter.command(&["events", "--reason", "commands.ehlo", "--count", "1"]))?;
    for reader in [&json, &again, &console] {
        reader.wait_for(SOON, |line| line.contains("reading the events of inside").then_some(()))?;
    }

    let mut client = Client::connect(&network.client, SERVER_V4)?;
    client.greeting()?;
    client.command("EHLO evil\u{1b}[2J.example")?;

    let ehlo = |line: &str| -> Option<Value> {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["verb"] == "EHLO").then_some(event)
    };
    let event = json.wait_for(SOON, ehlo)?;
    assert_eq!(again.wait_for(SOON, ehlo)?, event);
    assert_eq!((&event["v"], &event["iface"], &event["kind"]), (&1.into(), &"inside".into(), &"command".into()));
    assert_eq!((&event["arg"], &event["server"]), (&"evil\\x1b[2J.example".into(), &"198.51.100.25:25".into()));
    assert_eq!((&event["action"], &event["reason"]), (&"log".into(), &"commands.ehlo".into()));
    let line = console.wait_for(SOON, |line| line.contains("EHLO").then(|| line.to_owned()))?;
    for key in ["ts", "iface", "client", "server", "kind", "action", "reason", "verb", "arg", "connection"] {
        let fact = event[key].as_str().unwrap_or_default();
        assert!(!fact.is_empty() && line.contains(fact), "{key}: {fact}: {line}");
    }
    assert!(!line.contains('\u{1b}'));
    Ok(())
}
