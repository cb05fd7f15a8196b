//! `smtp-filter events`

use clap::Args;
use ipnet::IpNet;

use crate::{
    events::{select::network, view::KINDS},
    policy::reason,
};

/// Show the events as they happen
///
/// From now on, until Ctrl-C or the filter's end. A line says when, where, who, what, and what was done by which key of the
/// policy; `would drop` is what mode monitor has let pass. Several readers each see every event. What comes faster than it
/// can be shown is lost, counted, and said.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter events --reason commands.ehlo --client 192.0.2.0/24
  smtp-filter events --reason guards
  smtp-filter events --kind close --json | jq .summary
  smtp-filter events --json --count 100 | jq -r .client")]
pub struct Events {
    /// Only events with this reason: a policy key such as commands.ehlo, or one end of it: guards, ehlo. One that the running
    /// policy does not have is refused
    #[arg(long, value_name = "R", value_parser = reason)]
    pub reason: Vec<String>,

    /// Only events of this kind; may be given several times
    #[arg(long, value_name = "K", value_parser = KINDS)]
    pub kind: Vec<String>,

    /// Only events of clients with this address or prefix
    #[arg(long, value_name = "PREFIX", value_parser = network)]
    pub client: Vec<IpNet>,

    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}
