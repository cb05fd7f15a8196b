//! `smtp-filter stats`

use std::{collections::BTreeMap, io::IsTerminal as _, thread, time::Duration};

use anyhow::Result;
use serde::Serialize;
use smtp_filter_common::{
    action::Action,
    reason::{Counter, FIRST_NAME},
};

use super::running;
use crate::{
    cli::{Global, Stats},
    instance::Running,
    output::{Table, print, print_json},
    policy::Names,
    tables::CounterRow,
};

/// How often `--watch` looks.
const AGAIN: Duration = Duration::from_secs(1);
/// Home, and everything behind it cleared.
const CLEAR: &str = "\x1b[H\x1b[J";

/// One row.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    reason: String,
    action: &'static str,
    segments: u64,
    bytes: u64,
    enforced: bool,
}

#[derive(Serialize)]
struct Report {
    v: u32,
    reasons: Vec<Row>,
}

/// Shows the counters.
pub fn run(global: &Global, args: &Stats) -> Result<()> {
    let running = running(global, "stats")?;
    loop {
        let reasons = rows(&running)?;
        if global.json {
            print_json(&Report { v: 1, reasons })?;
        } else {
            let clear = if args.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
            print(&format!("{clear}{}", table(&reasons)))?;
        }
        if !args.watch {
            return Ok(());
        }
        thread::sleep(AGAIN);
    }
}

fn rows(running: &Running) -> Result<Vec<Row>> {
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
        action: Action::name(action),
        segments,
        bytes,
        enforced,
    };
    sums.into_iter().map(row).collect()
}

pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["REASON", "ACTION", "SEGMENTS", "BYTES"]).right(&[2, 3]);
    for Row { reason, action, segments, bytes, enforced } in rows {
        let action = if *enforced { (*action).to_owned() } else { format!("would {action}") };
        table.row([reason.clone(), action, segments.to_string(), bytes.to_string()]);
    }
    table
}

/// What is counted: segments, or the commands in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Segments,
    Commands,
}

/// Sums by action, in words: `5 log, 1 drop`.
pub(super) fn totals(counters: &[CounterRow], counted: Counted) -> String {
    let mut sums: BTreeMap<(Action, bool), u64> = BTreeMap::new();
    for CounterRow { reason, action, enforced, counter } in counters {
        if (*reason >= FIRST_NAME) == (counted == Counted::Commands) {
            *sums.entry((*action, *enforced || *action <= Action::Log)).or_default() += counter.segments;
        }
    }
    let words: Vec<String> =
        sums.iter().map(|((action, enforced), n)| format!("{n} {}", verdict(*action, *enforced))).collect();
    if words.is_empty() { "none yet".to_owned() } else { words.join(", ") }
}

/// An action in words.
fn verdict(action: Action, enforced: bool) -> String {
    if enforced { action.name().to_owned() } else { format!("would {}", action.name()) }
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
            serde_json::to_string(&Report { v: 1, reasons: rows }).unwrap(),
            "{\"v\":1,\"reasons\":[\
             {\"reason\":\"guards.sync\",\"action\":\"drop\",\"segments\":3,\"bytes\":30,\"enforced\":false},\
             {\"reason\":\"guards.sync\",\"action\":\"drop\",\"segments\":4,\"bytes\":40,\"enforced\":true},\
             {\"reason\":\"commands.other\",\"action\":\"log\",\"segments\":3,\"bytes\":30,\"enforced\":true}]}"
        );
    }

    #[test]
    fn totals_keep_segments_and_commands_apart() {
        let counters = [
            counted(64, Action::Log, true, 7),
            counted(70, Action::Drop, false, 2),
            counted(42, Action::Pass, true, 5),
            counted(44, Action::Pass, false, 1),
        ];
        assert_eq!(totals(&counters, Counted::Segments), "6 pass");
        assert_eq!(totals(&counters, Counted::Commands), "7 log, 2 would drop");
        assert_eq!(totals(&[], Counted::Commands), "none yet");
    }
}
