//! Nothing is left: after `down`, after a signal, and after a test that fails or is killed with everything on.
//!
//! Invariants: I10.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{loaded_links, loaded_programs};
use rustix::process::Signal;
use serde_json::Value;
use smtp_filter_testkit::{
    Filter, MailServer, Network, Running, SERVER_V4,
    lab::{self, SOON, filter, hello, wait_until},
    leftovers,
};

/// The numbers of the programs of a filter that is on.
fn programs(filter: &Filter) -> Result<Vec<u32>> {
    let status = filter.json(&["status"])?;
    let interfaces = status["interfaces"].as_array().context("interfaces")?;
    let number = |of: &Value| of.as_u64().and_then(|number| u32::try_from(number).ok()).context("a program's number");
    let mut programs = Vec::new();
    for interface in interfaces {
        programs.push(number(&interface["ingress_program"])?);
        programs.push(number(&interface["egress_program"])?);
    }
    Ok(programs)
}

/// Waits until the kernel has let go of programs and of the links to them.
fn are_gone(programs: &[u32]) -> Result<()> {
    ensure!(!programs.is_empty());
    wait_until("the programs are gone", || {
        let linked = loaded_links().flatten().any(|link| programs.contains(&link.program_id()));
        Ok(!linked && !loaded_programs().flatten().any(|program| programs.contains(&program.id())))
    })
}

/// What a process has left: namespaces, pins, temporary files.
fn left_by(id: u32) -> Vec<String> {
    let prefix = format!("smtpf-{id}-");
    let folders = ["/run/netns".into(), "/sys/fs/bpf".into(), env::temp_dir()];
    let names = folders.iter().flat_map(fs::read_dir).flatten().flatten().map(|entry| entry.path());
    names
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .map(|path| path.display().to_string())
        .collect()
}

fn is_alive(id: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

/// Rules of tc and qdiscs on an interface.
fn hooks(network: &Network) -> Result<String> {
    let qdiscs = network.gateway.command("tc").args(["qdisc", "show", "dev", "inside"]).output()?;
    Ok(String::from_utf8_lossy(&qdiscs.stdout).into_owned())
}

#[test(root)]
fn after_down_nothing_is_left_and_ehlo_passes() -> Result<()> {
    let network = Network::new()?;
    let server = MailServer::start(&network.server)?;
    for hook in ["tcx", "clsact"] {
        let before = hooks(&network)?;
        let filter = filter(&network.gateway)?;
        filter.up(&["--iface", "inside", "--iface", "outside", "--profile", "drop-esmtp", "--hook", hook])?;
        let mut readers = vec![lab::events(&filter)?, lab::events(&filter)?];
        let session = hello(&network.client, SERVER_V4, "HELO")?;
        let programs = programs(&filter)?;
        ensure!(loaded_programs().flatten().any(|program| programs.contains(&program.id())), "they are seen while on");
        ensure!(Path::new(filter.pin_dir()).exists() && (hook == "tcx" || hooks(&network)? != before));

        filter.down()?;
        ensure!(!filter.pin_dir().exists());
        for reader in &mut readers {
            reader.wait(SOON).context("a reader ends with the filter")?;
        }
        are_gone(&programs)?;
        ensure!(hooks(&network)? == before, "{hook}");
        // A session from before goes on, and EHLO is nobody's business any more.
        session.send("after down")?;
        hello(&network.client, SERVER_V4, "EHLO")?;
    }
    ensure!(server.wait_for_mails(2, SOON)?.len() == 2);
    Ok(())
}

#[test(root)]
fn after_a_signal_to_the_foreground_nothing_is_left() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    for signal in [Signal::TERM, Signal::INT] {
        let before = hooks(&network)?;
        let filter = filter(&network.gateway)?;
        let words = ["up", "--netns", network.gateway.name(), "--iface", "inside", "--profile", "drop-esmtp"];
        let mut up = Running::spawn(&mut filter.command(&words))?;
        up.wait_for(SOON, |line| line.contains("Ctrl-C takes it off").then_some(()))?;
        let programs = programs(&filter)?;
        let mut session = hello(&network.client, SERVER_V4, "HELO")?;
        session.write(b"EHLO client.example\r\n")?;
        up.wait_for(SOON, |line| line.contains("commands.ehlo").then_some(()))?;
        up.signal(signal)?;
        ensure!(up.wait(SOON)?, "it ends well: {:?}", up.lines());
        ensure!(!filter.pin_dir().exists());
        are_gone(&programs)?;
        ensure!(hooks(&network)? == before);
        ensure!(session.reply()?.code == 250, "what was dropped passes when it comes again");
    }
    Ok(())
}

/// Not a test by itself: the process that the tests below start, and that fails or is killed with everything on.
#[test]
fn victim() -> Result<()> {
    let Some(how) = env::var_os("SMTP_FILTER_VICTIM") else { return Ok(()) };
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let filter = filter(&network.gateway)?;
    filter.up(&["--iface", "inside", "--profile", "drop-esmtp"])?;
    let reader = lab::events(&filter)?;
    hello(&network.client, SERVER_V4, "HELO")?;
    let numbers: Vec<String> = programs(&filter)?.iter().map(ToString::to_string).collect();
    println!("\nready {} {}", reader.id(), numbers.join(" "));
    match how.to_str() {
        Some("panic") => panic!("on purpose"),
        Some("error") => anyhow::bail!("on purpose"),
        _ => std::thread::sleep(SOON),
    }
    Ok(())
}

/// A victim, its reader of events, and its programs.
fn start_victim(how: &str) -> Result<(Running, u32, Vec<u32>)> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", "leftovers::victim", "--nocapture"]).env("SMTP_FILTER_VICTIM", how);
    let victim = Running::spawn(&mut command)?;
    let numbers = victim.wait_for(SOON, |line| {
        let numbers = line.strip_prefix("ready ")?.split(' ').map(str::parse);
        numbers.collect::<Result<Vec<u32>, _>>().ok()
    })?;
    let (reader, programs) = numbers.split_first().context("numbers")?;
    Ok((victim, *reader, programs.to_vec()))
}

#[test(root)]
fn after_a_test_that_failed_nothing_is_left() -> Result<()> {
    for how in ["panic", "error"] {
        let (mut victim, reader, programs) = start_victim(how)?;
        ensure!(!victim.wait(SOON)?, "it failed");
        let left = left_by(victim.id());
        ensure!(left.is_empty(), "{how}: {left:?}");
        wait_until("its reader has ended", || Ok(!is_alive(reader)))?;
        are_gone(&programs)?;
    }
    Ok(())
}

#[test(root)]
fn after_a_test_that_was_stopped_nothing_is_left() -> Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut victim, reader, programs) = start_victim("wait")?;
        ensure!(!left_by(victim.id()).is_empty(), "there is something to be left");
        victim.signal(signal)?;
        ensure!(!victim.wait(SOON)?);
        let left = left_by(victim.id());
        ensure!(left.is_empty(), "{signal:?}: {left:?}");
        wait_until("its reader has ended", || Ok(!is_alive(reader)))?;
        are_gone(&programs)?;
    }
    Ok(())
}

/// What a killed process could not take away, the next one does before it makes anything of its own.
#[test(root)]
fn what_a_killed_test_left_goes_with_the_next_one() -> Result<()> {
    let (mut victim, reader, programs) = start_victim("wait")?;
    victim.signal(Signal::KILL)?;
    victim.wait(SOON)?;
    ensure!(!left_by(victim.id()).is_empty(), "there is something left");
    let (mut next, ..) = start_victim("error")?;
    next.wait(SOON)?;
    let left = left_by(victim.id());
    ensure!(left.is_empty(), "{left:?}");
    wait_until("its reader has ended", || Ok(!is_alive(reader)))?;
    are_gone(&programs)
}

/// The guards' own list, at the end of a network's life.
#[test(root)]
fn after_a_network_nothing_of_it_is_listed() -> Result<()> {
    {
        let network = Network::new()?;
        let filter = filter(&network.gateway)?;
        filter.up(&["--iface", "inside"])?;
        let name = network.gateway.name().to_owned();
        let pins = filter.pin_dir().display().to_string();
        let there = leftovers();
        ensure!(there.iter().any(|path| path.ends_with(&name)) && there.contains(&pins), "{there:?}");
        // Off without a word: the guard takes it off.
        drop(filter);
        ensure!(!leftovers().contains(&pins));
    }
    Ok(())
}

/// A clsact qdisc that is deleted takes the filter along: `status` says so, the next `up` makes another one, which goes
/// with the filter; whoever had made the first one.
#[test(root)]
fn a_deleted_qdisc_is_made_again_by_the_next_up() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let before = hooks(&network)?;
    let qdisc = |what: &str| -> Result<()> {
        let done = network.gateway.command("tc").args(["qdisc", what, "dev", "inside", "clsact"]).status()?;
        ensure!(done.success(), "{what}");
        Ok(())
    };
    for somebody_elses in [false, true] {
        if somebody_elses {
            qdisc("add")?;
        }
        let filter = filter(&network.gateway)?;
        let up = ["--iface", "inside", "--profile", "drop-esmtp", "--hook", "clsact"];
        filter.up(&up)?;
        qdisc("del")?;
        hello(&network.client, SERVER_V4, "EHLO")?;
        let status = filter.command(&["status", "--json"]).output()?;
        ensure!(status.status.code() == Some(1), "{status:?}");
        filter.up(&up)?;
        ensure!(filter.json(&["status"])?["attached"] == true);
        filter.down()?;
        ensure!(hooks(&network)? == before, "somebody else's: {somebody_elses}");
    }
    Ok(())
}
