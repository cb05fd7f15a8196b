//! `smtp-filter doctor`

use clap::Args;

/// Say what this machine offers, what goes around the filter, and what to do about it
///
/// Looks at the kernel, its BPF and the memory, loads the programs for a trial and attaches them to a loopback of their
/// own; then at each interface: what runs before the filter, what forwards past it, which routes lead elsewhere. It
/// changes nothing. Without root it says what it could not look at.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo smtp-filter doctor                  the filter that is on, else every interface with routes
  sudo smtp-filter doctor --iface eth0     as if the filter were on eth0 alone
  sudo smtp-filter doctor --json | jq -r '.checks[] | select(.ok | not) | .remedy'

A check is `ok`; a `warning`, where the filter works but does not see everything, or where something
could not be looked at; or `FAILED`, where the filter cannot work. Behind an arrow stands what to do.
In JSON both of the latter have \"ok\": false. `smtp-filter up` says the warnings, too.

Exit codes: 0 the filter can work here, with or without warnings; 1 it cannot; 2 wrong usage.")]
pub struct Doctor {
    /// Interface to look at, instead of those of the filter that is on; may be given several times
    #[arg(long, value_name = "IF")]
    pub iface: Vec<String>,

    /// Live connections that there should be memory for, as for `up`
    #[arg(long, value_name = "N", default_value_t = smtp_filter_common::limits::CONNECTIONS,
          value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub connections: u32,
}
