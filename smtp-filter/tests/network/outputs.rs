//! What the commands say of real connections, as JSON held against the schemas, and for people.
//!
//! Invariants: I7.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use smtp_filter_testkit::{
    Client, Filter, MailServer, Network, Running, SERVER_V4, SERVER_V6,
    lab::{self, SOON, filter, hello, say, schema, wait_until},
    send_by_esmtp,
};

struct Rig {
    filter: Filter,
    server: MailServer,
    network: Network,
}

impl Rig {
    fn new() -> Result<Self> {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        filter.up(&["--iface", "inside", "--iface", "outside"])?;
        Ok(Self { filter, server, network })
    }
}

/// A client whose banner has come.
fn greeted(rig: &Rig) -> Result<Client> {
    let mut client = Client::connect(&rig.network.client, SERVER_V4)?;
    client.patience(SOON)?;
    client.greeting()?;
    Ok(client)
}

#[test(root)]
fn every_object_is_as_its_schema_says() -> Result<()> {
    let rig = Rig::new()?;
    rig.filter.set(&["mode=enforce", "commands.vrfy=drop", "commands.expn=reset", "capture_envelope=true"])?;
    let events = lab::events(&rig.filter)?;
    send_by_esmtp(&rig.network.client, SERVER_V6, "a mail")?;
    let mut dropped = greeted(&rig)?;
    dropped.write(b"VRFY root\r\n")?;
    let mut reset = greeted(&rig)?;
    reset.write(b"EXPN all\r\n")?;
    for kind in ["\"connect\"", "\"close\"", "commands.vrfy", "commands.expn", "\"ended\":\"reset\""] {
        events.wait_for(SOON, |line| line.contains(kind).then_some(()))?;
    }
    let told = schema::check_events(&events.lines())?;
    ensure!(told.len() > 10, "{told:#?}");

    for (words, name) in [
        (["status"].as_slice(), "status"),
        (&["stats"], "stats"),
        (&["connections"], "connections"),
        (&["policy", "show"], "policy"),
    ] {
        let mut value = rig.filter.json(words)?;
        schema::check(name, &value)?;
        // And a schema refuses what it does not know.
        value["more"] = json!(1);
        ensure!(schema::check(name, &value).is_err(), "{name}");
        value.as_object_mut().context("an object")?.remove("more");
        let first = value.as_object().and_then(|object| object.keys().next().cloned()).context("a key")?;
        value.as_object_mut().context("an object")?.remove(&first);
        ensure!(schema::check(name, &value).is_err(), "{name} without {first}");
    }
    for profile in ["monitor", "drop-esmtp", "mark-esmtp"] {
        schema::check("policy", &rig.filter.json(&["policy", "profiles", profile])?)?;
    }
    let close = told.iter().find(|event| event["kind"] == "close").context("a close")?;
    let mut other = close.clone();
    other["kind"] = "command".into();
    ensure!(schema::check("event", &other).is_err(), "a command has no summary");
    other = close.clone();
    other.as_object_mut().context("an object")?.remove("summary");
    ensure!(schema::check("event", &other).is_err(), "a close has one");
    Ok(())
}

#[test(root)]
fn a_mail_is_a_connection_with_a_beginning_and_an_end() -> Result<()> {
    let rig = Rig::new()?;
    let events = lab::events(&rig.filter)?;
    for (number, server) in [SERVER_V4, SERVER_V6].into_iter().enumerate() {
        send_by_esmtp(&rig.network.client, server, "a mail")?;
        let is_close = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["kind"] == "close" && event["server"] == server.to_string()).then_some(event)
        };
        let close = events.wait_for(SOON, is_close)?;
        let summary = &close["summary"];
        // EHLO, MAIL, RCPT, DATA, QUIT.
        let expected =
            [("commands", json!(5)), ("recipients", json!(1)), ("messages", json!(1)), ("tls", json!(false))];
        for (name, value) in expected {
            ensure!(summary[name] == value, "{name}: {close}");
        }
        ensure!(summary["ended"] == "quit", "{close}");
        let lines = rig.server.lines();
        let mails = rig.server.mails();
        // What the server read: the command lines of this session, the mail, its doubled dots and its end.
        let lines = &lines[lines.len() - 5..];
        let commands: usize = lines.iter().map(|line| line.len() + 2).sum();
        let text = &mails[number].text;
        let dots = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.starts_with(b".")).count();
        let bytes = (commands + text.len() + dots + 3) as u64;
        ensure!(summary["bytes_client"] == bytes, "{bytes}: {close}, {lines:?}, {}", String::from_utf8_lossy(text));
        let begin = events
            .lines()
            .into_iter()
            .find(|line| line.contains("\"connect\"") && line.contains(close["connection"].as_str().unwrap_or("?")));
        ensure!(begin.is_some_and(|line| line.contains(close["client"].as_str().unwrap_or("?"))));
    }
    ensure!(rig.filter.json(&["status"])?["connections"]["live"] == 0);
    ensure!(rig.filter.json(&["connections"])?["connections"] == json!([]));
    Ok(())
}

#[test(root)]
fn live_connections_are_listed_with_what_they_are_at() -> Result<()> {
    let rig = Rig::new()?;
    let waiting = greeted(&rig)?;
    let mut in_text = hello(&rig.network.client, SERVER_V6, "HELO")?;
    lab::begin_data(&mut in_text)?;
    let list = |words: &[&str]| -> Result<Vec<Value>> {
        let value = rig.filter.json(&[&["connections"], words].concat())?;
        schema::check("connections", &value)?;
        Ok(value["connections"].as_array().context("connections")?.clone())
    };
    let all = list(&[])?;
    let states: Vec<_> = all.iter().map(|one| one["state"].as_str().unwrap_or_default()).collect();
    ensure!(states == ["command", "mail-data"], "{all:#?}");
    ensure!(all[0]["server"] == SERVER_V4.to_string() && all[1]["server"] == SERVER_V6.to_string(), "{all:#?}");
    ensure!(all[0]["bytes_client"] == 0 && all[0]["bytes_server"].as_u64() > Some(10), "{all:#?}");
    ensure!(all.iter().all(|one| one["scope"].is_null()));
    ensure!(list(&["--client", "2001:db8::/32"])? == all[1..]);
    ensure!(list(&["--client", "192.0.2.10"])? == all[..1]);
    ensure!(list(&["--client", "203.0.113.0/24"])?.is_empty());
    let table = rig.filter.succeed(&["connections"])?;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(rows.len() == 3 && rows[0][..5] == ["CLIENT", "SERVER", "SCOPE", "STATE", "SINCE"], "{table}");
    for (row, one) in rows[1..].iter().zip(&all) {
        let facts = ["client", "server", "state", "since"].map(|key| one[key].as_str().unwrap_or_default());
        let shown = [row[0], row[1], row[3], row[4]];
        ensure!(shown == facts && row[2] == "-" && row[5].parse().ok() == one["bytes_client"].as_u64(), "{table}");
    }
    drop((waiting, in_text));
    wait_until("both are gone from the list", || Ok(list(&[])?.is_empty()))?;
    ensure!(rig.filter.json(&["status"])?["connections"]["live"] == 0);
    Ok(())
}

/// Objects of `stats --watch --json` so far.
fn looks(watch: &Running) -> Result<Vec<Value>> {
    watch.lines().iter().filter(|line| line.starts_with('{')).map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[test(root)]
fn stats_are_watched_until_a_signal_or_the_filters_end() -> Result<()> {
    let rig = Rig::new()?;
    let mut watch = Running::spawn(&mut rig.filter.command(&["stats", "--watch", "--json"]))?;
    wait_until("a first look", || Ok(!looks(&watch)?.is_empty()))?;
    let mut client = hello(&rig.network.client, SERVER_V4, "HELO")?;
    for _ in 0..50 {
        say(&mut client, "NOOP", 250)?;
    }
    let noop = |look: &Value| -> Option<(u64, u64)> {
        let row = look["reasons"].as_array()?.iter().find(|row| row["reason"] == "commands.noop")?.clone();
        Some((row["segments"].as_u64()?, row["segments_per_second"].as_u64()?))
    };
    wait_until("all of them are counted", || {
        Ok(looks(&watch)?.last().and_then(noop).is_some_and(|noop| noop.0 == 50))
    })?;
    let looked = looks(&watch)?;
    for look in &looked {
        schema::check("stats", look)?;
    }
    ensure!(
        looked[0]["reasons"]
            .as_array()
            .is_some_and(|rows| { rows.iter().all(|row| row.get("segments_per_second").is_none()) }),
        "there is no rate before the second look"
    );
    // About as many a second as came: how long a look took is the machine's business.
    ensure!(looked.iter().filter_map(noop).any(|noop| noop.1 > 0), "{looked:#?}");
    let count = looked.len();
    wait_until("a look in which nothing came", || {
        Ok(looks(&watch)?[count..].iter().filter_map(noop).any(|noop| noop == (50, 0)))
    })?;
    watch.signal(Signal::INT)?;
    ensure!(watch.wait(SOON)?, "{:?}", watch.lines().last());

    let mut blocks = Running::spawn(&mut rig.filter.command(&["stats", "--watch"]))?;
    let heads = |watch: &Running| watch.lines().iter().filter(|line| line.starts_with("REASON")).count();
    wait_until("three blocks", || Ok(heads(&blocks) >= 3))?;
    let lines = blocks.lines();
    ensure!(lines.iter().any(|line| line.contains("SEGMENTS/S")) && !lines.concat().contains('\u{1b}'), "{lines:#?}");
    let second = lines.iter().rposition(|line| line.starts_with("REASON")).context("a block")?;
    ensure!(lines[second - 1].is_empty(), "an empty line between two blocks");
    rig.filter.down()?;
    ensure!(blocks.wait(SOON)?);
    ensure!(blocks.lines().iter().any(|line| line.contains("the filter was taken off")), "{:?}", blocks.lines());
    Ok(())
}

#[test(root)]
fn on_a_terminal_stats_are_redrawn_in_their_place() -> Result<()> {
    let rig = Rig::new()?;
    drop(greeted(&rig)?);
    let watch = rig.filter.command(&["stats", "--watch"]);
    let words: Vec<String> = std::iter::once(watch.get_program())
        .chain(watch.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    // A terminal of four rows.
    let line = format!("stty rows 4 cols 20; exec {}", words.join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    let mut terminal = Running::spawn(&mut script)?;
    let shown = |terminal: &Running| terminal.lines().join("\n").replace('\r', "");
    wait_until("three blocks", || Ok(shown(&terminal).matches("REASON").count() >= 3))?;
    let text = shown(&terminal);
    ensure!(text.matches("\u{1b}[2J").count() == 1, "cleared once: {text:?}");
    ensure!(text.matches("\u{1b}[HREASON").count() >= 3, "and then written over: {text:?}");
    ensure!(text.contains(" more\u{1b}[K"), "what does not fit is said: {text:?}");
    let visible = anstream::adapter::strip_str(&text).to_string();
    ensure!(visible.lines().all(|line| line.chars().count() <= 20), "no line is longer than the terminal: {text:?}");
    rig.filter.down()?;
    ensure!(terminal.wait(SOON)?, "{:?}", terminal.lines());
    Ok(())
}
