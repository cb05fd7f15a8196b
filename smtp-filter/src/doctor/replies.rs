//! Do the replies pass the filter that is on? Handshakes that begin and never end say that they do not.

use anyhow::Result;
use smtp_filter_common::{action::Action, reason::Reason};

use super::check::Check;
use crate::{instance::Running, tables::Tables};

/// What the tables say.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Connections that have begun and are not answered.
    half_open: u64,
    /// Connections that were answered.
    opened: u64,
    /// Segments, after the grace period, of connections that nobody saw begin.
    unknown: u64,
}

/// By the tables of the running filter.
pub fn check(running: &Running) -> Check {
    match counts(running.tables()) {
        Ok(counts) => judge(counts),
        Err(error) => Check::unseen("replies", format!("{error:#}")),
    }
}

fn counts(tables: &Tables) -> Result<Counts> {
    let unknown = |reason, action| reason == Reason::UnknownConnection as u16 && action >= Action::Drop;
    let counters = tables.counters()?;
    let unknown = counters.iter().filter(|row| unknown(row.reason, row.action)).map(|row| row.counter.segments).sum();
    Ok(Counts { half_open: tables.half_open()?.0, opened: tables.lost()?.opened, unknown })
}

fn judge(counts: Counts) -> Check {
    const NAME: &str = "replies";
    const REMEDY: &str = "put the filter where both directions pass, or on the other interface as well";
    match counts {
        Counts { half_open: 0, opened: 0, unknown: 0 } => Check::good(NAME, "no connection has begun yet"),
        Counts { half_open: 0, opened: 0, unknown } => Check::warning(
            NAME,
            format!("no connection begins here, but {unknown} segments pass of some that did elsewhere or before"),
            REMEDY,
        ),
        Counts { half_open, opened: 0, .. } => Check::warning(
            NAME,
            format!("of the connections that begin here ({half_open}) none is answered here"),
            format!("see whether the server answers at all; if it does, {REMEDY}"),
        ),
        Counts { opened, .. } => Check::good(NAME, format!("answered by way of the filter: {opened} connections")),
    }
}
