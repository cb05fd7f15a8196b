//! `smtp-filter up`

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::record::Hook;

/// Put the filter on
///
/// Loads the programs, attaches them to both directions of each interface, and shows the events until it is stopped.
/// Ctrl-C and SIGTERM take the filter off; SIGHUP (a closed terminal) leaves it on. While it runs, an interface that
/// disappears and comes back under the same name gets the filter again.
///
/// If a filter is already on, this one takes over from it without a gap: connections, counters and readers of events
/// are kept, and so is the policy unless another one is given. The filter stays on the interfaces where it was and is
/// added to those that are named. The earlier `up` no longer takes anything off when it ends. A filter put on by
/// another version of smtp-filter is taken over too; if the two versions do not share their tables, its connections
/// pass unread for the policy's guards.unknown_connection.grace.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter up --iface eth0                          reports every command, touches nothing
  smtp-filter up --iface eth0 --profile drop-esmtp --detach
  smtp-filter up --iface eth0 --policy mail.toml --detach --confirm 5m
                                                       a trial that ends by itself unless confirmed
  smtp-filter up --iface eth0 --iface eth1 --port 25 --port 587 --policy mail.toml")]
pub struct Up {
    /// Interface to filter on, facing the clients or the servers; may be given several times
    #[arg(long, value_name = "IF", required = true)]
    pub iface: Vec<String>,

    /// Built-in policy, `monitor` by default; `smtp-filter policy profiles` lists them
    #[arg(long, value_name = "NAME", conflicts_with = "policy")]
    pub profile: Option<String>,

    /// Policy file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// TCP port of the SMTP servers, in place of the policy's; may be given several times
    #[arg(long, value_name = "N")]
    pub port: Vec<u16>,

    /// Live connections to keep track of, 65536 by default; memory for all of them is allocated at once, about 1 KiB
    /// each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub connections: Option<u32>,

    /// Return at once and leave the filter on
    #[arg(long)]
    pub detach: bool,

    /// Take the filter off again after this time (5m, 90s, 1h) unless `smtp-filter confirm` comes first
    #[arg(long, value_name = "TIME", value_parser = confirm_time)]
    pub confirm: Option<Duration>,

    /// How to attach
    #[arg(long, value_enum, default_value_t = HookChoice::Auto)]
    pub hook: HookChoice,
}

/// How to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HookChoice {
    /// TCX if the kernel has it, otherwise clsact
    Auto,
    /// TCX links (Linux 6.6 and later)
    Tcx,
    /// Filters of a clsact qdisc (every kernel)
    Clsact,
}

impl HookChoice {
    /// The hook that is named.
    pub fn hook(self) -> Option<Hook> {
        match self {
            Self::Auto => None,
            Self::Tcx => Some(Hook::Tcx),
            Self::Clsact => Some(Hook::Clsact),
        }
    }
}

/// A time for `--confirm`: what is shorter leaves nobody the time to confirm, what is longer is no trial.
fn confirm_time(text: &str) -> Result<Duration, String> {
    const WITHIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);
    let time = humantime::parse_duration(text).map_err(|_| "expected a time such as 5m, 90s or 1h".to_owned())?;
    if WITHIN.contains(&time) { Ok(time) } else { Err("expected 1s to 7days".to_owned()) }
}
