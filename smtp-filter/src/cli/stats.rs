//! `smtp-filter stats`

use clap::Args;

/// Show the counters by reason and action
///
/// A reason is a policy key, or something in the TCP stream that left no choice. Reasons of commands count commands,
/// all others count segments. A dropped command is counted once; stream.dropped_command counts its segments, including
/// retransmissions. Counting starts with `up` and covers all interfaces; `would drop` is what mode monitor let pass.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter stats
  smtp-filter stats --watch
  smtp-filter stats --json | jq '.reasons[] | select(.action == \"drop\")'")]
pub struct Stats {
    /// Refresh every second and show what each gained since, until Ctrl-C; with --json, one object a line
    #[arg(long)]
    pub watch: bool,
}
