//! `smtp-filter confirm`

use clap::Args;

/// Say that a filter put on with --confirm is to stay on
///
/// Until then it goes off by itself when its time is over, even if nothing of smtp-filter runs any more. Where
/// nothing waits for a confirmation, it says so and is content; where it is too late, it fails.
#[derive(Debug, Args)]
pub struct Confirm;
