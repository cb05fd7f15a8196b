//! One gateway that is strict with the outside, lenient with a printer, and watches its own users.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::{
    Client, MailServer, Network, SERVER_V4, SERVER_V6,
    lab::{SOON, TemporaryFile, event, events, filter, hello},
};

/// Strict to all but a printer, and the users behind the server only watched.
const POLICY: &str = r#"
profile = "pix-mailguard"

[[scope]]
name = "printer"
clients = ["192.0.2.20", "2001:db8:1::20"]
servers = ["198.51.100.25", "2001:db8:2::/64"]
commands = { EHLO = "log", other = "pass" }
extensions = { other = "pass" }
banner = { show = "all" }

[[scope]]
name = "users"
clients = ["198.51.100.0/24", "2001:db8:2::/64"]
commands = { EHLO = "log", HELO = "log", MAIL = "log", RCPT = "log", other = "log" }
extensions = { other = "pass" }
banner = { show = "all" }
"#;

/// A network whose client can speak as the printer, and whose server can be a client of it.
fn network() -> Result<Network> {
    let network = Network::new()?;
    network.client.ip(&["address add 192.0.2.20/24 dev eth0", "address add 2001:db8:1::20/64 dev eth0 nodad"])?;
    Ok(network)
}

/// Has the client speak as host `host` of its networks from here on.
fn speak_as(network: &Network, host: u32) -> Result<()> {
    network.client.ip(&[
        &format!("route replace default via 192.0.2.1 src 192.0.2.{host}"),
        &format!("route replace default via 2001:db8:1::1 src 2001:db8:1::{host}"),
    ])
}

#[test(root)]
fn one_gateway_is_strict_lenient_and_watches() -> Result<()> {
    let network = network()?;
    let (behind, before) = (MailServer::start(&network.server)?, MailServer::start(&network.client)?);
    let file = TemporaryFile::new("scopes.toml", POLICY.as_bytes())?;
    let filter = filter(&network.gateway)?;
    filter.up(&["--iface", "inside", "--policy", &file.0.to_string_lossy()])?;
    let events = events(&filter)?;
    let mut next = 0;
    for server in [SERVER_V4, SERVER_V6] {
        speak_as(&network, 10)?;
        let mut strict = Client::connect(&network.client, server)?;
        let banner = strict.greeting()?.lines.join(" ");
        ensure!(banner.bytes().all(|byte| b"*20".contains(&byte)), "{banner}");
        ensure!(strict.command("EHLO client.example")?.code == 500);
        let (told, line) = event(&events, next, "commands.ehlo", "mask")?;
        ensure!(told["scope"].is_null(), "{told}");
        next = line;

        speak_as(&network, 20)?;
        let mut printer = hello(&network.client, server, "EHLO")?;
        let (told, line) = event(&events, next, "commands.ehlo", "log")?;
        ensure!(told["scope"] == "printer" && told["arg"] == "client.example", "{told}");
        next = line;
        let listed = filter.json(&["connections"])?;
        let scopes: Vec<_> =
            listed["connections"].as_array().context("connections")?.iter().map(|one| &one["scope"]).collect();
        ensure!(scopes.contains(&&"printer".into()), "{listed}");
        printer.command("XYZZY printer")?;
        ensure!(behind.lines().iter().any(|line| line == "XYZZY printer"), "{:?}", behind.lines());

        let out = std::net::SocketAddr::new(
            if server.is_ipv4() { smtp_filter_testkit::CLIENT_V4 } else { smtp_filter_testkit::CLIENT_V6 },
            server.port(),
        );
        let mut user = hello(&network.server, out, "EHLO")?;
        let (told, line) = event(&events, next, "commands.ehlo", "log")?;
        ensure!(told["scope"] == "users", "{told}");
        next = line;
        user.command("XYZZY")?;
        let (told, line) = event(&events, next, "commands.other", "log")?;
        ensure!(told["scope"] == "users" && told["verb"] == "XYZZY", "{told}");
        next = line;
    }
    ensure!(before.lines().iter().any(|line| line == "XYZZY"), "{:?}", before.lines());
    ensure!(!behind.lines().iter().any(|line| line == "XYZZY"), "{:?}", behind.lines());
    Ok(())
}

/// A new policy counts for the next command of connections that are open: all its scopes at once.
#[test(root)]
fn a_new_policy_counts_for_the_next_command() -> Result<()> {
    let network = network()?;
    let server = MailServer::start(&network.server)?;
    let file = TemporaryFile::new("scopes.toml", POLICY.as_bytes())?;
    let filter = filter(&network.gateway)?;
    filter.up(&["--iface", "inside", "--profile", "monitor"])?;
    let events = events(&filter)?;
    speak_as(&network, 20)?;
    let mut printer = hello(&network.client, SERVER_V4, "EHLO")?;
    let (told, next) = event(&events, 0, "commands.ehlo", "log")?;
    ensure!(told["scope"].is_null(), "{told}");
    speak_as(&network, 10)?;
    let mut strict = hello(&network.client, SERVER_V4, "EHLO")?;

    filter.succeed(&["policy", "load", &file.0.to_string_lossy()])?;
    printer.command("XYZZY printer")?;
    ensure!(strict.command("XYZZY strict")?.code == 500);
    let (told, next) = event(&events, next, "commands.other", "mask")?;
    ensure!(told["scope"].is_null() && told["verb"] == "XYZZY" && told["arg"] == "strict", "{told}");

    filter.set(&["scope.printer.commands.xyzzy=mask", "commands.other=pass"])?;
    ensure!(printer.command("XYZZY printer again")?.code == 500);
    let (told, _) = event(&events, next, "commands.xyzzy", "mask")?;
    ensure!(told["scope"] == "printer", "{told}");
    strict.command("XYZZY strict again")?;
    let lines = server.lines();
    for (line, arrives) in
        [("XYZZY printer", true), ("XYZZY strict", false), ("XYZZY printer again", false), ("XYZZY strict again", true)]
    {
        ensure!(lines.iter().any(|arrived| arrived == line) == arrives, "{line}: {lines:?}");
    }
    Ok(())
}

/// A policy of 100,000 prefixes is set in one step, shown, and counts for the first and the last of them.
#[test(root)]
fn a_hundred_thousand_prefixes() -> Result<()> {
    let network = network()?;
    let server = MailServer::start(&network.server)?;
    let filter = filter(&network.gateway)?;
    filter.up(&["--iface", "inside", "--profile", "drop-esmtp"])?;
    let events = events(&filter)?;
    let mut policy = String::from(
        "profile = \"drop-esmtp\"\n[[scope]]\nname = \"many\"\ncommands = { HELO = \"mask\" }\nclients = [",
    );
    for i in 0..50_000_u32 {
        writeln!(
            policy,
            "\"10.{}.{}.{}/30\", \"2001:db8:{:x}:{:x}::/64\",",
            i >> 14,
            i >> 6 & 255,
            (i & 63) << 2,
            0x100 + (i >> 8),
            i & 255
        )?;
    }
    policy.push_str("\"192.0.2.20\", \"2001:db8:1::20\"]\n");
    let file = TemporaryFile::new("many.toml", policy.as_bytes())?;
    filter.succeed(&["policy", "load", &file.0.to_string_lossy()])?;
    let shown = filter.json(&["policy", "show"])?;
    ensure!(shown["scope"][0]["clients"].as_array().map(Vec::len) == Some(100_002), "all prefixes are shown");

    let mut next = 0;
    for server in [SERVER_V4, SERVER_V6] {
        speak_as(&network, 20)?;
        let mut one = Client::connect(&network.client, server)?;
        one.patience(SOON)?;
        one.greeting()?;
        ensure!(one.command("HELO one")?.code == 500);
        let (told, line) = event(&events, next, "commands.helo", "mask")?;
        ensure!(told["scope"] == "many", "{told}");
        next = line;
        speak_as(&network, 10)?;
        hello(&network.client, server, "HELO")?;
    }
    ensure!(!server.lines().iter().any(|line| line == "HELO one"), "{:?}", server.lines());
    filter.set(&["scope.many.commands.helo=pass"])?;
    speak_as(&network, 20)?;
    hello(&network.client, SERVER_V4, "HELO")?;
    Ok(())
}
