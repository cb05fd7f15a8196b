//! `smtp-filter status`

use clap::Args;

/// Show the state of the filter
///
/// Its interfaces and how it is attached, policy and mode, connections, segments by what was done with them, and lost
/// events. `NOT ATTACHED` after an interface means that nothing is filtered there: the exit code is then 1, and
/// `smtp-filter doctor` says what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter status
  smtp-filter status --json | jq -r .policy.mode")]
pub struct Status;
