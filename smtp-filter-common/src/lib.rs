//! The datapath of smtp-filter and the types that both sides share.
//!
//! Pure: no allocation, no `unsafe`, no panic, constant bounds. Time, direction, interface and policy are arguments;
//! the verdict is a value. The eBPF crate and user space are thin shells around it.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "userspace"))]
extern crate std;

pub mod abi;
pub mod action;
pub mod block;
pub mod bounds;
pub mod branchless;
pub mod direction;
pub mod done;
pub mod entry;
pub mod event;
pub mod flow;
pub mod guards;
pub mod host;
pub mod judge;
pub mod met;
mod open;
pub mod outcome;
pub mod policy;
pub mod reason;
pub mod report;
pub mod reset;
pub mod rewrite;
pub mod scope;
pub mod seq;
pub mod session;
pub mod stream;
#[cfg(feature = "userspace")]
pub mod userspace;
pub mod verdict;
pub mod wire;
pub mod word;
pub mod work;
