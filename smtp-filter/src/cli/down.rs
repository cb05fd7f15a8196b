//! `smtp-filter down`

use clap::Args;

/// Take the filter off
///
/// Nothing is left: no program, no map, no pin. Where there is no filter, it says so and is content. Connections go on
/// as they are; what was marked, dropped or reset is so no longer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter down
  smtp-filter down --iface eth1                        stays on the other interfaces")]
pub struct Down {
    /// Only from this interface; with the last one everything goes
    #[arg(long, value_name = "IF")]
    pub iface: Option<String>,
}
