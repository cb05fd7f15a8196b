//! `smtp-filter connections`

use clap::Args;
use ipnet::IpNet;

use crate::events::select::network;

/// Show the live connections and the state of each
///
/// Lists connections that the filter saw begin and has not seen end, sorted by client.
#[derive(Debug, Args)]
#[command(after_help = "\
States:
  banner         the server has not sent its banner yet
  command        commands and replies
  data-wait      DATA waits for its reply
  mail-data      mail data, between the 354 and the end of data
  chunk          a BDAT chunk
  chunk-wait     a BDAT waits for its reply: its chunk cannot be skipped on the client's word alone
  auth           an AUTH exchange
  starttls-wait  STARTTLS waits for its reply
  tls            TLS: nothing is read
  closing        one side has closed
  uncertain      in mode monitor bytes passed unread, and no reply has let the filter resynchronise yet
  replaced       the server has answered a new handshake with the same addresses and ports")]
pub struct Connections {
    /// Only those of clients with this address or in this prefix; may be given several times
    #[arg(long, value_name = "PREFIX", value_parser = network)]
    pub client: Vec<IpNet>,
}
