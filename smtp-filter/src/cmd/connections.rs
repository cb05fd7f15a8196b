//! `smtp-filter connections`

use std::net::IpAddr;

use anyhow::Result;
use serde::Serialize;

use super::running;
use crate::{
    cli::{self, Global},
    clock::WallClock,
    live::Live,
    output::{Table, print, print_json},
};

/// The live connections.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Report {
    /// Version of this structure.
    v: u32,
    /// In the order of their clients.
    connections: Vec<Connection>,
}

/// A live connection.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Connection {
    /// Client's address and port.
    client: String,
    /// Server's address and port.
    server: String,
    /// Client's address alone.
    #[cfg_attr(test, schemars(with = "String"))]
    client_ip: IpAddr,
    /// Client's port alone.
    client_port: u16,
    /// Server's address alone.
    #[cfg_attr(test, schemars(with = "String"))]
    server_ip: IpAddr,
    /// Server's port alone.
    server_port: u16,
    /// The scope whose policy judges it; none: the whole's own.
    scope: Option<String>,
    /// What it is at.
    #[cfg_attr(test, schemars(extend("enum" = crate::live::Phase::ALL.map(crate::live::Phase::name))))]
    state: &'static str,
    /// When its handshake was complete, in UTC.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    since: String,
    /// Bytes of payload from the client, repeats not counted.
    bytes_client: u64,
    /// Bytes of payload from the server, repeats not counted.
    bytes_server: u64,
}

impl Connection {
    fn new(live: &Live, scope: Option<&str>, clock: WallClock) -> Self {
        let [bytes_client, bytes_server] = live.bytes;
        let (client, server) = (live.client(), live.server());
        Self {
            client: client.to_string(),
            server: server.to_string(),
            client_ip: client.ip(),
            client_port: client.port(),
            server_ip: server.ip(),
            server_port: server.port(),
            scope: scope.map(str::to_owned),
            state: live.phase.name(),
            since: clock.rfc3339(live.since),
            bytes_client,
            bytes_server,
        }
    }
}

/// Shows the live connections.
pub fn run(global: &Global, args: &cli::Connections) -> Result<()> {
    let running = running(global, "connections")?;
    let cli::Connections { client } = args;
    let clock = WallClock::booted(running.instance().boot).or_now();
    let live =
        running.tables().connections(|address| client.is_empty() || client.iter().any(|net| net.contains(&address)))?;
    let (compiled, names) = running.compiled()?;
    let connections = live.iter().map(|live| {
        let policy = compiled.policy_for(&live.key.client, &live.key.server);
        Connection::new(live, names.scope(policy.scope), clock)
    });
    if global.json {
        return print_json(&Report { v: 1, connections: connections.collect() });
    }
    let columns = ["CLIENT", "SERVER", "SCOPE", "STATE", "SINCE", "FROM CLIENT", "FROM SERVER"];
    let mut table = Table::new(&columns).right(&[5, 6]);
    for Connection { client, server, scope, state, since, bytes_client, bytes_server, .. } in connections {
        let scope = scope.unwrap_or_else(|| "-".to_owned());
        table.row([client, server, scope, state.to_owned(), since, bytes_client.to_string(), bytes_server.to_string()]);
    }
    print(&table.to_string())
}
