//! `smtp-filter stats`

use clap::Args;

/// Show the counters by reason and action
///
/// A reason is a policy key, or what the stream forced. Counters of commands count commands, the others segments. A
/// command that is dropped is counted once; stream.dropped_command counts its segments, retransmissions too. They count
/// from `up` on, over all interfaces; `would drop` is what mode monitor has let pass.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter stats
  smtp-filter stats --watch
  smtp-filter stats --json | jq '.reasons[] | select(.action == \"drop\")'")]
pub struct Stats {
    /// Show them every second, with what came to each since, until Ctrl-C; with --json one object a line
    #[arg(long)]
    pub watch: bool,
}
