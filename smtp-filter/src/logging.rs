//! Messages about the work itself, on the standard error: of the loader, and with `-vv` of the eBPF side.

use log::{Level, LevelFilter, Log, Metadata, Record};

/// How the names of this program's modules begin, on the eBPF side too.
const OWN: &str = "smtp_filter";

/// Prints every message that the level lets through.
struct StandardError;

impl Log for StandardError {
    /// Debug messages of libraries are about themselves.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info || metadata.target().starts_with(OWN)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let level = record.level().as_str().to_ascii_lowercase();
        for line in text.lines() {
            // A message may repeat what came from the network.
            eprintln!("smtp-filter: {level}: {}", line.escape_debug());
        }
    }

    fn flush(&self) {}
}

/// Begins to print: warnings, with `-v` also what is done, with `-vv` also debug messages.
pub fn init(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(level);
    }
}
