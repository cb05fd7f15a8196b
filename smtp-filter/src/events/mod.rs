//! Events: from the kernel's ring buffer to a line.
//!
//! `reader` (bytes of the ring buffer) -> `view` (everything that is said, in words from `lookup`) -> `select` ->
//! `console` or `json` -> `tail` (the standard output).

pub mod console;
pub mod escape;
pub mod json;
pub mod lookup;
pub mod reader;
pub mod select;
pub mod tail;
pub mod view;
