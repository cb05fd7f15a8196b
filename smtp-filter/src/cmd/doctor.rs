//! `smtp-filter doctor`

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::{Result, bail};
use serde::Serialize;

use crate::{
    cli::{Doctor, Global},
    doctor::{Check, Question, examine},
    netns,
    output::{print, print_json},
    system,
    text::one_line,
};

const GOOD: Style = AnsiColor::Green.on_default();
const WARNING: Style = AnsiColor::Yellow.on_default();
const FAILURE: Style = AnsiColor::Red.on_default().bold();

/// What this machine offers the filter, and what goes around it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Report {
    /// Version of this structure.
    v: u32,
    /// In the order in which they were made.
    checks: Vec<Check>,
}

/// Looks at the machine and reports.
pub fn run(global: &Global, args: &Doctor) -> Result<()> {
    if let Some(name) = &global.netns {
        system::require_privileges("doctor --netns")?;
        netns::enter(name)?;
    }
    let question = Question {
        interfaces: args.iface.clone(),
        connections: args.connections,
        here: global.netns.is_some() || !args.iface.is_empty(),
    };
    let checks = examine(&global.pins(), &question)?;
    let failed: Vec<String> = checks.iter().filter(|check| check.needed).map(|check| check.name.clone()).collect();
    if global.json {
        print_json(&Report { v: 1, checks })?;
    } else {
        print(&text(&checks))?;
    }
    if !failed.is_empty() {
        bail!("doctor: the filter cannot work here before this is mended: {}", failed.join(", "));
    }
    Ok(())
}

/// A line a check, the remedy below it.
fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| one_line(&check.name).chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        let (style, word) = verdict(check);
        let (name, found) = (one_line(&check.name), one_line(&check.found));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{style}{word:<7}{style:#}  {name:<width$}  {found}");
        if let Some(remedy) = &check.remedy {
            let _ = writeln!(out, "{:<7}  {:<width$}  -> {}", "", "", one_line(remedy));
        }
    }
    let count = |which: fn(&Check) -> bool| checks.iter().filter(|check| which(check)).count();
    let (warnings, failures) = (count(|check| !check.ok && !check.needed), count(|check| check.needed));
    let several = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (all, warnings, failures) =
        (several(checks.len(), "check"), several(warnings, "warning"), several(failures, "failure"));
    let _ = writeln!(out, "{all}, {warnings}, {failures}");
    out
}

fn verdict(check: &Check) -> (Style, &'static str) {
    match (check.ok, check.needed) {
        (true, _) => (GOOD, "ok"),
        (false, false) => (WARNING, "warning"),
        (false, true) => (FAILURE, "FAILED"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_as_documented() {
        let checks = vec![Check::good("jit", "on"), Check::failure("kernel", "5.10", "boot another")];
        assert_eq!(
            serde_json::to_string(&Report { v: 1, checks }).unwrap(),
            "{\"v\":1,\"checks\":[\
             {\"name\":\"jit\",\"ok\":true,\"found\":\"on\",\"remedy\":null},\
             {\"name\":\"kernel\",\"ok\":false,\"found\":\"5.10\",\"remedy\":\"boot another\"}]}"
        );
    }

    #[test]
    fn the_remedy_stands_below_and_names_are_harmless() {
        let checks = [Check::good("jit", "on"), Check::warning("xdp e\u{1b}0", "a program", "take it off")];
        let text = anstream::adapter::strip_str(&text(&checks)).to_string();
        assert_eq!(
            text,
            "ok       jit           on\nwarning  xdp e\\u{1b}0  a program\n                       -> take it off\n\
             2 checks, 1 warning, 0 failures\n"
        );
    }
}
