//! `smtp-filter up`

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aya_log::EbpfLogger;
use log::Log;
use tokio::time::timeout;

use super::{begin, expire, guardian::Guardian, runtime, status, wanted};
use crate::{
    cli::{Global, Up},
    clock::WallClock,
    doctor,
    events::{
        reader::EventReader,
        tail::{End, TailOptions, tail},
    },
    instance::{Held, How, Placed, PutOn, Restored, Running, TakenOff, put_on, take_off_own},
    loader::{DEBUG, Filter, SILENT},
    output::print,
    pins::PinDir,
    policy::Mode,
    readable,
    record::Hook,
    signals::{Signal, Signals},
    system,
};

/// How long is looked for a signal that came while the filter was put on.
const LAST_LOOK: Duration = Duration::from_millis(1);
/// How often it is tried to pin a filter again whose BPF file system was unmounted.
const AGAIN: Duration = Duration::from_millis(500);

/// Puts the filter on, and unless it is to be left alone, shows its events until it is ended.
pub fn run(global: &Global, args: &Up) -> Result<()> {
    let policy = wanted("up", args.policy.as_deref(), args.profile.as_deref(), &args.port)?;
    begin(global, "up")?;
    system::require_kernel()?;
    let debug = global.verbose > 1 && !args.detach;
    let what = PutOn {
        interfaces: args.iface.clone(),
        policy,
        hook: args.hook.hook(),
        connections: args.connections,
        log_level: if debug { DEBUG } else { SILENT },
        confirm: args.confirm,
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
    let placed = put_on(pins, what, || Ok(()))?;
    super::policy::warn(&placed.document);
    let (said, owner) = (announcement(pins, &placed), placed.instance.owner);
    let unconfirmed = placed.instance.confirm_until.is_some();
    drop(placed);
    if let Ok(Signal::Terminate) = timeout(LAST_LOOK, signals.next()).await {
        take_off_own(pins, owner)?;
        bail!("interrupted: the filter is off again");
    }
    if unconfirmed && let Err(error) = expire::spawn(pins, owner) {
        log::warn!("unconfirmed, the filter goes off in time, but its pins stay until the next command: {error}");
    }
    if global.json {
        return status::print_state(&Running::open(pins)?, global).map(drop);
    }
    print(&format!("{said}; `smtp-filter down` takes it off\n"))
}

async fn foreground(pins: &PinDir, what: &PutOn, global: &Global, signals: &mut Signals) -> Result<()> {
    let mut reader = None;
    let mut placed = put_on(pins, what, || {
        reader = Some(Running::reader_at(pins)?);
        Ok(())
    })?;
    let reader = reader.context("the reader was made")?;
    // Where it is off already, there is nothing to be held.
    let mut held = Held::hold(pins).ok();
    super::policy::warn(&placed.document);
    // The standard output is for the events alone.
    anstream::eprintln!("smtp-filter: {}; Ctrl-C takes it off", announcement(pins, &placed));
    let owner = placed.instance.owner;
    let mut end = watch(pins, reader, &mut placed, global, signals).await;
    while let Ok(End::FilterGone) = end
        && let Some(cut_off) = held.take_if(|held| held.is_cut_off())
    {
        end = match unmounted(&cut_off, signals).await {
            Unmounted::PinnedAgain => {
                held = Held::hold(pins).ok();
                match Running::reader_at(pins) {
                    Ok(reader) => watch(pins, reader, &mut placed, global, signals).await,
                    Err(_) if !pins.in_use() => Ok(End::FilterGone),
                    Err(error) => Err(error),
                }
            }
            Unmounted::Replaced => Ok(End::FilterGone),
            Unmounted::Signal => {
                if cut_off.is_of(owner) {
                    drop(placed);
                    cut_off.take_off()?;
                    anstream::eprintln!("smtp-filter: off, nothing is left");
                }
                return Ok(());
            }
        };
    }
    // Its handles would hold what is to go.
    drop((placed, held));
    if let Ok(End::Signal(Signal::Hangup)) = end {
        anstream::eprintln!("smtp-filter: left on; `smtp-filter down` takes it off");
        return Ok(());
    }
    if let Ok(End::Unconfirmed) = end {
        bail!("nobody confirmed the filter in time: it is off, nothing is left");
    }
    match take_off_own(pins, owner)? {
        None => {
            anstream::eprintln!("smtp-filter: left on: another `smtp-filter up` has taken the filter over");
        }
        Some(TakenOff::Nothing) => anstream::eprintln!("smtp-filter: the filter was taken off by another command"),
        Some(TakenOff::Interface | TakenOff::Everything) => anstream::eprintln!("smtp-filter: off, nothing is left"),
    }
    end.map(|_| ())
}

/// What became of a filter whose BPF file system was unmounted.
enum Unmounted {
    PinnedAgain,
    /// Another one was put on in its place.
    Replaced,
    /// Somebody wants it to end before that.
    Signal,
}

/// Pins a filter again whose BPF file system was unmounted, as soon as that can be done.
async fn unmounted(held: &Held, signals: &mut Signals) -> Unmounted {
    let point = held.point().display();
    anstream::eprintln!(
        "smtp-filter: the BPF file system at {point} was unmounted under the filter, which is on only as long as this \
         smtp-filter holds it"
    );
    let mut told = false;
    loop {
        match held.restore() {
            Ok(Restored::Here) => {
                anstream::eprintln!(
                    "smtp-filter: the filter is pinned again at {point}, with its policy and connections"
                );
                return Unmounted::PinnedAgain;
            }
            Ok(Restored::Replaced) => {
                anstream::eprintln!("smtp-filter: another filter was put on in its place: this one is off");
                return Unmounted::Replaced;
            }
            Err(error) if !std::mem::replace(&mut told, true) => {
                anstream::eprintln!("smtp-filter: it cannot be pinned again, which is tried on: {error:#}");
            }
            Err(_) => {}
        }
        if timeout(AGAIN, signals.next()).await.is_ok() {
            return Unmounted::Signal;
        }
    }
}

/// Shows events, and with `-vv` what the programs log, and looks after the filter, until something ends it.
async fn watch(
    pins: &PinDir,
    reader: EventReader,
    placed: &mut Placed,
    global: &Global,
    signals: &mut Signals,
) -> Result<End> {
    let lookup = match Running::open(pins).and_then(|running| running.lookup()) {
        // It went meanwhile.
        Err(_) if !pins.in_use() => return Ok(End::FilterGone),
        lookup => lookup?,
    };
    let options = TailOptions { json: global.json, ..TailOptions::default() };
    let debug = (global.verbose > 1).then(|| debug_messages(&mut placed.filter));
    let mut guardian = Guardian::new(pins, placed.instance.owner)?;
    let logs = async {
        if let Some(debug) = debug
            && let Err(error) = async { show_logs(debug?).await }.await
        {
            log::warn!("no debug messages of the eBPF side: {error:#}");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = tail(reader, lookup, options, signals) => end,
        end = guardian.guard(&mut placed.filter) => end,
        () = logs => Ok(End::Closed),
    }
}

type Logger = EbpfLogger<&'static dyn Log>;

fn debug_messages(filter: &mut Filter) -> Result<Logger> {
    EbpfLogger::init(filter.ebpf()).context("this smtp-filter was built without them")
}

async fn show_logs(logger: Logger) -> Result<()> {
    let mut logger = readable::watch_logs(logger)?;
    loop {
        let mut ready = logger.readable_mut().await?;
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}

/// What is on now.
fn announcement(pins: &PinDir, placed: &Placed) -> String {
    let Placed { filter, how, instance, document } = placed;
    doctor::warnings(instance, filter.program_ids())
        .iter()
        .for_each(|line| anstream::eprintln!("smtp-filter: warning: {line}"));
    let how = match how {
        How::New => "on",
        How::TookOver => "took over, without a gap: on",
        How::TookOverOther => "took over from another version, whose connections are unknown from now on: on",
    };
    let by = |hook: Hook| {
        let names: Vec<&str> =
            instance.interfaces.iter().filter(|at| at.hook == hook).map(|at| at.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{} by {}", names.join(", "), hook.name()))
    };
    let interfaces: Vec<String> = [Hook::Tcx, Hook::Clsact].into_iter().filter_map(by).collect();
    let mode = match document.values.mode() {
        Mode::Enforce => "mode enforce",
        Mode::Monitor => "mode monitor: nothing is touched",
    };
    let until = instance.confirm_until.map(|until| {
        let until = WallClock::booted(instance.boot).or_now().rfc3339(until);
        format!("; goes off at {until} unless `smtp-filter confirm` comes first")
    });
    format!(
        "{how} {}, ports {:?}, profile {}, {mode}, pinned at {}{}",
        interfaces.join(", "),
        document.values.ports(),
        document.profile.name(),
        pins.path().display(),
        until.unwrap_or_default()
    )
}
