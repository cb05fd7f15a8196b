//! `smtp-filter doctor`

use clap::Args;

/// Check what this machine offers, what bypasses the filter, and what to do about it
///
/// Looks at the kernel, its BPF features and the memory, and loads the programs as a trial, attached to a loopback of
/// their own. Then it looks at each interface: what runs before the filter, what forwards traffic past it, which routes
/// lead elsewhere. It changes nothing. Without root it says what it could not look at.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo smtp-filter doctor                  the filter that is on, else every interface with routes
  sudo smtp-filter doctor --iface eth0     as if the filter were on eth0 alone
  sudo smtp-filter doctor --json | jq -r '.checks[] | select(.ok | not) | .remedy'

A check is `ok`; a `warning` if the filter works but does not see everything, or if something could
not be looked at; or `FAILED` if the filter cannot work. What to do follows an arrow. In JSON the
latter two have \"ok\": false. `smtp-filter up` prints the warnings, too.

Exit codes: 0 the filter can work here, with or without warnings; 1 it cannot; 2 wrong usage.")]
pub struct Doctor {
    /// Interface to look at, in place of those of the running filter; may be given several times
    #[arg(long, value_name = "IF")]
    pub iface: Vec<String>,

    /// Live connections that there has to be memory for, as for `up`
    #[arg(long, value_name = "N", default_value_t = smtp_filter_common::bounds::CONNECTIONS,
          value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub connections: u32,
}
