//! Commands killed at one system call after the other. Whatever is half-done then, the next command finishes or undoes
//! (I10).

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData};
use smtp_filter_common::{policy::Policy, scope::policy_index};
use smtp_filter_testkit::{
    Filter, MailServer, Network, SERVER_V4,
    lab::{TemporaryFile, filter, hello, succeed},
};

use super::life::{ehlo_is_dropped, pretend_another_version};

/// Of the calls of `bpf` each test takes one out of so many, and each another one.
const BPF_STEP: usize = 5;

/// What the policy says is what happens: a change of it is seen at the hooks.
fn is_obeyed(network: &Network, filter: &Filter) -> Result<()> {
    filter.set(&["commands.ehlo=pass"])?;
    hello(&network.client, SERVER_V4, "EHLO")?;
    filter.set(&["commands.ehlo=drop"])?;
    ehlo_is_dropped(network)
}

/// How often a command makes each of the system calls by which it changes something.
fn calls(filter: &Filter, words: &[&str], log: &Path) -> Result<Vec<(&'static str, usize)>> {
    succeed(&mut strace(filter, words, log, "trace=bpf,rename,mkdir,rmdir,unlink,sendto"))?;
    let made = fs::read_to_string(log)?;
    let count = |call: &str| made.lines().filter(|line| line.starts_with(&format!("{call}("))).count();
    Ok(["bpf", "rename", "mkdir", "rmdir", "unlink", "sendto"].map(|call| (call, count(call))).to_vec())
}

/// A command under `strace`, which can kill it at its nth call.
fn strace(filter: &Filter, words: &[&str], log: &Path, what: &str) -> Command {
    let traced = filter.command(words);
    let mut strace = Command::new("strace");
    strace.args(["-e", what, "-o"]).arg(log).arg(traced.get_program()).args(traced.get_args());
    strace
}

/// Kills a command at its calls. The test whose turn it is takes other calls of `bpf` than those before it.
fn leaves_a_way_on(turn: usize, what: &str, hook: &str) -> Result<()> {
    let network = Network::new()?;
    let server = MailServer::start(&network.server)?;
    let log = TemporaryFile::new("life-strace", b"")?;
    let filter = filter(&network.gateway)?;
    let up = ["up", "--detach", "--netns", network.gateway.name(), "--iface", "inside"];
    let first = [up.as_slice(), &["--profile", "drop-esmtp", "--hook", hook]].concat();
    let words: &[&str] = match what {
        "new" => &first,
        "down" | "down of another" => &["down"],
        _ => &up,
    };
    let prepare = || -> Result<()> {
        if filter.pin_dir().exists() {
            filter.down()?;
        }
        if what != "new" {
            filter.succeed(&first)?;
        }
        if ["other", "down of another"].contains(&what) { pretend_another_version(&filter) } else { Ok(()) }
    };
    prepare()?;
    let calls = calls(&filter, words, &log.0)?;
    for (call, count) in calls {
        // What comes before the programs are loaded changes nothing yet; nor do the last eight calls of `up`, which
        // look for what it should warn of.
        let (from, step) = match call {
            "bpf" => ((count.saturating_sub(34).max(1) + turn % BPF_STEP).min(count.max(1)), BPF_STEP),
            "rename" => (1, 1),
            _ => (1, count.div_ceil(3).max(1)),
        };
        let mut killed_once = count == 0;
        let mut nth = from;
        while nth <= count {
            prepare()?;
            let kill = format!("inject={call}:signal=KILL:when={nth}");
            let killed = strace(&filter, words, &log.0, &kill).output()?;
            let state = || format!("{what} by {hook}, killed at {call} {nth} of {count}");
            if killed.status.success() {
                // It made fewer calls this time: it waits for the kernel by looking again and again.
                if killed_once || nth == 1 {
                    break;
                }
                nth = nth.saturating_sub(34).max(1);
                continue;
            }
            killed_once = true;
            // One that was half put on or taken off need not filter; one that was taken over by half has to.
            let is_on = ["same", "other"].contains(&what);
            if filter.run(&["status"])?.status.success() && is_on {
                is_obeyed(&network, &filter).with_context(state)?;
            }
            filter.up(&["--iface", "inside", "--profile", "drop-esmtp"]).with_context(state)?;
            let status = filter.json(&["status"])?;
            ensure!(!status["interfaces"].to_string().contains("null"), "{}: {status}", state());
            is_obeyed(&network, &filter).with_context(state)?;
            nth += step;
        }
        ensure!(killed_once, "{what} by {hook}: never killed at {call}");
    }
    filter.down()?;
    ensure!(!filter.pin_dir().exists());
    ensure!(!server.lines().is_empty());
    Ok(())
}

/// A test for each command and what it finds.
macro_rules! tests {
    ($($name:ident: $turn:literal $what:literal $hook:literal;)*) => {$(
        #[test(root, strace, long)]
        fn $name() -> Result<()> {
            leaves_a_way_on($turn, $what, $hook)
        }
    )*};
}

tests! {
    up_killed_at_each_of_its_steps_leaves_a_way_on: 0 "new" "tcx";
    a_takeover_killed_at_each_of_its_steps_leaves_a_way_on: 1 "same" "tcx";
    a_takeover_of_another_version_killed_at_each_of_its_steps_leaves_a_way_on: 2 "other" "tcx";
    a_takeover_by_clsact_killed_at_each_of_its_steps_leaves_a_way_on: 3 "other" "clsact";
    down_killed_at_each_of_its_steps_leaves_a_way_on: 4 "down" "clsact";
    down_of_another_version_killed_at_each_of_its_steps_leaves_a_way_on: 5 "down of another" "tcx";
}

/// When the program in the kernel goes off by itself: nanoseconds since boot; 0: never.
fn off_at(filter: &Filter) -> Result<u64> {
    let pinned = |name: &str| Ok::<_, anyhow::Error>(MapData::from_pin(filter.pin_dir().join("maps").join(name))?);
    let control: Array<MapData, [u32; 2]> = Map::from_map_data(pinned("CONTROL")?)?.try_into()?;
    let policies: Array<MapData, [u8; size_of::<Policy>()]> = Map::from_map_data(pinned("POLICIES")?)?.try_into()?;
    let [_, generation] = control.get(&0, 0)?;
    let policy = policies.get(&policy_index(generation, 0), 0)?;
    let at = core::mem::offset_of!(Policy, off_at);
    Ok(u64::from_ne_bytes(policy[at..at + 8].try_into()?))
}

/// A trial ends by the record and by the programs, or by neither.
#[test(root, strace)]
fn a_takeover_killed_half_way_leaves_a_trial_in_one_mind() -> Result<()> {
    let network = Network::new()?;
    let log = TemporaryFile::new("life-trial", b"")?;
    let up = ["up", "--detach", "--netns", network.gateway.name(), "--iface", "inside"];
    let trial = [up.as_slice(), &["--confirm", "1h"]].concat();
    for (first, second) in [(trial.as_slice(), up.as_slice()), (&up, &trial)] {
        let filter = filter(&network.gateway)?;
        filter.succeed(first)?;
        succeed(&mut strace(&filter, second, &log.0, "trace=bpf"))?;
        let made = fs::read_to_string(&log.0)?;
        let calls: Vec<&str> = made.lines().filter(|line| line.starts_with("bpf(")).collect();
        let last = calls.iter().rposition(|line| line.contains("BPF_LINK_UPDATE")).context("links are updated")?;
        filter.succeed(first)?;
        // Until the new policy is put into its slot.
        let kill = format!("inject=bpf:signal=KILL:when={}", last + 2);
        let killed = strace(&filter, second, &log.0, &kill).output()?;
        ensure!(!killed.status.success(), "killed");
        let status = filter.json(&["status"])?;
        ensure!(status["unconfirmed_until"].is_null() == (off_at(&filter)? == 0), "{status}, {}", off_at(&filter)?);
        filter.succeed(&["confirm"])?;
        ensure!(off_at(&filter)? == 0, "confirmed");
        filter.down()?;
    }
    Ok(())
}
