//! `smtp-filter confirm`

use clap::Args;

/// Keep a filter that was put on with --confirm
///
/// Without this it goes off by itself when its time is over, even if no smtp-filter process is running any more. If
/// nothing is waiting for confirmation, it says so and succeeds; if it is too late, it fails.
#[derive(Debug, Args)]
pub struct Confirm;
