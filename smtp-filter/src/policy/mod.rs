//! The policy: from a file or the command line to what the datapath reads.
//!
//! `source` (text) -> `value` (TOML with places) -> `assign` (checked against `rules`, laid over a profile) ->
//! [`Document`] -> `compile` (one flat value for the kernel, verbs as `announced` says), and back to text by `render`.

mod announced;
mod assign;
mod by_name;
mod compile;
mod compiled;
mod document;
mod fault;
mod names;
mod profiles;
mod render;
mod rules;
#[cfg(test)]
mod schema;
mod scopes;
mod source;
mod starttls;
mod value;

pub use self::{
    announced::Effective,
    assign::PORTS,
    compile::{NamesExhausted, compile},
    compiled::Compiled,
    document::{Banner, ByName, Document, Fill, Guards, Mark, Mask, Mode, Show, WordName},
    fault::{Fault, Located, PolicyError},
    names::Names,
    profiles::{ESMTP, Profile, RFC_821},
    render::to_toml,
    rules::{COMMANDS, EHLO, EXTENSIONS, GUARDS, Guard, action},
    scopes::{Bits, Scopes},
    source::{load, parse, parse_bytes, set},
    starttls::starttls_warning,
};

#[cfg(test)]
mod tests;
