//! Events: from the kernel's ring buffer to a line.

pub mod console;
pub mod escape;
pub mod json;
pub mod select;
pub mod view;
