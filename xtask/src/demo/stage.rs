//! What the scenes play on: the network, the server, the filter, and whether all is as it should be.

use std::{cell::Cell, time::Duration};

use anyhow::Result;
use serde_json::Value;
use smtp_filter_testkit::{Client, Filter, MailServer, Network, Running};

use crate::process::target_dir;

/// How long anything but a dropped segment may take to be seen.
pub(super) const SOON: Duration = Duration::from_secs(5);

/// The network, the filter on it, and the two readers of its events: one for the eyes, one for the checks.
pub(super) struct Stage {
    pub(super) failed: Cell<usize>,
    pub(super) shown: Option<Running>,
    pub(super) events: Option<Running>,
    /// The number of the next event to look at.
    pub(super) next: Cell<usize>,
    pub(super) server: MailServer,
    pub(super) filter: Filter,
    pub(super) network: Network,
}

impl Stage {
    pub(super) fn new() -> Result<Self> {
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

    /// A client that has read the banner.
    pub(super) fn greeted(&self, server: std::net::SocketAddr) -> Result<Client> {
        let mut client = Client::connect(&self.network.client, server)?;
        client.greeting()?;
        Ok(client)
    }

    /// How many command lines with this verb have reached the server.
    pub(super) fn greetings(&self, verb: &str) -> usize {
        self.server.lines().iter().filter(|line| line.starts_with(verb)).count()
    }

    /// Sets keys of the policy, as the reader would.
    pub(super) fn set(&self, settings: &[&str]) -> Result<()> {
        self.say(&format!("policy set {}", settings.join(" ")), &self.filter.set(settings)?);
        Ok(())
    }

    /// Shows a command and what it said.
    pub(super) fn say(&self, command: &str, output: &str) {
        println!("  $ smtp-filter {command}");
        for line in output.lines() {
            println!("    {line}");
        }
    }

    /// States something, and whether it holds.
    pub(super) fn expect(&self, holds: bool, what: impl std::fmt::Display) {
        if holds {
            println!("  ok      {what}");
        } else {
            println!("  FAILED  {what}");
            self.failed.set(self.failed.get() + 1);
        }
    }

    /// The mail was sent and has arrived.
    pub(super) fn expect_sent(&self, sent: Result<()>, subject: &str) {
        match sent {
            Ok(()) => {
                let arrived = self.server.mails().iter().any(|mail| mail.subject().as_deref() == Some(subject));
                self.expect(arrived, format_args!("the mail \"{subject}\" arrived"));
            }
            Err(error) => self.expect(false, format_args!("the mail \"{subject}\" arrived: {error:#}")),
        }
    }

    /// An event reports an EHLO, of what was done, and whether it was really done.
    pub(super) fn expect_event(&self, action: &str, enforced: bool) {
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

/// Begins a scene.
pub(super) fn heading(what: &str) {
    println!("\n{what}");
}
