//! smtp-filter: loader and command line.
fn main() {}
