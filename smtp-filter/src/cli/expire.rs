//! `smtp-filter expire`, which `up --detach --confirm` starts

use clap::Args;

/// Take off a filter that is not confirmed in time; `up --detach --confirm` starts it
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Expire {
    /// Number of the filter's owner
    pub owner: u64,
}
