//! A filter's life: taken over without a gap, on trial, killed at any moment, its interfaces gone and back.
//!
//! Invariants: I10, I12.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData, PerCpuArray};
use rustix::{net::sockopt::set_socket_linger, process::Signal};
use serde_json::Value;
use smtp_filter_common::{
    action::Action,
    reason::{Reason, counter},
};
use smtp_filter_testkit::{
    Client, Filter, MailServer, Namespace, Network, Random, Running, SERVER_V4, SERVER_V6,
    lab::{SOON, all_counters, begin_data, counted, event, events, filter, hello, say, wait_until},
    need,
};

/// How long a reply to EHLO is waited for that must not come.
const SILENCE: Duration = Duration::from_millis(150);

/// EHLO on a connection of its own gets no reply.
pub(crate) fn ehlo_is_dropped(network: &Network) -> Result<()> {
    let mut client = Client::connect(&network.client, SERVER_V4)?;
    // A RST at the end, or EHLO would be retransmitted when the filter is off on purpose.
    set_socket_linger(client.stream(), Some(Duration::ZERO))?;
    client.patience(SOON)?;
    ensure!(client.greeting()?.code == 220);
    client.patience(SILENCE)?;
    ensure!(client.command("EHLO client.example").is_err(), "EHLO has passed");
    Ok(())
}

/// Nothing that the server has read begins with EHLO.
fn no_ehlo_arrived(server: &MailServer) -> Result<()> {
    let arrived: Vec<String> = server.lines().into_iter().filter(|line| line.starts_with("EHLO")).collect();
    ensure!(arrived.is_empty(), "{arrived:?}");
    Ok(())
}

/// Connections with EHLO, one after the other from several threads, until `work` is done.
fn under_fire(network: &Network, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let shooters: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| -> Result<u32> {
                    let mut shots = 0;
                    while !over.load(Ordering::Relaxed) {
                        ehlo_is_dropped(network)?;
                        shots += 1;
                    }
                    Ok(shots)
                })
            })
            .collect();
        let done = work();
        over.store(true, Ordering::Relaxed);
        let mut shots = 0;
        for shooter in shooters {
            shots += shooter.join().expect("no panic")?;
        }
        ensure!(shots > 0);
        done
    })
}

/// `up` in the foreground.
fn foreground(filter: &Filter, network: &Network, words: &[&str]) -> Result<Running> {
    let words = [&["up", "--netns", network.gateway.name()], words].concat();
    let up = Running::spawn(&mut filter.command(&words))?;
    up.wait_for(SOON, |line| line.contains("Ctrl-C takes it off").then_some(()))?;
    Ok(up)
}

/// The programs at the hooks. Where one is missing, `status` says so by its exit code, too.
fn programs(filter: &Filter) -> Result<Vec<Value>> {
    let output = filter.run(&["status", "--json"])?;
    let status: Value = serde_json::from_slice(&output.stdout)?;
    let attached = !status["interfaces"].to_string().contains("null");
    ensure!(output.status.code() == Some(i32::from(!attached)) && status["attached"] == attached, "{status}");
    let interfaces = status["interfaces"].as_array().context("interfaces")?.iter();
    Ok(interfaces.flat_map(|at| [at["ingress_program"].clone(), at["egress_program"].clone()]).collect())
}

/// Makes what is pinned look as another version of smtp-filter would have left it.
pub(crate) fn pretend_another_version(filter: &Filter) -> Result<()> {
    let control = MapData::from_pin(filter.pin_dir().join("maps/CONTROL"))?;
    let mut control: Array<MapData, [u32; 2]> = Map::from_map_data(control)?.try_into()?;
    let [_, generation] = control.get(&0, 0)?;
    Ok(control.set(0, [9999, generation], 0)?)
}

#[test(root)]
fn a_second_up_takes_over_connections_policy_counters_and_readers() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        filter.up(&["--iface", "inside", "--profile", "drop-esmtp", "--hook", hook])?;
        filter.set(&["commands.vrfy=reset"])?;
        let reader = events(&filter)?;
        let mut session = hello(&network.client, SERVER_V4, "HELO")?;
        begin_data(&mut session)?;
        session.write(b"Subject: over the takeover\r\n\r\nEHLO in the text\r\n")?;
        wait_until("the text is counted", || Ok(counted(&filter, "pass.mail_data")?.0 > 0))?;
        let (before, policy) = (programs(&filter)?, filter.json(&["policy", "show"])?);
        let helos = counted(&filter, "commands.helo")?;

        let said = filter.up(&["--iface", "inside"])?;
        ensure!(said.starts_with("took over, without a gap: on inside"), "{said}");
        let after = programs(&filter)?;
        ensure!(before.iter().all(|program| !after.contains(program)) && !after.contains(&Value::Null), "{after:?}");
        ensure!(filter.json(&["policy", "show"])? == policy, "the policy stays");
        ensure!(counted(&filter, "commands.helo")? == helos, "and so do the counters");

        // The connection is known still: its text goes on, and behind it commands are read.
        session.write(b"EHLO once more in the text\r\n.\r\n")?;
        ensure!(session.reply()?.code == 250);
        session.patience(SILENCE)?;
        ensure!(session.command("EHLO client.example").is_err(), "dropped");
        event(&reader, 0, "commands.ehlo", "drop")?;
        let refused = hello(&network.client, SERVER_V4, "HELO")?.command("VRFY x");
        ensure!(refused.is_err_and(|error| Client::was_reset(&error)));
        // One policy after the other, as before.
        filter.set(&["commands.ehlo=pass"])?;
        session.patience(SOON)?;
        ensure!(session.reply()?.code == 250, "the next retransmission passes");
        ensure!(server.wait_for_mails(1, SOON)?[0].subject().as_deref() == Some("over the takeover"));

        // With a policy of its own, a takeover brings that one.
        let said = filter.up(&["--iface", "inside", "--iface", "outside", "--profile", "mark-esmtp"])?;
        ensure!(said.contains("inside, outside") || said.contains("inside by clsact"), "{said}");
        let policy = filter.json(&["status"])?["policy"].clone();
        ensure!(
            policy["profile"] == "mark-esmtp" && policy["generation"] == 4,
            "a takeover that keeps the policy is no change of it: {policy}"
        );
        filter.down()?;
        ensure!(!filter.pin_dir().exists());
    }
    Ok(())
}

#[test(root)]
fn no_segment_goes_unjudged_during_takeovers() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        filter.up(&["--iface", "inside", "--profile", "drop-esmtp", "--hook", hook])?;
        under_fire(&network, || {
            for round in 0..8 {
                filter.up(&["--iface", "inside"])?;
                hello(&network.client, SERVER_V4, "HELO")?.send(&format!("round {round}"))?;
            }
            Ok(())
        })?;
        no_ehlo_arrived(&server).with_context(|| all_counters(&filter))?;
        ensure!(server.wait_for_mails(8, SOON)?.len() == 8);
    }
    Ok(())
}

/// The array of the chain is emptied with its last holder, and the hooks go a moment after their pins: nothing may be
/// dropped in between.
#[test(root)]
fn down_drops_no_segment() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let network = Network::new()?;
        let _server = MailServer::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        for _ in 0..6 {
            filter.up(&["--iface", "inside", "--hook", hook])?;
            let counters = MapData::from_pin(filter.pin_dir().join("maps/COUNTERS"))?;
            let counters: PerCpuArray<MapData, [u64; 2]> = Map::from_map_data(counters)?.try_into()?;
            let over = AtomicBool::new(false);
            thread::scope(|scope| -> Result<()> {
                let talkers: Vec<_> = (0..3)
                    .map(|_| {
                        scope.spawn(|| -> Result<()> {
                            while !over.load(Ordering::Relaxed) {
                                hello(&network.client, SERVER_V4, "HELO")?;
                            }
                            Ok(())
                        })
                    })
                    .collect();
                thread::sleep(Duration::from_millis(50));
                let down = filter.run(&["down"]);
                over.store(true, Ordering::Relaxed);
                for talker in talkers {
                    talker.join().expect("no panic")?;
                }
                ensure!(down?.status.success());
                Ok(())
            })?;
            for enforced in [false, true] {
                let busy = counter(Reason::Busy.number(), Action::Drop as u8, enforced);
                let segments: u64 = counters.get(&busy, 0)?.iter().map(|[segments, _]| segments).sum();
                ensure!(segments == 0, "{hook}: {segments} segments were dropped by a chain that was gone");
            }
        }
    }
    Ok(())
}

#[test(root)]
fn who_was_taken_over_takes_nothing_off() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let filter = filter(&network.gateway)?;
    let mut first = foreground(&filter, &network, &["--iface", "inside", "--profile", "drop-esmtp"])?;
    let mut second = foreground(&filter, &network, &["--iface", "inside"])?;
    first.wait_for(SOON, |line| line.contains("has taken the filter over").then_some(()))?;
    // Both show events.
    ehlo_is_dropped(&network)?;
    for up in [&first, &second] {
        up.wait_for(SOON, |line| line.contains("commands.ehlo").then_some(()))?;
    }
    first.signal(Signal::TERM)?;
    ensure!(first.wait(SOON)?, "{:?}", first.lines());
    ensure!(first.lines().iter().any(|line| line.contains("left on: another")), "{:?}", first.lines());
    ehlo_is_dropped(&network)?;
    second.signal(Signal::TERM)?;
    ensure!(second.wait(SOON)?);
    ensure!(!filter.pin_dir().exists(), "the second one owns it");
    hello(&network.client, SERVER_V4, "EHLO")?;
    Ok(())
}

#[test(root)]
fn another_version_is_taken_over_with_its_policy_and_its_connections_have_a_grace() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        let mut first = foreground(&filter, &network, &["--iface", "inside", "--hook", hook])?;
        filter.set(&["mode=enforce", "commands.ehlo=drop"])?;
        let mut session = hello(&network.client, SERVER_V4, "HELO")?;
        let policy = filter.json(&["policy", "show"])?;
        pretend_another_version(&filter)?;
        for words in [["status"].as_slice(), &["stats"], &["events"], &["policy", "set", "mode=monitor"], &["confirm"]]
        {
            let refused = filter.run(words)?;
            let line = String::from_utf8(refused.stderr)?;
            ensure!(!refused.status.success() && line.lines().count() == 1, "{words:?}: {line}");
            ensure!(line.contains("another version of smtp-filter"), "{words:?}: {line}");
        }
        let said = filter.up(&["--iface", "inside"])?;
        ensure!(said.starts_with("took over from another version"), "{said}");
        ensure!(filter.json(&["policy", "show"])? == policy);
        no_ehlo_arrived(&server)?;
        ehlo_is_dropped(&network)?;
        // Unknown, and within the grace.
        say(&mut session, "NOOP", 250)?;
        ensure!(counted(&filter, "guards.unknown_connection")?.0 > 0, "{}", all_counters(&filter));
        // The reader of the other version's events has nothing to read any more.
        ensure!(first.wait(SOON)?, "{:?}", first.lines());
        filter.down()?;
        ensure!(!filter.pin_dir().exists());
    }
    Ok(())
}

#[test(root)]
fn a_filter_of_another_version_can_be_taken_off() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let filter = filter(&network.gateway)?;
    filter.up(&["--iface", "inside", "--profile", "drop-esmtp", "--hook", "clsact"])?;
    pretend_another_version(&filter)?;
    filter.down()?;
    ensure!(!filter.pin_dir().exists());
    hello(&network.client, SERVER_V4, "EHLO")?;
    Ok(())
}

#[test(root)]
fn a_takeover_that_fails_leaves_everything_as_it_was() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    for hook in ["tcx", "clsact"] {
        let filter = filter(&network.gateway)?;
        // An interface without a link layer that could be read: it is refused when all else has been done.
        network.gateway.ip(&["link add tunnel type gretap local 192.0.2.1 remote 192.0.2.10 dev inside"]).ok();
        filter.up(&["--iface", "inside", "--profile", "drop-esmtp", "--hook", hook])?;
        let (status, policy) = (filter.json(&["status"])?, filter.json(&["policy", "show"])?);
        let other = if hook == "tcx" { "clsact" } else { "tcx" };
        for words in [
            ["--iface", "no-such"].as_slice(),
            &["--iface", "inside", "--iface", "inside"],
            &["--iface", "inside", "--hook", other],
            &["--iface", "inside", "--connections", "77"],
            &["--iface", "inside", "--policy", "/no/such.toml"],
        ] {
            let up = [&["up", "--detach", "--netns", network.gateway.name()], words].concat();
            ensure!(!filter.run(&up)?.status.success(), "{words:?}");
            ensure!(filter.json(&["status"])? == status && filter.json(&["policy", "show"])? == policy, "{words:?}");
        }
        ehlo_is_dropped(&network)?;
        let elsewhere = filter.run(&["up", "--detach", "--netns", network.client.name(), "--iface", "eth0"])?;
        let line = String::from_utf8(elsewhere.stderr)?;
        ensure!(line.contains("is in another network namespace"), "{line}");
    }
    Ok(())
}

/// Kills commands at random moments. Whatever they were at, the next one finds its way.
#[test(root, long)]
fn a_command_killed_at_any_moment_leaves_a_way_on() -> Result<()> {
    let network = Network::new()?;
    let server = MailServer::start(&network.server)?;
    let filter = filter(&network.gateway)?;
    let mut random = Random::new(20_261_124);
    let on = ["up", "--detach", "--netns", network.gateway.name(), "--iface", "inside", "--profile", "drop-esmtp"];
    let clsact = [on.as_slice(), &["--iface", "outside", "--hook", "clsact"]].concat();
    for round in 0..48 {
        let words: &[&str] = match round % 6 {
            0 | 1 => &on,
            2 => &clsact,
            3 => &["policy", "set", "commands.vrfy=drop"],
            4 => &["down"],
            _ => &["confirm"],
        };
        // Half of the time there is a filter to be taken over, sometimes another version's.
        match random.below(4) {
            0 if filter.pin_dir().exists() => drop(filter.down()?),
            1 if filter.pin_dir().exists() => pretend_another_version(&filter)?,
            _ => {}
        }
        let mut victim = Running::spawn(&mut filter.command(words))?;
        thread::sleep(Duration::from_micros(random.below(if words[0] == "up" { 200_000 } else { 30_000 })));
        victim.kill()?;

        let what = || format!("round {round}, after {words:?} was killed");
        if random.below(2) == 0 {
            // A look: it says how things stand, or in one line why it cannot.
            let looked = filter.run(&["status"])?;
            let line = String::from_utf8(looked.stderr)?;
            ensure!(looked.status.success() || line.lines().count() == 1, "{}: {line}", what());
        }
        filter.up(&["--iface", "inside", "--profile", "drop-esmtp"]).with_context(what)?;
        let status = filter.json(&["status"]).with_context(what)?;
        ensure!(!status["interfaces"].to_string().contains("null"), "{}: {status}", what());
        ehlo_is_dropped(&network).with_context(what)?;
        hello(&network.client, SERVER_V4, "HELO")?.send(&format!("round {round}")).with_context(what)?;
        filter.set(&["commands.vrfy=drop"]).with_context(what)?;
        if random.below(3) == 0 {
            filter.down().with_context(what)?;
            ensure!(!filter.pin_dir().exists(), "{}", what());
            hello(&network.client, SERVER_V6, "HELO")?;
        }
    }
    no_ehlo_arrived(&server)?;
    ensure!(server.wait_for_mails(48, SOON)?.len() == 48);
    filter.up(&["--iface", "inside"])?;
    filter.down()?;
    ensure!(!filter.pin_dir().exists());
    let qdiscs = network.gateway.command("tc").args(["qdisc", "show"]).output()?;
    ensure!(!String::from_utf8(qdiscs.stdout)?.contains("clsact"), "no qdisc is left");
    Ok(())
}

#[test(root)]
fn a_takeover_killed_at_any_moment_lets_nothing_slip() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        filter.up(&["--iface", "inside", "--profile", "drop-esmtp", "--hook", hook])?;
        let mut random = Random::new(7);
        under_fire(&network, || {
            for _ in 0..20 {
                let words = ["up", "--detach", "--netns", network.gateway.name(), "--iface", "inside"];
                let mut victim = Running::spawn(&mut filter.command(&words))?;
                thread::sleep(Duration::from_micros(random.below(250_000)));
                victim.kill()?;
            }
            // Whatever the last one left: this one settles it.
            filter.up(&["--iface", "inside"]).map(drop)
        })?;
        no_ehlo_arrived(&server).with_context(|| all_counters(&filter))?;
        let policy = filter.json(&["status"])?["policy"].clone();
        ensure!(policy["profile"] == "drop-esmtp" && policy["mode"] == "enforce", "{policy}");
    }
    Ok(())
}

#[test(root, long)]
fn a_trial_ends_by_itself_unless_it_is_confirmed() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let filter = filter(&network.gateway)?;
    let trial = ["--iface", "inside", "--profile", "drop-esmtp", "--confirm", "6s"];

    // Detached: the programs, the maps and the pins go.
    let said = filter.up(&trial)?;
    ensure!(said.contains("unless `smtp-filter confirm` comes first"), "{said}");
    ensure!(filter.json(&["status"])?["unconfirmed_until"].is_string());
    ehlo_is_dropped(&network)?;
    wait_until("the trial is over", || Ok(!filter.pin_dir().exists()))?;
    hello(&network.client, SERVER_V4, "EHLO")?;
    ensure!(!filter.run(&["confirm"])?.status.success(), "too late");

    // In the foreground the same, and it is no success.
    let mut up = foreground(&filter, &network, &trial)?;
    ensure!(!up.wait(SOON)?, "{:?}", up.lines());
    ensure!(up.lines().iter().any(|line| line.contains("nobody confirmed")), "{:?}", up.lines());
    ensure!(!filter.pin_dir().exists());

    // Confirmed, it stays; a second time nothing waits for it.
    filter.up(&trial)?;
    ensure!(filter.json(&["confirm"])?["confirmed"] == true);
    ensure!(filter.json(&["confirm"])?["confirmed"] == false);
    thread::sleep(Duration::from_millis(6_500));
    ensure!(filter.json(&["status"])?["unconfirmed_until"].is_null());
    ehlo_is_dropped(&network)?;

    // Who takes it over without a trial has it stay.
    filter.up(&trial)?;
    filter.up(&["--iface", "inside"])?;
    thread::sleep(Duration::from_millis(6_500));
    ehlo_is_dropped(&network)?;
    filter.down()?;
    Ok(())
}

/// The loader dies, and with it whoever waits for the confirmation: the program in the kernel keeps the time itself.
#[test(root)]
fn a_trial_ends_also_when_nothing_of_the_loader_is_left() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let filter = filter(&network.gateway)?;
    let mut up = foreground(&filter, &network, &["--iface", "inside", "--profile", "drop-esmtp", "--confirm", "6s"])?;
    up.kill()?;
    let mut session = hello(&network.client, SERVER_V4, "HELO")?;
    session.write(b"EHLO client.example\r\n")?;
    // It is retransmitted until the filter has gone off.
    session.patience(SOON)?;
    ensure!(session.reply()?.code == 250);
    hello(&network.client, SERVER_V4, "EHLO")?;
    ensure!(filter.pin_dir().exists(), "nobody was left to remove the pins");
    let status = filter.run(&["status"])?;
    let line = String::from_utf8(status.stderr)?;
    ensure!(!status.status.success() && line.contains("was not confirmed in time, and is off"), "{line}");
    ensure!(!filter.pin_dir().exists(), "the next command did");

    // The same over which another one is put on: nothing of the trial is kept.
    let mut up = foreground(&filter, &network, &["--iface", "inside", "--profile", "drop-esmtp", "--confirm", "2s"])?;
    up.kill()?;
    thread::sleep(Duration::from_millis(2_100));
    let said = filter.up(&["--iface", "inside"])?;
    ensure!(said.starts_with("on inside") && said.contains("profile monitor"), "{said}");
    Ok(())
}

/// The gateway's link to the client, made anew.
fn make_inside(network: &Network) -> Result<()> {
    let (gateway, client) = (&network.gateway, &network.client);
    gateway.ip(&[
        &format!("link add inside type veth peer name eth0 netns {}", client.name()),
        "address add 192.0.2.1/24 dev inside",
        "link set inside up",
    ])?;
    client.ip(&["address add 192.0.2.10/24 dev eth0", "link set eth0 up", "route add default via 192.0.2.1"])
}

/// What `doctor` says is to be done about the filter.
fn remedy(filter: &Filter) -> Result<String> {
    let report: Value = serde_json::from_slice(&filter.run(&["doctor", "--json"])?.stdout)?;
    let checks = report["checks"].as_array().context("checks")?;
    let check = checks.iter().find(|check| check["name"] == "filter").context("the check")?;
    Ok(check["remedy"].as_str().unwrap_or_default().to_owned())
}

#[test(root)]
fn an_interface_that_comes_back_gets_the_filter_again() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let filter = filter(&network.gateway)?;
        let mut up = foreground(&filter, &network, &["--iface", "inside", "--profile", "drop-esmtp", "--hook", hook])?;
        ehlo_is_dropped(&network)?;
        for _ in 0..2 {
            network.gateway.ip(&["link del inside"])?;
            up.wait_for(SOON, |line| line.contains("inside is gone").then_some(()))?;
            make_inside(&network)?;
            wait_until("the filter is back", || Ok(!programs(&filter)?.contains(&Value::Null)))?;
            ehlo_is_dropped(&network)?;
            hello(&network.client, SERVER_V4, "HELO")?.send("back")?;
        }
        up.wait_for(SOON, |line| line.contains("inside is back").then_some(()))?;

        // Without a loader in the foreground the next `up` does it.
        up.signal(Signal::HUP)?;
        ensure!(up.wait(SOON)?);
        network.gateway.ip(&["link del inside"])?;
        let status = filter.run(&["status"])?;
        ensure!(status.status.code() == Some(1));
        let (shown, said) = (String::from_utf8(status.stdout)?, String::from_utf8(status.stderr)?);
        ensure!(shown.contains("NOT ATTACHED"), "{shown}");
        ensure!(said.contains("is not attached to inside, and nothing is filtered there"), "{said}");
        ensure!(remedy(&filter)?.contains("when inside is back, `smtp-filter up --iface inside --detach`"));
        make_inside(&network)?;
        // What `doctor` says, word for word: the policy stays.
        let policy = filter.json(&["policy", "show"])?;
        let remedy = remedy(&filter)?;
        ensure!(remedy == "put it on again, its policy stays: `smtp-filter up --iface inside --detach`", "{remedy}");
        filter.up(&["--iface", "inside"])?;
        ensure!(filter.json(&["policy", "show"])? == policy);
        ensure!(filter.json(&["status"])?["interfaces"].as_array().is_some_and(|all| all.len() == 1));
        ehlo_is_dropped(&network)?;
        no_ehlo_arrived(&server)?;

        network.gateway.ip(&["link del inside"])?;
        filter.down()?;
        ensure!(!filter.pin_dir().exists());
    }
    Ok(())
}

/// One mail and one EHLO through a filter that meets each segment more than once.
fn judged_once(network: [&Namespace; 2], filter: &Filter, server: &MailServer) -> Result<()> {
    let [client, _] = network;
    let reader = events(filter)?;
    let mut session = hello(client, SERVER_V4, "HELO")?;
    say(&mut session, "NOOP", 250)?;
    session.send("seen twice")?;
    ensure!(server.wait_for_mails(1, SOON)?[0].subject().as_deref() == Some("seen twice"));
    let mut refused = hello(client, SERVER_V4, "HELO")?;
    refused.patience(SILENCE)?;
    ensure!(refused.command("EHLO client.example").is_err());
    event(&reader, 0, "commands.ehlo", "drop")?;
    let reset = hello(client, SERVER_V4, "HELO")?.command("VRFY x");
    ensure!(reset.is_err_and(|error| Client::was_reset(&error)), "a reset arrives at once");
    event(&reader, 0, "commands.vrfy", "reset")?;
    let told = |verb: &str| {
        let verb = format!("\"verb\":\"{verb}\"");
        reader.lines().iter().filter(|line| line.contains(&verb)).count()
    };
    ensure!(told("EHLO") == 1 && told("VRFY") == 1 && told("NOOP") == 1 && told("HELO") == 3, "{:?}", reader.lines());
    for verb in ["commands.noop", "commands.mail"] {
        ensure!(counted(filter, verb)?.0 == 1, "{verb}: {}", all_counters(filter));
    }
    let stats = all_counters(filter);
    ensure!(!stats.contains("guards."), "{stats}");
    no_ehlo_arrived(server)
}

const ONCE: [&str; 6] = [
    "commands.vrfy=reset",
    "commands.helo=log",
    "commands.noop=log",
    "commands.mail=log",
    "commands.ehlo=drop",
    "mode=enforce",
];

/// I12: a route goes through both interfaces, in either order.
#[test(root)]
fn on_both_interfaces_of_a_route_a_segment_is_judged_once() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        for order in [["inside", "outside"], ["outside", "inside"]] {
            let network = Network::new()?;
            let server = MailServer::start(&network.server)?;
            let filter = filter(&network.gateway)?;
            filter.up(&["--iface", order[0], "--iface", order[1], "--hook", hook])?;
            filter.set(&ONCE)?;
            judged_once([&network.client, &network.server], &filter, &server)?;
            // A second filter, at one of them, is another one: it judges for itself.
            filter.down()?;
        }
    }
    Ok(())
}

/// Client and server on ports of one bridge.
#[test(root)]
fn on_the_ports_of_a_bridge_and_on_the_bridge_a_segment_is_judged_once() -> Result<()> {
    for on in [["client", "server"].as_slice(), &["server"], &["client", "server", "bridge"]] {
        let (client, server, bridge) =
            (Namespace::new("client")?, Namespace::new("server")?, Namespace::new("bridge")?);
        for namespace in [&client, &server, &bridge] {
            namespace.sysctl("ipv6/conf/default/accept_dad", "0")?;
        }
        bridge.ip(&[
            "link add bridge type bridge",
            &format!("link add client type veth peer name eth0 netns {}", client.name()),
            &format!("link add server type veth peer name eth0 netns {}", server.name()),
            "link set client master bridge",
            "link set server master bridge",
            "link set client up",
            "link set server up",
            "link set bridge up",
        ])?;
        client.ip(&["address add 198.51.100.10/24 dev eth0", "link set eth0 up"])?;
        server.ip(&["address add 198.51.100.25/24 dev eth0", "link set eth0 up"])?;
        let mail = MailServer::start(&server)?;
        let filter = filter(&bridge)?;
        let words: Vec<&str> = on.iter().flat_map(|name| ["--iface", *name]).collect();
        filter.up(&words)?;
        filter.set(&ONCE)?;
        judged_once([&client, &server], &filter, &mail).with_context(|| format!("{on:?}"))?;
    }
    Ok(())
}

/// Loopback has both hooks on the way of every segment.
#[test(root)]
fn on_loopback_a_segment_is_judged_once() -> Result<()> {
    for hook in ["tcx", "clsact"] {
        let host = Namespace::new("host")?;
        host.ip(&["link set lo up", "address add 198.51.100.25/32 dev lo"])?;
        let server = MailServer::start(&host)?;
        let filter = filter(&host)?;
        filter.up(&["--iface", "lo", "--hook", hook])?;
        filter.set(&ONCE)?;
        judged_once([&host, &host], &filter, &server)?;
    }
    Ok(())
}

/// VLAN sub-interfaces and bonds, as far as this kernel has them.
#[test(root)]
fn on_vlans_and_bonds_a_segment_is_judged_once() -> Result<()> {
    for (kind, make, name) in [
        ("vlan", ["link add link eth0 name upper type vlan id 7", "link set eth0 up"].as_slice(), "upper"),
        ("bond", &["link add upper type bond mode active-backup", "link set eth0 master upper"], "upper"),
    ] {
        let (client, gateway) = (Namespace::new("client")?, Namespace::new("gateway")?);
        client.ip(&[&format!("link add eth0 type veth peer name eth0 netns {}", gateway.name())])?;
        if client.ip(make).and_then(|()| gateway.ip(make)).is_err() {
            need::left_out(format_args!("{kind}: this kernel does not have it"));
            continue;
        }
        client.ip(&["address add 198.51.100.10/24 dev upper", "link set eth0 up", "link set upper up"])?;
        gateway.ip(&["address add 198.51.100.25/24 dev upper", "link set eth0 up", "link set upper up"])?;
        let server = MailServer::start(&gateway)?;
        let filter = filter(&gateway)?;
        filter.up(&["--iface", "eth0", "--iface", name])?;
        filter.set(&ONCE)?;
        judged_once([&client, &gateway], &filter, &server).with_context(|| kind.to_owned())?;
    }
    Ok(())
}
