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
struct Row {
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
fn merge(counters: &[CounterRow], names: &Names) -> Vec<Row> {
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

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["REASON", "ACTION", "SEGMENTS", "BYTES"]).right(&[2, 3]);
    for Row { reason, action, segments, bytes, enforced } in rows {
        let action = if *enforced { (*action).to_owned() } else { format!("would {action}") };
        table.row([reason.clone(), action, segments.to_string(), bytes.to_string()]);
    }
    table
}

/// Sums over segments by action: reasons of commands count commands, which are in segments already.
pub(super) fn totals(counters: &[CounterRow]) -> BTreeMap<(Action, bool), u64> {
    let mut sums = BTreeMap::new();
    for CounterRow { reason, action, enforced, counter } in counters {
        if *reason < FIRST_NAME {
            *sums.entry((*action, *enforced || *action <= Action::Log)).or_default() += counter.segments;
        }
    }
    sums
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
    fn totals_count_no_segment_twice() {
        let sums = totals(&[
            counted(64, Action::Log, true, 7),
            counted(42, Action::Pass, true, 5),
            counted(44, Action::Pass, false, 1),
        ]);
        assert_eq!(sums, BTreeMap::from([((Action::Pass, true), 6)]));
    }
}
