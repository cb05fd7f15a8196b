//! `smtp-filter down`

use clap::Args;

/// Take the filter off
///
/// Nothing is left: no program, no map, no pin. If there is no filter, it says so and succeeds. Connections carry
/// on as they are; nothing is marked, dropped or reset any more.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter down
  smtp-filter down --iface eth1                        leaves it on the other interfaces")]
pub struct Down {
    /// Only from this interface; after the last one, everything is removed
    #[arg(long, value_name = "IF")]
    pub iface: Option<String>,
}
