//! The command line's grammar and its help: what holds for every verb here, and one file for each verb.

mod confirm;
mod connections;
mod doctor;
mod down;
mod events;
mod expire;
mod generate;
mod policy;
mod replay;
mod stats;
mod status;
mod up;
mod wrong;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::{
    confirm::Confirm,
    connections::Connections,
    doctor::Doctor,
    down::Down,
    events::Events,
    expire::Expire,
    generate::Generate,
    policy::{Ends, Policy, PolicyVerb},
    replay::Replay,
    stats::Stats,
    status::Status,
    up::Up,
    wrong::wrong_usage,
};
use crate::{bpffs, pins::PinDir};

/// Wrong usage that only shows while a command works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An SMTP firewall inside the Linux kernel
///
/// smtp-filter reads every TCP segment to and from the SMTP ports of an interface, in both directions, follows each
/// dialogue, and passes, logs, marks, rewrites in place, drops or resets what its policy names: EHLO, the commands and
/// extensions that came with it, the banner, and protocol attacks on SMTP. It is not a proxy and terminates no
/// connection.
#[derive(Debug, Parser)]
#[command(
    name = "smtp-filter",
    version,
    max_term_width = 100,
    after_help = "\
A first look, which changes nothing on the wire:
  smtp-filter doctor                          what this machine offers, what bypasses the filter
  smtp-filter up --iface eth0                 reports every command; Ctrl-C takes it off

Then:
  smtp-filter up --iface eth0 --detach        puts it on and leaves it on
  smtp-filter policy set commands.ehlo=drop   what to do with EHLO
  smtp-filter policy set mode=enforce         do it, instead of only reporting it
  smtp-filter events                          shows what happens
  smtp-filter stats                           what passed and what did not
  smtp-filter down                            takes it off and leaves nothing

Put it on the interface facing the clients or the one facing the servers: one is enough if both
directions pass it. In mode monitor, the default, everything passes and is only reported. A client
whose command is dropped waits until it times out; a reset tells it at once.

Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that hold for every verb, before or after it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Print JSON: one object, or for events one object a line
    #[arg(long, global = true)]
    pub json: bool,

    /// Folder for the pins of this filter, in a BPF file system; another folder is another filter
    #[arg(long, global = true, value_name = "DIR", env = "SMTP_FILTER_PIN_DIR",
          default_value_os_t = PathBuf::from(bpffs::MOUNT_POINT).join("smtp-filter"))]
    pub pin_dir: PathBuf,

    /// Work in this network namespace, as `ip netns` names it
    #[arg(long, global = true, value_name = "NAME")]
    pub netns: Option<String>,

    /// Say what is done; given twice, `up` in the foreground also prints the debug messages of the eBPF side
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// The folder of pins.
    pub fn pins(&self) -> PinDir {
        PinDir::new(&self.pin_dir)
    }
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Up(Up),
    Confirm(Confirm),
    Down(Down),
    Status(Status),
    Policy(Policy),
    Events(Events),
    Stats(Stats),
    Connections(Connections),
    Replay(Replay),
    Doctor(Doctor),
    Generate(Generate),
    Expire(Expire),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_every_verb_stand_before_or_after_it() {
        for line in [
            ["smtp-filter", "--json", "--pin-dir", "/x", "status"],
            ["smtp-filter", "status", "--json", "--pin-dir", "/x"],
        ] {
            let global = Cli::try_parse_from(line).unwrap().global;
            assert!(global.json);
            assert_eq!(global.pin_dir, PathBuf::from("/x"));
        }
    }
}
