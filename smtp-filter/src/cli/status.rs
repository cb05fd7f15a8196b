//! `smtp-filter status`

use clap::Args;

/// Show how the filter stands
///
/// Interfaces and how it is attached, policy and mode, connections, segments by what was done with them, lost
/// events. `NOT ATTACHED` after an interface means that nothing is filtered there: then the exit code is 1, and
/// `smtp-filter doctor` says what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter status
  smtp-filter status --json | jq -r .policy.mode")]
pub struct Status;
