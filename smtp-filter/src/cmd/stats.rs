//! `smtp-filter stats`

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use smtp_filter_common::{
    action::Action,
    reason::{Counter, FIRST_KEYWORD, FIRST_NAME},
};

use super::{running, stats_watch};
use crate::{
    cli::{Global, Stats},
    clock::{WallClock, since_boot},
    instance::Running,
    output::{Table, print, print_json},
    policy::Names,
    record::Instance,
    tables::CounterRow,
};

/// What was done for one reason by one action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Row {
    /// The policy key that decided, or what the stream forced.
    pub reason: String,
    /// What was done.
    #[cfg_attr(test, schemars(extend("enum" = Action::ALL.map(Action::name))))]
    pub action: &'static str,
    /// Segments; for a command's name, commands.
    pub segments: u64,
    /// Bytes of payload; for a command's name, of its lines.
    pub bytes: u64,
    /// `true` also for pass and log in mode monitor, which are what is done there; `false`: mode monitor, it was not
    /// done.
    pub enforced: bool,
    /// With `--watch`: segments a second since the last look.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "u64"))]
    pub segments_per_second: Option<u64>,
    /// With `--watch`: bytes a second since the last look.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "u64"))]
    pub bytes_per_second: Option<u64>,
}

impl Row {
    /// An empty one.
    pub(super) fn of(action: Action, enforced: bool) -> Self {
        Self {
            reason: String::new(),
            action: action.name(),
            segments: 0,
            bytes: 0,
            enforced,
            segments_per_second: None,
            bytes_per_second: None,
        }
    }

    /// Whether it counts the same as another one.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        (&self.reason, self.action, self.enforced) == (&other.reason, other.action, other.enforced)
    }
}

/// The counters.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Report {
    /// Version of this structure.
    v: u32,
    /// When it was looked, in UTC.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    ts: String,
    /// Since when the counters count, in UTC.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    since: String,
    /// Counters that are not zero.
    pub reasons: Vec<Row>,
}

impl Report {
    /// What a filter has counted by now.
    pub(super) fn new(instance: &Instance, reasons: Vec<Row>) -> Self {
        let clock = WallClock::booted(instance.boot).or_now();
        Self { v: 1, ts: clock.rfc3339(since_boot()), since: clock.rfc3339(instance.since()), reasons }
    }
}

/// Shows the counters.
pub fn run(global: &Global, args: &Stats) -> Result<()> {
    let running = running(global, "stats")?;
    if args.watch {
        drop(running);
        return stats_watch::run(global);
    }
    let reasons = rows(&running)?;
    if global.json {
        return print_json(&Report::new(running.instance(), reasons));
    }
    print(&table(&reasons).to_string())
}

pub(super) fn rows(running: &Running) -> Result<Vec<Row>> {
    let counters = running.tables().counters()?;
    Ok(merge(&counters, &running.source()?.names))
}

/// Rows in words. `pass` and `log` are carried out in every mode: their counters are one.
pub(super) fn merge(counters: &[CounterRow], names: &Names) -> Vec<Row> {
    let mut sums: BTreeMap<(u16, Action, bool), Counter> = BTreeMap::new();
    for CounterRow { reason, action, enforced, counter } in counters {
        let sum = sums.entry((*reason, *action, *enforced || *action <= Action::Log)).or_default();
        sum.segments += counter.segments;
        sum.bytes += counter.bytes;
    }
    let row = |((reason, action, enforced), Counter { segments, bytes })| Row {
        reason: names.reason(reason),
        segments,
        bytes,
        ..Row::of(action, enforced)
    };
    sums.into_iter().map(row).collect()
}

pub(super) fn table(rows: &[Row]) -> Table {
    let head = ["REASON", "ACTION", "SEGMENTS", "BYTES", "SEGMENTS/S", "BYTES/S"];
    let rates = rows.iter().any(|row| row.segments_per_second.is_some());
    let mut table = Table::new(&head[..if rates { 6 } else { 4 }]).right(&[2, 3, 4, 5]);
    for row in rows {
        let Row { reason, action, segments, bytes, enforced, segments_per_second, bytes_per_second } = row;
        let action = if *enforced { (*action).to_owned() } else { format!("would {action}") };
        let cells = [reason.clone(), action, segments.to_string(), bytes.to_string()];
        let rates = [segments_per_second, bytes_per_second].into_iter().flatten().map(u64::to_string);
        table.row(cells.into_iter().chain(rates));
    }
    table
}

/// What is counted: segments, the commands in them, or the keywords in replies to EHLO together with the verbs that are
/// masked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Segments,
    Commands,
    Extensions,
}

/// A sum of what one action was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Total {
    /// What was done.
    #[cfg_attr(test, schemars(extend("enum" = Action::ALL.map(Action::name))))]
    action: &'static str,
    /// `true` also for pass and log in mode monitor, which are what is done there; `false`: mode monitor, it was not
    /// done.
    enforced: bool,
    /// How often.
    count: u64,
}

/// Sums by action.
pub(super) fn totals(counters: &[CounterRow], counted: Counted) -> Vec<Total> {
    let mut sums: BTreeMap<(Action, bool), u64> = BTreeMap::new();
    for CounterRow { reason, action, enforced, counter } in counters {
        let counts = match counted {
            Counted::Segments => 0..FIRST_NAME,
            Counted::Commands => FIRST_NAME..FIRST_KEYWORD,
            Counted::Extensions => FIRST_KEYWORD..u16::MAX,
        };
        if counts.contains(reason) {
            *sums.entry((*action, *enforced || *action <= Action::Log)).or_default() += counter.segments;
        }
    }
    sums.into_iter().map(|((action, enforced), count)| Total { action: action.name(), enforced, count }).collect()
}

/// Sums in words: `5 log, 1 drop`.
pub(super) fn words(totals: &[Total]) -> String {
    let word = |Total { action, enforced, count }: &Total| {
        format!("{count} {}{action}", if *enforced { "" } else { "would " })
    };
    if totals.is_empty() { "none yet".to_owned() } else { totals.iter().map(word).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counted(reason: u16, action: Action, enforced: bool, segments: u64) -> CounterRow {
        CounterRow { reason, action, enforced, counter: Counter { segments, bytes: segments * 10 } }
    }

    #[test]
    fn rows_read_as_documented() {
        let rows = merge(
            &[
                counted(64, Action::Log, false, 1),
                counted(64, Action::Log, true, 2),
                counted(5, Action::Drop, true, 4),
                counted(5, Action::Drop, false, 3),
            ],
            &Names::default(),
        );
        assert_eq!(
            serde_json::to_string(&rows).unwrap(),
            "[\
             {\"reason\":\"guards.sync\",\"action\":\"drop\",\"segments\":3,\"bytes\":30,\"enforced\":false},\
             {\"reason\":\"guards.sync\",\"action\":\"drop\",\"segments\":4,\"bytes\":40,\"enforced\":true},\
             {\"reason\":\"commands.other\",\"action\":\"log\",\"segments\":3,\"bytes\":30,\"enforced\":true}]"
        );
    }

    #[test]
    fn totals_keep_segments_and_commands_apart() {
        let counters = [
            counted(64, Action::Log, true, 7),
            counted(70, Action::Drop, false, 2),
            counted(42, Action::Pass, true, 5),
            counted(44, Action::Pass, false, 1),
            counted(FIRST_KEYWORD, Action::Mask, true, 3),
        ];
        let said = |counters: &[CounterRow], counted| words(&totals(counters, counted));
        assert_eq!(said(&counters, Counted::Segments), "6 pass");
        assert_eq!(said(&counters, Counted::Commands), "7 log, 2 would drop");
        assert_eq!(said(&counters, Counted::Extensions), "3 mask");
        assert_eq!(said(&[], Counted::Commands), "none yet");
    }
}
