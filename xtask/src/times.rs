//! How long things took: the tables at the end of `cargo xtask ci` and `cargo xtask test`. They decide nothing.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::process::target_dir;

/// The variable that tells a test program the file to which each of its tests adds a line (smtp-filter-testkit).
const VARIABLE: &str = "SMTP_FILTER_TEST_TIMES";
/// How many of the tests that took longest are shown.
const LONGEST: usize = 12;

/// Rows of a table.
#[derive(Default)]
pub struct Times(Vec<(String, Duration)>);

impl Times {
    /// Does something and notes how long it took, whatever comes of it.
    pub fn measure<T>(&mut self, what: impl Into<String>, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        self.0.push((what.into(), begun.elapsed()));
        result
    }

    /// Adds what was measured elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn sum(&self) -> Duration {
        self.0.iter().map(|(_, time)| *time).sum()
    }
}

/// The longest first, and the sum.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        for (what, time) in rows {
            writeln!(f, "{:>9.1} s  {what}", time.as_secs_f64())?;
        }
        writeln!(f, "{:>9.1} s  in all", self.sum().as_secs_f64())
    }
}

/// The folder in which each test program leaves its times, a file for each.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let folder = target_dir().join("test-times");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// The file of a test program: named as cargo has named the program.
    fn file(&self, program: &Path) -> PathBuf {
        self.0.join(program.file_name().unwrap_or_default())
    }

    /// Runs a test program, `command`, and leaves its times. The folder is named by the environment.
    pub fn run<T>(program: &Path, run: impl FnOnce((&'static str, &Path)) -> T) -> Result<T> {
        let folder = Self(std::env::var_os(VARIABLE).context("the folder for the times of the tests")?.into());
        let file = folder.file(program);
        fs::write(&file, "").with_context(|| format!("write {}", file.display()))?;
        let mut times = Times::default();
        let result = times.measure("", || run((VARIABLE, &file)));
        fs::write(file.with_extension("all"), format!("{:.3}", times.sum().as_secs_f64()))?;
        Ok(result)
    }

    /// What a `cargo test` is told, so that [`Folder::run`] finds the folder.
    pub fn variable(&self) -> (&'static str, &Path) {
        (VARIABLE, &self.0)
    }

    /// The times of the programs, and of the tests that took longest, as far as their programs note them.
    pub fn read(&self) -> Result<(Times, Times)> {
        let (mut programs, mut tests) = (Times::default(), Times::default());
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let (file, text) = (path.file_stem().unwrap_or_default().to_string_lossy(), fs::read_to_string(&path)?);
            // What follows the last dash is cargo's mark.
            let program = file.rsplit_once('-').map_or(&*file, |(program, _)| program);
            if path.extension().is_some() {
                programs.0.extend(row(&text, program));
            } else {
                let named = text.lines().filter_map(|line| line.split_once(' '));
                tests.0.extend(named.filter_map(|(time, test)| row(time, &format!("{program} {test}"))));
            }
        }
        tests.0.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        tests.0.truncate(LONGEST);
        Ok((programs, tests))
    }
}

fn row(time: &str, what: &str) -> Option<(String, Duration)> {
    Some((what.to_owned(), Duration::try_from_secs_f64(time.parse().ok()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_comes_first_and_the_sum_last() {
        let times = Times(vec![row("1.25", "short").expect("a time"), row("60", "long").expect("a time")]);
        assert_eq!(times.to_string(), "     60.0 s  long\n      1.2 s  short\n     61.2 s  in all\n");
        assert!(row("?", "no time").is_none());
    }
}
