//! Guards: what the policy says about segments and replies as such, rather than about commands.

pub mod act;
pub mod unmatched;
