//! Loader and command line of smtp-filter.

pub mod policy;
