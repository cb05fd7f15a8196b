//! `smtp-filter up`

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aya_log::EbpfLogger;
use log::Log;
use tokio::time::timeout;

use super::{asked, begin, runtime, status};
use crate::{
    cli::{Global, Up},
    events::{
        lookup::LiveLookup,
        reader::EventReader,
        tail::{End, TailOptions, tail},
    },
    instance::{PutOn, Running, put_on, take_off},
    loader::{DEBUG, Filter, LoadOptions, SILENT},
    output::print,
    pins::PinDir,
    policy::Mode,
    readable,
    signals::{Signal, Signals},
    system,
};

/// How long is looked for a signal that came while the filter was put on.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// Puts the filter on, and unless it is to be left alone, shows its events until it is ended.
pub fn run(global: &Global, args: &Up) -> Result<()> {
    let document = asked("up", args.policy.as_deref(), args.profile.as_deref(), &args.port)?;
    begin(global, "up")?;
    system::require_kernel()?;
    let debug = global.verbose > 1 && !args.detach;
    let what = PutOn {
        interfaces: args.iface.clone(),
        document,
        hook: args.hook.hook(),
        load: LoadOptions { connections: args.connections, log_level: if debug { DEBUG } else { SILENT } },
    };
    runtime()?.block_on(async {
        // From here on a signal does not end the process with half of the work done.
        let mut signals = Signals::new()?;
        let pins = global.pins();
        if args.detach {
            detached(&pins, &what, global, &mut signals).await
        } else {
            foreground(&pins, &what, global, &mut signals).await
        }
    })
}

async fn detached(pins: &PinDir, what: &PutOn, global: &Global, signals: &mut Signals) -> Result<()> {
    let filter = put_on(pins, what, || Ok(()))?;
    drop(filter);
    if let Ok(Signal::Terminate) = timeout(LAST_LOOK, signals.next()).await {
        take_off(pins, None)?;
        bail!("interrupted: the filter is off again");
    }
    if global.json {
        return status::print_state(&Running::open(pins)?, global);
    }
    print(&format!("{}; `smtp-filter down` takes it off\n", announcement(pins, what)))
}

async fn foreground(pins: &PinDir, what: &PutOn, global: &Global, signals: &mut Signals) -> Result<()> {
    let mut prepared = None;
    let mut filter = put_on(pins, what, || {
        let running = Running::open(pins)?;
        prepared = Some((running.reader()?, running));
        Ok(())
    })?;
    // The standard output is for the events alone.
    anstream::eprintln!("smtp-filter: {}; Ctrl-C takes it off", announcement(pins, what));
    let (reader, _) = prepared.context("the reader was made")?;
    let end = watch(pins, reader, &mut filter, what, global, signals).await;
    // Its handles would hold what is to go.
    drop(filter);
    if let Ok(End::Signal(Signal::Hangup)) = end {
        anstream::eprintln!("smtp-filter: left on; `smtp-filter down` takes it off");
        return Ok(());
    }
    if let Ok(End::FilterGone) = end {
        anstream::eprintln!("smtp-filter: the filter was taken off by another command");
        return Ok(());
    }
    take_off(pins, None)?;
    anstream::eprintln!("smtp-filter: off, nothing is left");
    end.map(|_| ())
}

/// Shows events, and with `-vv` what the programs log, until something ends it.
async fn watch(
    pins: &PinDir,
    reader: EventReader,
    filter: &mut Filter,
    what: &PutOn,
    global: &Global,
    signals: &mut Signals,
) -> Result<End> {
    let lookup: LiveLookup = Running::open(pins)?.lookup()?;
    let options = TailOptions { json: global.json, ..TailOptions::default() };
    let logs = async {
        if what.load.log_level != SILENT
            && let Err(error) = show_logs(filter).await
        {
            log::warn!("no debug messages of the eBPF side: {error:#}");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = tail(reader, lookup, options, signals) => end,
        () = logs => Ok(End::Closed),
    }
}

async fn show_logs(filter: &mut Filter) -> Result<()> {
    let logger: EbpfLogger<&'static dyn Log> =
        EbpfLogger::init(filter.ebpf()).context("this smtp-filter was built without them")?;
    let mut logger = readable::watch_logs(logger)?;
    loop {
        let mut ready = logger.readable_mut().await?;
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}

/// What is on now.
fn announcement(pins: &PinDir, what: &PutOn) -> String {
    let PutOn { interfaces, document, hook, load: _ } = what;
    let mode = match document.mode {
        Mode::Enforce => "mode enforce",
        Mode::Monitor => "mode monitor: nothing is touched",
    };
    format!(
        "on {} by {}, ports {:?}, profile {}, {mode}, pinned at {}",
        interfaces.join(", "),
        hook.name(),
        document.ports,
        document.profile.name(),
        pins.path().display()
    )
}
