//! Rewriting in place: bytes change, their number never (I5).
//!
//! The pass that judges only notes that something is to be rewritten ([`Change`]); the pass that reports does it
//! ([`make`]).

pub mod banner;
mod change;
pub mod disguise;
mod patch;
mod span;

pub(crate) use self::patch::{patch_length, show};
pub use self::{
    change::{Change, NO_END},
    patch::make,
    span::{Span, ends_with_cr},
};
