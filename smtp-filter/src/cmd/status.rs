//! `smtp-filter status`

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::{
    running,
    stats::{Counted, totals},
};
use crate::{
    cli::Global,
    clock::WallClock,
    instance::{InterfaceState, Running},
    output::{print, print_json},
    policy::{Document, Mode},
    record::Instance,
};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Report {
    /// Version of this structure.
    v: u32,
    /// Interfaces that the filter was put on.
    interfaces: Vec<Interface>,
    policy: PolicyState,
    connections: Connections,
    /// Events that found no room in some reader's ring buffer.
    lost_events: u64,
    /// When the filter goes off unless it is confirmed, in UTC.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    unconfirmed_until: Option<String>,
}

/// An interface.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Interface {
    name: String,
    ifindex: u32,
    /// How the programs are attached.
    #[cfg_attr(test, schemars(extend("enum" = ["tcx", "clsact"])))]
    hook: &'static str,
    /// Number of the program that sees what comes in; none where it is not attached any more.
    ingress_program: Option<u32>,
    /// Number of the program that sees what goes out; none where it is not attached any more.
    egress_program: Option<u32>,
}

/// The policy in a few words.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PolicyState {
    /// The built-in policy that it started from.
    #[cfg_attr(test, schemars(extend("enum" = crate::policy::Profile::ALL.map(crate::policy::Profile::name))))]
    profile: &'static str,
    mode: Mode,
    /// Counts the changes since the filter was put on.
    generation: u32,
}

/// Connections that are kept track of.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Connections {
    /// Established, and not seen to end.
    live: u64,
    /// Not established yet.
    half_open: u64,
    /// How many may be live.
    max: u32,
}

impl PolicyState {
    /// Of a policy and its generation.
    pub(super) fn new(document: &Document, generation: u32) -> Self {
        Self { profile: document.profile.name(), mode: document.mode, generation }
    }
}

/// Shows how the filter stands.
pub fn run(global: &Global) -> Result<()> {
    print_state(&running(global, "status")?, global)
}

/// Prints how a filter stands.
pub(super) fn print_state(running: &Running, global: &Global) -> Result<()> {
    let (document, generation) = running.in_force()?;
    let report = report(running, &document, generation)?;
    if global.json {
        return print_json(&report);
    }
    print(&text(running, &document, &report, global)?)
}

fn clock(instance: &Instance) -> WallClock {
    WallClock::booted(instance.boot).or_now()
}

fn report(running: &Running, document: &Document, generation: u32) -> Result<Report> {
    let (entries, max) = running.tables().live()?;
    let lost = running.tables().lost()?;
    // A closed connection keeps its entry until another needs the room; an entry that was needed is not counted as closed.
    let live = entries.min(lost.opened.saturating_sub(lost.closed));
    let (half_open, _) = running.tables().half_open()?;
    let interface = |InterfaceState { at, programs: [ingress_program, egress_program] }| Interface {
        name: at.name,
        ifindex: at.ifindex,
        hook: at.hook.name(),
        ingress_program,
        egress_program,
    };
    Ok(Report {
        v: 1,
        interfaces: running.interfaces()?.into_iter().map(interface).collect(),
        policy: PolicyState::new(document, generation),
        connections: Connections { live, half_open, max },
        lost_events: lost.events.iter().sum(),
        unconfirmed_until: running.instance().confirm_until.map(|until| clock(running.instance()).rfc3339(until)),
    })
}

fn text(running: &Running, document: &Document, report: &Report, global: &Global) -> Result<String> {
    let Report { v: _, interfaces, policy, connections, lost_events, unconfirmed_until } = report;
    let mut out = String::new();
    let since = clock(running.instance()).rfc3339(running.instance().up_at);
    writeln!(out, "filter       on since {since}, pinned at {}", global.pin_dir.display())?;
    if let Some(until) = unconfirmed_until {
        writeln!(out, "unconfirmed  goes off at {until} unless `smtp-filter confirm` comes first")?;
    }
    for Interface { name, ifindex, hook, ingress_program, egress_program } in interfaces {
        let program = |side, program: &Option<u32>| match program {
            Some(id) => format!("{side} program {id}"),
            None => format!("{side} NOT ATTACHED"),
        };
        let (ingress, egress) = (program("ingress", ingress_program), program("egress", egress_program));
        writeln!(out, "interface    {name} (index {ifindex}) by {hook}: {ingress}, {egress}")?;
    }
    let changed = if document.differs_from_profile() { ", changed" } else { "" };
    let mode = match document.mode {
        Mode::Enforce => "mode enforce",
        Mode::Monitor => "mode monitor: nothing is touched",
    };
    let ports: Vec<String> = document.ports.iter().map(ToString::to_string).collect();
    writeln!(out, "policy       {}{changed}, {mode}, generation {}", policy.profile, policy.generation)?;
    writeln!(out, "ports        {}", ports.join(", "))?;
    let Connections { live, half_open, max } = connections;
    writeln!(out, "connections  {live} live of at most {max}, {half_open} half-open")?;
    let counters = running.tables().counters()?;
    writeln!(out, "segments     {}", totals(&counters, Counted::Segments))?;
    writeln!(out, "commands     {}", totals(&counters, Counted::Commands))?;
    writeln!(out, "extensions   {}", totals(&counters, Counted::Extensions))?;
    writeln!(out, "lost events  {lost_events}")?;
    Ok(out)
}
