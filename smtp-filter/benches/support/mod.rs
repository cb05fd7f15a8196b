//! What the benches share: figures beside their bars, as a table or as JSON.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

/// How the figures are wanted.
pub struct Arguments {
    /// One JSON object instead of tables.
    pub json: bool,
    /// Fewer rounds: whether it runs at all.
    pub quick: bool,
}

impl Arguments {
    /// From the command line. Cargo adds words of its own.
    pub fn read() -> Self {
        let has = |word: &str| std::env::args().skip(1).any(|argument| argument == word);
        Self { json: has("--json"), quick: has("--quick") }
    }
}

/// What a figure is held against. For the eye alone: nothing fails by it.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// At most so much.
    Most(f64),
    /// At least so much.
    Least(f64),
}

impl Bar {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::Most(most) => figure <= most,
            Self::Least(least) => figure >= least,
        }
    }

    /// The number.
    pub fn number(self) -> f64 {
        match self {
            Self::Most(bar) | Self::Least(bar) => bar,
        }
    }

    fn said(self, figure: f64, digits: usize) -> String {
        let (word, bar) = match self {
            Self::Most(bar) => ("at most", bar),
            Self::Least(bar) => ("at least", bar),
        };
        let missed = if self.holds(figure) { "" } else { "  MISSED" };
        format!("{word} {bar:.digits$}{missed}")
    }
}

/// One line: figures side by side, and one of them, the last, held against a bar.
pub struct Row {
    /// What was done.
    pub what: String,
    /// In the order of the table's columns.
    pub figures: Vec<f64>,
    /// For the last figure.
    pub bar: Option<Bar>,
}

impl Row {
    /// A row.
    pub fn new(what: impl Into<String>, figures: impl Into<Vec<f64>>, bar: Option<Bar>) -> Self {
        Self { what: what.into(), figures: figures.into(), bar }
    }
}

/// A table.
pub struct Table {
    /// What it is about.
    pub title: String,
    /// Names of the columns with figures, and their digits behind the point.
    pub columns: &'static [(&'static str, usize)],
    /// The lines.
    pub rows: Vec<Row>,
}

impl Table {
    /// Aligned, for people.
    pub fn text(&self) -> String {
        let first = self.rows.iter().map(|row| row.what.len()).max().unwrap_or_default();
        let mut text = format!("{}\n{:first$}", self.title, "");
        let width = |name: &str| name.len().max(9);
        for (name, _) in self.columns {
            let _ = write!(text, "  {name:>0$}", width(name));
        }
        text.push_str("  bar\n");
        for Row { what, figures, bar } in &self.rows {
            let _ = write!(text, "{what:first$}");
            for (figure, (name, digits)) in figures.iter().zip(self.columns) {
                let _ = write!(text, "  {figure:>0$.digits$}", width(name));
            }
            if let (Some(bar), Some(figure), Some((_, digits))) = (bar, figures.last(), self.columns.last()) {
                let _ = write!(text, "  {}", bar.said(*figure, *digits));
            }
            text.push('\n');
        }
        text
    }

    fn value(&self) -> Value {
        let row = |row: &Row| {
            let figures = row.figures.iter().zip(self.columns);
            let mut object: serde_json::Map<_, _> =
                figures.map(|(figure, (name, _))| ((*name).to_owned(), json!(figure))).collect();
            object.insert("what".to_owned(), json!(row.what));
            if let (Some(bar), Some(figure)) = (row.bar, row.figures.last()) {
                object.insert("bar".to_owned(), json!(bar.number()));
                object.insert("holds".to_owned(), json!(bar.holds(*figure)));
            }
            Value::Object(object)
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

/// All tables of a bench, in one JSON object.
pub fn json(tables: &[Table]) -> Value {
    json!({ "v": 1, "tables": tables.iter().map(Table::value).collect::<Vec<_>>() })
}

/// Prints a table at once, unless JSON is wanted, which comes in the end.
pub fn show(arguments: &Arguments, table: &Table) {
    if !arguments.json {
        println!("{}", table.text());
    }
}

/// The one in the middle: what other work on the machine does to a measurement pulls at the mean.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => figures[half],
        _ => f64::midpoint(figures[half - 1], figures[half]),
    }
}

/// A CPU for what is measured, and those for what is beside it: the same one where there is no other.
pub fn cpus() -> Result<(usize, Vec<usize>)> {
    let set = sched_getaffinity(None)?;
    let mut cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
    let measured = cpus.pop().context("the kernel names no CPU")?;
    if cpus.is_empty() {
        cpus.push(measured);
    }
    Ok((measured, cpus))
}

/// Keeps the calling thread, and what it starts, on some CPUs.
pub fn stay_on(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    Ok(sched_setaffinity(None, &set)?)
}

/// Refuses to begin without root.
pub fn require_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "programs are loaded into the kernel: needs root (`cargo xtask bench`)"
    );
    Ok(())
}
