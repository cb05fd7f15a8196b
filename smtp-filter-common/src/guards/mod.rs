//! Guards: what the policy says about segments and replies as such, rather than about commands.

pub mod act;
mod hold_back;
mod pass_over;
pub mod unmatched;
pub mod urgent;
