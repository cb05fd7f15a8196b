//! A line.
