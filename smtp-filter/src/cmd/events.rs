//! `smtp-filter events`

use anyhow::Result;

use super::{running, runtime};
use crate::{
    cli::{Events, Global, Usage},
    events::{
        select::Selection,
        tail::{End, TailOptions, tail},
    },
    policy::known_reason,
    signals::Signals,
};

/// Shows the events as they happen.
pub fn run(global: &Global, args: &Events) -> Result<()> {
    let running = running(global, "events")?;
    let Events { reason, kind, client, count } = args;
    let selection = Selection { reasons: reason.clone(), kinds: kind.clone(), clients: client.clone() };
    let options = TailOptions { json: global.json, selection, count: *count };
    let names = running.source()?.names;
    for reason in reason {
        known_reason(reason, &names).map_err(|message| Usage(format!("events: {message}")))?;
    }
    let (lookup, reader) = (running.lookup()?, running.reader()?);
    let interfaces: Vec<&str> = running.instance().interfaces.iter().map(|at| at.name.as_str()).collect();
    anstream::eprintln!("smtp-filter: reading the events of {}; Ctrl-C ends it", interfaces.join(", "));
    drop(running);
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        if tail(reader, lookup, options, &mut signals).await? == End::FilterGone {
            anstream::eprintln!("smtp-filter: the filter was taken off");
        }
        Ok(())
    })
}
