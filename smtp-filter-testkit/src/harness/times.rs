//! How long tests take, for the table that `cargo xtask test` prints. It decides nothing.

use std::{env, fs::OpenOptions, io::Write as _, time::Instant};

/// The variable that names the file to which each test adds a line: its seconds and its name.
pub const VARIABLE: &str = "SMTP_FILTER_TEST_TIMES";

/// Runs a test and notes how long it took.
pub fn measured<T>(test: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = run();
    if let Some(file) = env::var_os(VARIABLE) {
        // One write a line: the tests beside this one write, too. What cannot be noted is missing in the table.
        let line = format!("{:.3} {test}\n", begun.elapsed().as_secs_f64());
        let _ = OpenOptions::new().append(true).open(file).and_then(|mut file| file.write_all(line.as_bytes()));
    }
    result
}
