//! `smtp-filter status`

use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{
    running,
    stats::{Counted, Total, totals, words},
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
    /// Whether it is attached to both directions of every interface that it was put on. Where it is not, the exit code
    /// is 1.
    attached: bool,
    /// Since when it is on, and its counters count, in UTC.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    since: String,
    /// Version of smtp-filter that put it on or took it over last; none where an older one did, which did not say.
    version: Option<String>,
    /// Where its pins are.
    pin_dir: String,
    /// Interfaces that the filter was put on.
    interfaces: Vec<Interface>,
    policy: PolicyState,
    /// TCP ports of the SMTP servers.
    ports: Vec<u16>,
    connections: Connections,
    /// Segments by what was done with them.
    segments: Vec<Total>,
    /// Commands by what was done with them.
    commands: Vec<Total>,
    /// Keywords in replies to EHLO, and the verbs that are masked for them, by what was done with them.
    extensions: Vec<Total>,
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

impl Interface {
    /// Whether both directions are filtered.
    fn is_attached(&self) -> bool {
        self.ingress_program.is_some() && self.egress_program.is_some()
    }
}

impl PolicyState {
    /// Of a policy and its generation.
    pub(super) fn new(document: &Document, generation: u32) -> Self {
        Self { profile: document.profile.name(), mode: document.values.mode(), generation }
    }
}

/// Shows the state of the filter. Where it does not filter everything that it was put on for, that is a failure.
pub fn run(global: &Global) -> Result<()> {
    let loose = print_state(&running(global, "status")?, global)?;
    if !loose.is_empty() {
        bail!(
            "status: the filter at {} is not attached to {}, and nothing is filtered there: `smtp-filter doctor` says \
             what to do",
            global.pin_dir.display(),
            loose.join(", ")
        );
    }
    Ok(())
}

/// Prints the state of a filter. Returns where it is not attached.
pub(super) fn print_state(running: &Running, global: &Global) -> Result<Vec<String>> {
    let (document, generation) = running.in_force()?;
    let report = report(running, &document, generation, global)?;
    if global.json {
        print_json(&report)?;
    } else {
        print(&text(&document, &report)?)?;
    }
    Ok(report.interfaces.iter().filter(|at| !at.is_attached()).map(|at| at.name.clone()).collect())
}

fn clock(instance: &Instance) -> WallClock {
    WallClock::booted(instance.boot).or_now()
}

fn report(running: &Running, document: &Document, generation: u32, global: &Global) -> Result<Report> {
    let (entries, max) = running.tables().live()?;
    let lost = running.tables().lost()?;
    // A closed connection keeps its entry until another needs the room; an entry that was needed is not counted as
    // closed.
    let live = entries.min(lost.opened.saturating_sub(lost.closed));
    let (half_open, _) = running.tables().half_open()?;
    let interface = |InterfaceState { at, programs: [ingress_program, egress_program] }| Interface {
        name: at.name,
        ifindex: at.ifindex,
        hook: at.hook.name(),
        ingress_program,
        egress_program,
    };
    let interfaces: Vec<Interface> = running.interfaces()?.into_iter().map(interface).collect();
    let instance = running.instance();
    let counters = running.tables().counters()?;
    Ok(Report {
        v: 1,
        attached: interfaces.iter().all(Interface::is_attached),
        since: clock(instance).rfc3339(instance.since()),
        version: instance.version.clone(),
        pin_dir: global.pin_dir.display().to_string(),
        interfaces,
        policy: PolicyState::new(document, generation),
        ports: document.values.ports().to_vec(),
        connections: Connections { live, half_open, max },
        segments: totals(&counters, Counted::Segments),
        commands: totals(&counters, Counted::Commands),
        extensions: totals(&counters, Counted::Extensions),
        lost_events: lost.events.iter().sum(),
        unconfirmed_until: instance.confirm_until.map(|until| clock(instance).rfc3339(until)),
    })
}

fn text(document: &Document, report: &Report) -> Result<String> {
    let Report {
        v: _,
        attached: _,
        since,
        version,
        pin_dir,
        interfaces,
        policy,
        ports,
        connections,
        segments,
        commands,
        extensions,
        lost_events,
        unconfirmed_until,
    } = report;
    let mut out = String::new();
    let by = version.as_ref().map_or(String::new(), |version| format!(" by version {version}"));
    writeln!(out, "filter       on since {since}{by}, pinned at {pin_dir}")?;
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
    let mode = match document.values.mode() {
        Mode::Enforce => "mode enforce",
        Mode::Monitor => "mode monitor: nothing is touched",
    };
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    writeln!(out, "policy       {}{changed}, {mode}, generation {}", policy.profile, policy.generation)?;
    writeln!(out, "ports        {}", ports.join(", "))?;
    let Connections { live, half_open, max } = connections;
    writeln!(out, "connections  {live} live of at most {max}, {half_open} half-open")?;
    writeln!(out, "segments     {}", words(segments))?;
    writeln!(out, "commands     {}", words(commands))?;
    writeln!(out, "extensions   {}", words(extensions))?;
    writeln!(out, "lost events  {lost_events}")?;
    Ok(out)
}
