//! Which scope decides about a connection: `policy show` and `policy check` with `--client` or `--server`.

use std::net::IpAddr;

use anyhow::Result;
use serde_json::json;

use crate::{
    cli::Ends,
    output::{print, print_json},
    policy::{Document, to_toml},
};

/// Prints the scope that decides, and the policy that follows, as a file that may be a whole policy.
pub(super) fn print_policy(document: &Document, ends: &Ends, toml: bool, json: bool) -> Result<()> {
    let Ends { client, server } = ends;
    let scope = document.deciding(*client, *server)?;
    let policy = scope.map_or_else(|| document.whole(), |scope| document.within(scope));
    if json {
        let name = scope.map(|scope| &scope.name);
        return print_json(&json!({ "v": 1, "client": client, "server": server, "scope": name, "policy": policy }));
    }
    let remark = if toml { String::new() } else { format!("# {}\n", sentence(document, ends)?) };
    print(&format!("{remark}{}", to_toml(&policy)))
}

/// Says which scope decides, in one line.
pub(super) fn sentence(document: &Document, ends: &Ends) -> Result<String> {
    let Ends { client, server } = ends;
    let end = |what: &str, address: Option<IpAddr>| match address {
        Some(address) => format!("{what} {address}"),
        None => format!("a {what} that no scope names"),
    };
    let decides = match document.deciding(*client, *server)? {
        Some(scope) => format!("scope {} decides", scope.name),
        None => "no scope decides, but the whole policy".to_owned(),
    };
    Ok(format!("{}, {}: {decides}", end("client", *client), end("server", *server)))
}
