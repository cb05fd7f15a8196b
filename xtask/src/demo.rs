//! `cargo xtask demo`: the main job, on a network of this machine's own.

use std::{
    cell::Cell,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::Value;
use smtp_filter_testnet::{
    Client, Filter, MailServer, NAME, Network, Running, SERVER_V4, SERVER_V6, leftovers, send_by_esmtp,
};

use crate::{
    build,
    process::{is_root, run as execute, target_dir},
};

/// See the filter at work: a client, a gateway and a mail server in network namespaces of their own.
///
/// Builds the program first. Shows EHLO passing and being logged, dropped, marked and reset, toggled from the command
/// line, and mail arriving all the same; takes seconds. Touches no interface and no filter of yours, needs no network,
/// leaves nothing behind. Fails where something was not as it should be. Needs root, takes sudo where it must.
#[derive(clap::Args, Default)]
pub struct Args {
    /// The program is built already: how this calls itself through sudo
    #[arg(long, hide = true)]
    built: bool,
}

/// How long anything but a dropped segment may take to be seen.
const SOON: Duration = Duration::from_secs(5);

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    if !args.built {
        build::run(&build::Args::default())?;
    }
    if !is_root() {
        println!("demo: namespaces and eBPF need root: going on through sudo");
        let mut sudo = Command::new("sudo");
        return execute(sudo.arg("-E").arg(std::env::current_exe()?).args(["demo", "--built"]));
    }
    let start = Instant::now();
    let failed = play()?;

    heading("Afterwards");
    let left = leftovers();
    if left.is_empty() {
        println!("  ok      no namespace, no pin and no process of this demo is left");
    } else {
        println!("  FAILED  left behind: {}", left.join(", "));
    }
    match failed + usize::from(!left.is_empty()) {
        0 => {
            println!("\ndemo: all of it as it should be, in {:.0?}", start.elapsed());
            Ok(())
        }
        failed => bail!("{failed} of the things above marked FAILED were not as they should be"),
    }
}

/// Plays all scenes. Returns how many expectations were not met; everything it made is gone then.
fn play() -> Result<usize> {
    let mut stage = Stage::new()?;
    stage.monitor()?;
    stage.drop_ehlo()?;
    stage.mark_ehlo()?;
    stage.reset_ehlo()?;
    stage.numbers()?;
    stage.down()?;
    Ok(stage.failed.get())
}

/// The network, the filter on it, and the two readers of its events: one for the eyes, one for the checks.
struct Stage {
    failed: Cell<usize>,
    shown: Option<Running>,
    events: Option<Running>,
    /// The number of the next event to look at.
    next: Cell<usize>,
    server: MailServer,
    filter: Filter,
    network: Network,
}

impl Stage {
    fn new() -> Result<Self> {
        heading("A network");
        let network = Network::new()?;
        println!("  client 192.0.2.10 ------ inside [gateway] outside ------ 198.51.100.25 mail server");
        println!("  2001:db8:1::10                                           2001:db8:2::25");
        let server = MailServer::start(&network.server)?;
        let filter = Filter::new(target_dir().join("release/smtp-filter"), &network.gateway)?;
        println!(
            "  The filter will sit on `inside`. Each command below also gets --pin-dir {},",
            filter.pin_dir().display()
        );
        println!("  and `up` gets --netns {}: a filter of yours is not touched.", network.gateway.name());
        let (failed, next) = (Cell::new(0), Cell::new(0));
        Ok(Self { failed, shown: None, events: None, next, server, filter, network })
    }

    fn monitor(&mut self) -> Result<()> {
        heading("1. Mode monitor, the default: everything passes, everything is logged");
        self.say("up --iface inside --detach", &self.filter.up(&["--iface", "inside"])?);
        println!("  $ smtp-filter events &");
        let shown = Running::spawn_shown(&mut self.filter.command(&["events"]), "  event   ")?;
        let events = self.filter.events()?;
        for reader in [&shown, &events] {
            reader.wait_for(SOON, |line| line.contains("reading the events").then_some(()))?;
        }
        (self.shown, self.events) = (Some(shown), Some(events));
        println!("  client  a mail program sends a mail: EHLO, MAIL, RCPT, DATA, QUIT");
        let sent = send_by_esmtp(&self.network.client, SERVER_V4, "through the monitor");
        self.expect_sent(sent, "through the monitor");
        self.expect_event("log", true);
        Ok(())
    }

    fn drop_ehlo(&self) -> Result<()> {
        heading("2. EHLO dropped: ESMTP stops, plain SMTP goes on");
        self.set(&["mode=enforce", "commands.ehlo=drop"])?;
        let before = self.greetings("EHLO");
        let mut client = self.greeted(SERVER_V4)?;
        let start = Instant::now();
        println!("  client  EHLO {NAME}");
        let error = client.command(&format!("EHLO {NAME}")).err();
        let timed_out = error.as_ref().is_some_and(Client::timed_out);
        self.expect(timed_out, format_args!("no reply came within {:.1?}", start.elapsed()));
        let seen = self.greetings("EHLO") - before;
        self.expect(seen == 0, format_args!("EHLO lines that reached the server: {seen}"));
        drop(client);
        self.expect_event("drop", true);
        for server in [SERVER_V4, SERVER_V6] {
            let subject = if server.is_ipv4() { "by HELO" } else { "by HELO and IPv6" };
            let mut client = self.greeted(server)?;
            println!("  client  HELO {NAME}, and a mail, to {server}");
            let sent = client.command(&format!("HELO {NAME}")).and_then(|_| client.send(subject));
            self.expect_sent(sent, subject);
        }
        Ok(())
    }

    fn mark_ehlo(&self) -> Result<()> {
        heading("3. EHLO marked: the session goes where a rule of the gateway sends it");
        let Network { gateway, server, .. } = &self.network;
        for namespace in [gateway, server] {
            // Nothing but the marked session is to be heard on the second link.
            namespace.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        }
        server.sysctl("ipv4/conf/all/rp_filter", "0")?;
        server.sysctl("ipv4/conf/default/rp_filter", "0")?;
        let rules = ["rule add fwmark 0x19/0xff table 25", "route add 198.51.100.25 via 203.0.113.2 table 25"];
        gateway.ip(&[
            &format!("link add quarantine type veth peer name eth1 netns {}", server.name()),
            "address add 203.0.113.1/24 dev quarantine",
            "link set quarantine up",
        ])?;
        server.ip(&["address add 203.0.113.2/24 dev eth1", "link set eth1 up"])?;
        gateway.ip(&rules)?;
        for rule in rules {
            println!("  $ ip {rule}");
        }
        self.set(&["commands.ehlo=mark"])?;
        println!("  client  HELO {NAME}, and a mail");
        let mut client = self.greeted(SERVER_V4)?;
        let sent = client.command(&format!("HELO {NAME}")).and_then(|_| client.send("not marked"));
        self.expect_sent(sent, "not marked");
        let before = server.received_packets("eth1")?;
        self.expect(before == 0, format_args!("packets that took the quarantine link: {before}"));

        println!("  client  a mail program sends a mail: EHLO, MAIL, RCPT, DATA, QUIT");
        let sent = send_by_esmtp(&self.network.client, SERVER_V4, "marked");
        self.expect_sent(sent, "marked");
        let packets = server.received_packets("eth1")? - before;
        self.expect(packets > 0, format_args!("packets that took the quarantine link: {packets}"));
        self.expect_event("mark", true);
        Ok(())
    }

    fn reset_ehlo(&self) -> Result<()> {
        heading("4. EHLO reset: the client sees it at once");
        self.set(&["commands.ehlo=reset"])?;
        let mut client = self.greeted(SERVER_V4)?;
        let start = Instant::now();
        println!("  client  EHLO {NAME}");
        let error = client.command(&format!("EHLO {NAME}")).err();
        let was_reset = error.as_ref().is_some_and(Client::was_reset);
        self.expect(was_reset, format_args!("the connection was reset after {:.1?}", start.elapsed()));
        self.expect_event("reset", true);
        Ok(())
    }

    fn numbers(&self) -> Result<()> {
        heading("5. The counters");
        self.say("stats", &self.filter.succeed(&["stats"])?);
        self.say("status", &self.filter.succeed(&["status"])?);
        let stats = self.filter.json(&["stats"])?;
        let reasons = stats["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
        for action in ["log", "drop", "mark", "reset"] {
            let of_ehlo = |row: &&Value| row["reason"] == "commands.ehlo" && row["action"] == action;
            let segments = reasons.iter().filter(of_ehlo).filter_map(|row| row["segments"].as_u64()).sum::<u64>();
            self.expect(segments > 0, format_args!("segments counted for commands.ehlo, {action}: {segments}"));
        }
        let lost = self.filter.json(&["status"])?["lost_events"].as_u64();
        self.expect(
            lost == Some(0),
            format_args!("lost events: {}", lost.map_or("unknown".to_owned(), |n| n.to_string())),
        );
        Ok(())
    }

    fn down(&mut self) -> Result<()> {
        heading("6. Taken off");
        self.say("down", &self.filter.down()?);
        // The readers have nothing left to read; where they did not end by themselves they are ended here.
        self.shown = None;
        self.events = None;
        let sent = send_by_esmtp(&self.network.client, SERVER_V4, "after down");
        self.expect_sent(sent, "after down");
        let pins = std::fs::read_dir(self.filter.pin_dir()).into_iter().flatten().flatten();
        let pins: Vec<_> = pins.map(|pin| pin.file_name().to_string_lossy().into_owned()).collect();
        self.expect(
            pins.is_empty(),
            format_args!(
                "pins left by the filter: {}",
                if pins.is_empty() { "none".to_owned() } else { pins.join(", ") }
            ),
        );
        Ok(())
    }

    /// A client that has read the banner.
    fn greeted(&self, server: std::net::SocketAddr) -> Result<Client> {
        let mut client = Client::connect(&self.network.client, server)?;
        client.greeting()?;
        Ok(client)
    }

    /// How many command lines with this verb have reached the server.
    fn greetings(&self, verb: &str) -> usize {
        self.server.lines().iter().filter(|line| line.starts_with(verb)).count()
    }

    /// Sets keys of the policy, as the reader would.
    fn set(&self, settings: &[&str]) -> Result<()> {
        self.say(&format!("policy set {}", settings.join(" ")), &self.filter.set(settings)?);
        Ok(())
    }

    /// Shows a command and what it said.
    fn say(&self, command: &str, output: &str) {
        println!("  $ smtp-filter {command}");
        for line in output.lines() {
            println!("    {line}");
        }
    }

    /// States something, and whether it holds.
    fn expect(&self, holds: bool, what: impl std::fmt::Display) {
        if holds {
            println!("  ok      {what}");
        } else {
            println!("  FAILED  {what}");
            self.failed.set(self.failed.get() + 1);
        }
    }

    /// The mail was sent and has arrived.
    fn expect_sent(&self, sent: Result<()>, subject: &str) {
        match sent {
            Ok(()) => {
                let arrived = self.server.mails().iter().any(|mail| mail.subject().as_deref() == Some(subject));
                self.expect(arrived, format_args!("the mail \"{subject}\" arrived"));
            }
            Err(error) => self.expect(false, format_args!("the mail \"{subject}\" arrived: {error:#}")),
        }
    }

    /// An event tells of an EHLO, of what was done, and whether it was really done.
    fn expect_event(&self, action: &str, enforced: bool) {
        let is_it = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            let verb = event["verb"].as_str()?.eq_ignore_ascii_case("EHLO");
            (verb && event["action"] == action && event["enforced"] == enforced).then_some(())
        };
        let Some(events) = &self.events else { return };
        match events.wait_from(self.next.get(), SOON, is_it) {
            Ok(((), next)) => {
                self.next.set(next);
                // The other reader prints as many lines, for the eyes: they belong here.
                if let Some(shown) = &self.shown {
                    let _ = shown.wait_from(next - 1, SOON, |_| Some(()));
                }
                self.expect(true, format_args!("the event says: EHLO, {action}"));
            }
            Err(error) => self.expect(false, format_args!("the event says: EHLO, {action}: {error:#}")),
        }
    }
}

fn heading(what: &str) {
    println!("\n{what}");
}
