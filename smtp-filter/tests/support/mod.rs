//! What the tests with packets share.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod kernel;
pub mod packets;
pub mod talk;

use std::io::Write as _;

/// Whether this process may load programs and make networks. Where it may not, the reason is printed, past what
/// `cargo test` keeps back: a skipped test must not look like one that passed.
pub fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: it loads programs into the kernel, which needs root");
    }
    root
}
