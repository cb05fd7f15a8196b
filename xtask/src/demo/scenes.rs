//! The scenes: EHLO passing, dropped, marked and reset; the counters; the end.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use smtp_filter_testkit::{Client, NAME, Network, Running, SERVER_V4, SERVER_V6, send_by_esmtp};

use super::stage::{SOON, Stage, heading};

impl Stage {
    pub(super) fn monitor(&mut self) -> Result<()> {
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

    pub(super) fn drop_ehlo(&self) -> Result<()> {
        heading("2. EHLO dropped: ESMTP stops, plain SMTP goes on");
        self.set(&["mode=enforce", "commands.ehlo=drop"])?;
        let before = self.greetings("EHLO");
        let mut client = self.greeted(SERVER_V4)?;
        client.patience(Duration::from_secs(3))?;
        let start = Instant::now();
        println!("  client  EHLO {NAME}");
        let error = client.command(&format!("EHLO {NAME}")).err();
        let timed_out = error.as_ref().is_some_and(Client::timed_out);
        self.expect(timed_out, format_args!("no reply came within {:.1?}", start.elapsed()));
        let seen = self.greetings("EHLO") - before;
        self.expect(seen == 0, format_args!("EHLO lines that reached the server: {seen}"));
        // Or it would be retransmitted, and marked in the next scene.
        client.abort()?;
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

    pub(super) fn mark_ehlo(&self) -> Result<()> {
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

    pub(super) fn reset_ehlo(&self) -> Result<()> {
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

    pub(super) fn numbers(&self) -> Result<()> {
        heading("6. The counters");
        self.say("stats", &self.filter.succeed(&["stats"])?);
        self.say("status", &self.filter.succeed(&["status"])?);
        let stats = self.filter.json(&["stats"])?;
        let reasons = stats["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
        for action in ["log", "drop", "mark", "reset", "downgrade", "mask"] {
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

    pub(super) fn down(&mut self) -> Result<()> {
        heading("7. Taken off");
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
}
