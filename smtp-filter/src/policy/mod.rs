//! The policy: from a file or the command line to what the datapath reads.
//!
//! `source` (text) -> `value` (TOML with places) -> `assign` (checked against `rules`, laid over a profile) ->
//! [`Document`] -> `compile` (one flat value for the kernel), and back to text by `render`.

mod assign;
mod compile;
mod document;
mod fault;
mod names;
mod profiles;
mod render;
mod rules;
#[cfg(test)]
mod schema;
mod source;
mod value;

pub use self::{
    assign::PORTS,
    compile::{NamesExhausted, compile},
    document::{Commands, Document, Guards, Mark, Mode, VerbName},
    fault::{Fault, Located, PolicyError},
    names::Names,
    profiles::{ESMTP, Profile, RFC_821},
    render::to_toml,
    rules::{COMMANDS, GUARDS, Guard, action},
    source::{load, parse, parse_bytes, set},
};

#[cfg(test)]
mod tests;
