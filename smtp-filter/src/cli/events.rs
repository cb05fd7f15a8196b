//! `smtp-filter events`

use clap::Args;
use ipnet::IpNet;

use crate::{
    events::{select::network, view::KINDS},
    policy::reason,
};

/// Show the events as they happen
///
/// Starts now and ends with Ctrl-C or when the filter goes off. Each line says when, where, who and what, what was
/// done, and which key of the policy decided; `would drop` is what mode monitor let pass. Any number of readers up to
/// eight see every event. Events that arrive faster than they can be shown are lost; how many is reported.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter events --reason commands.ehlo --client 192.0.2.0/24
  smtp-filter events --reason guards
  smtp-filter events --kind close --json | jq .summary
  smtp-filter events --json --count 100 | jq -r .client")]
pub struct Events {
    /// Only events with this reason: a policy key such as commands.ehlo, or the part before or after its dot
    /// (guards, ehlo); a reason that the running policy cannot give is refused. May be given several times
    #[arg(long, value_name = "R", value_parser = reason)]
    pub reason: Vec<String>,

    /// Only events of this kind; may be given several times
    #[arg(long, value_name = "K", value_parser = KINDS)]
    pub kind: Vec<String>,

    /// Only events of clients with this address or in this prefix; may be given several times
    #[arg(long, value_name = "PREFIX", value_parser = network)]
    pub client: Vec<IpNet>,

    /// Stop after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}
