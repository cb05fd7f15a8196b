//! `smtp-filter connections`

use clap::Args;
use ipnet::IpNet;

use crate::events::select::network;

/// Show the live connections and what each is at
///
/// Those that the filter saw begin and has not seen end, in the order of their clients.
#[derive(Debug, Args)]
#[command(after_help = "\
States:
  banner         the server has not said its banner yet
  command        commands and replies
  data-wait      DATA waits for its reply
  mail-data      mail text, between the 354 and the end of data
  chunk          a BDAT chunk
  chunk-wait     a BDAT whose chunk cannot be skipped on the client's word waits for its reply
  auth           an AUTH exchange
  starttls-wait  STARTTLS waits for its reply
  tls            TLS: nothing is read
  closing        one side has closed
  uncertain      in mode monitor bytes passed unread, and no reply has given a footing since
  replaced       the server has answered a new handshake of the same addresses and ports")]
pub struct Connections {
    /// Only of clients with this address or prefix; may be given several times
    #[arg(long, value_name = "PREFIX", value_parser = network)]
    pub client: Vec<IpNet>,
}
