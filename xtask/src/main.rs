//! `cargo xtask`: everything around the code, one module a verb.
fn main() {}
