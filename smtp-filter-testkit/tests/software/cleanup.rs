//! What is left when a process with a test network is ended from outside.

use std::{
    env, fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use smtp_filter_testkit::{Namespace, Network, Running};

const LIMIT: Duration = Duration::from_secs(20);

/// Not a test by itself: the process that the tests below end. Run by `cargo test` alone, it does nothing.
#[test(root)]
fn victim() -> Result<()> {
    if env::var_os("TESTNET_VICTIM").is_none() {
        return Ok(());
    }
    let network = Network::new()?;
    let sleeper = Running::spawn(network.client.command("sleep").arg("600"))?;
    println!("\nready {}", sleeper.id());
    std::thread::sleep(LIMIT);
    Ok(())
}

/// Starts the victim and returns it with the process id of its own child.
fn start_victim() -> Result<(Running, u32)> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", "cleanup::victim", "--nocapture"]).env("TESTNET_VICTIM", "1");
    let running = Running::spawn(&mut command)?;
    let child = running.wait_for(LIMIT, |line| line.strip_prefix("ready ")?.parse().ok())?;
    ensure!(!namespaces_of(running.id())?.is_empty(), "the victim has made its network");
    Ok((running, child))
}

fn namespaces_of(id: u32) -> Result<Vec<String>> {
    let prefix = format!("smtpf-{id}-");
    let entries = fs::read_dir("/run/netns").context("read /run/netns")?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.starts_with(&prefix)).collect())
}

fn is_alive(id: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = state.rsplit(") ").next().unwrap_or_default();
    !state.is_empty() && !state.starts_with('Z')
}

fn wait_until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        ensure!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test(root)]
fn a_signal_leaves_no_namespace_and_no_process() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut victim, child) = start_victim()?;
        victim.signal(signal)?;
        assert!(!victim.wait(LIMIT)?, "ended by the signal, not well");
        assert_eq!(namespaces_of(victim.id())?, Vec::<String>::new());
        wait_until("its child ends", || !is_alive(child))?;
    }
    Ok(())
}

#[test(root)]
fn what_a_killed_process_left_is_removed_by_the_next() -> Result<()> {
    let (mut victim, child) = start_victim()?;
    victim.signal(Signal::KILL)?;
    victim.wait(LIMIT)?;
    // The next process sweeps when it makes its first thing; one of another test may have been faster.
    let next = Running::spawn(
        Command::new(env::current_exe()?)
            .args(["--exact", "cleanup::sweeper", "--nocapture"])
            .env("TESTNET_SWEEPER", "1"),
    );
    assert!(next?.wait(LIMIT)?);
    assert_eq!(namespaces_of(victim.id())?, Vec::<String>::new());
    wait_until("its child is ended", || !is_alive(child))
}

/// Not a test by itself either: makes a namespace, which sweeps first.
#[test(root)]
fn sweeper() -> Result<()> {
    if env::var_os("TESTNET_SWEEPER").is_some() {
        Namespace::new("sweeper")?;
    }
    Ok(())
}
