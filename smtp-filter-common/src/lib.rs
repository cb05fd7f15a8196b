//! The datapath of smtp-filter.
#![no_std]
#![forbid(unsafe_code)]
