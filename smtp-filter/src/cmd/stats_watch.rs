//! `smtp-filter stats --watch`

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{
    runtime,
    stats::{Report, Row, rows, table},
};
use crate::{cli::Global, instance::Running, output::print, pins::PinDir, screen::Screen, signals::Signals};

/// How often it looks.
const AGAIN: Duration = Duration::from_secs(1);

/// Why it ended.
enum End {
    Signal,
    FilterGone,
}

/// Shows the counters every second, with what came to them since, until something ends it.
pub(super) fn run(global: &Global) -> Result<()> {
    let runtime = runtime()?;
    let end = runtime.block_on(show(global));
    // A terminal that is stuck keeps nobody from the end.
    runtime.shutdown_background();
    if let End::FilterGone = end? {
        anstream::eprintln!("smtp-filter: the filter was taken off");
    }
    Ok(())
}

async fn show(global: &Global) -> Result<End> {
    let mut signals = Signals::new()?;
    let mut screen = Screen::default();
    let mut again = interval(AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<(Instant, Vec<Row>)> = None;
    loop {
        tokio::select! {
            biased;
            _ = signals.next() => return Ok(End::Signal),
            _ = again.tick() => {}
        }
        let Some(mut now) = look(&global.pins())? else { return Ok(End::FilterGone) };
        let at = Instant::now();
        if let Some((last, before)) = before {
            rate(&mut now.reasons, &before, at - last);
        }
        let text = if global.json {
            format!("{}\n", serde_json::to_string(&now)?)
        } else {
            screen.next(&table(&now.reasons).to_string())
        };
        before = Some((at, now.reasons));
        tokio::select! {
            biased;
            _ = signals.next() => return Ok(End::Signal),
            printed = spawn_blocking(move || print(&text)) => printed.context("print the counters")??,
        }
    }
}

/// The counters of the filter that is on now, for another one may have taken it over; `None` where none is any more.
fn look(pins: &PinDir) -> Result<Option<Report>> {
    if !pins.in_use() {
        return Ok(None);
    }
    match Running::open(pins).and_then(|running| Ok(Report::new(running.instance(), rows(&running)?))) {
        Ok(report) => Ok(Some(report)),
        // It went meanwhile.
        Err(_) if !pins.in_use() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fills in what came to each counter a second. One that is less than before belongs to another filter.
fn rate(now: &mut [Row], before: &[Row], elapsed: Duration) {
    let per_second = |came: u64| (came as f64 / elapsed.as_secs_f64().max(f64::EPSILON)).round() as u64;
    for row in now {
        let (segments, bytes) =
            before.iter().find(|old| old.is_of(row)).map_or((0, 0), |old| (old.segments, old.bytes));
        row.segments_per_second = Some(per_second(row.segments.saturating_sub(segments)));
        row.bytes_per_second = Some(per_second(row.bytes.saturating_sub(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::action::Action;

    use super::*;

    fn row(reason: &str, segments: u64, bytes: u64) -> Row {
        Row { reason: reason.to_owned(), segments, bytes, ..Row::of(Action::Pass, true) }
    }

    #[test]
    fn what_came_is_told_a_second() {
        let before = [row("a", 10, 1000), row("gone", 5, 5), row("less", 9, 9)];
        let mut now = [row("a", 30, 1001), row("less", 3, 3), row("new", 4, 400)];
        rate(&mut now, &before, Duration::from_secs(2));
        let rates = now.map(|row| (row.segments_per_second, row.bytes_per_second));
        assert_eq!(rates, [(Some(10), Some(1)), (Some(0), Some(0)), (Some(2), Some(200))]);
    }

    #[test]
    fn the_same_reason_with_another_action_is_another_row() {
        let before = [Row { segments: 10, ..Row::of(Action::Drop, false) }];
        let mut now = [Row { segments: 12, ..Row::of(Action::Drop, true) }];
        rate(&mut now, &before, Duration::from_secs(1));
        assert_eq!(now[0].segments_per_second, Some(12));
    }
}
