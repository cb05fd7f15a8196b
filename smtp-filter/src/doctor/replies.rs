//! Do the replies pass the filter that is on? Handshakes that begin and never end say that they do not.

use super::check::Check;
use crate::{instance::Running, tables::Tables};

/// By the tables of the running filter.
pub fn check(running: &Running) -> Check {
    match counts(running.tables()) {
        Ok((half_open, opened)) => judge(half_open, opened),
        Err(error) => Check::unseen("replies", format!("{error:#}")),
    }
}

fn counts(tables: &Tables) -> anyhow::Result<(u64, u64)> {
    Ok((tables.half_open()?.0, tables.lost()?.opened))
}

fn judge(half_open: u64, opened: u64) -> Check {
    const NAME: &str = "replies";
    match (half_open, opened) {
        (0, 0) => Check::good(NAME, "no connection has begun yet"),
        (begun, 0) => Check::warning(
            NAME,
            format!("of {begun} connections that begin none is answered here"),
            "see whether the server answers at all; if it does, its answers pass another interface: put the filter there \
             as well",
        ),
        (_, opened) => Check::good(NAME, format!("{opened} connections were answered by way of the filter")),
    }
}
