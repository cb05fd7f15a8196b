//! Loader and command line of smtp-filter.

pub mod clock;
pub mod events;
pub mod policy;
