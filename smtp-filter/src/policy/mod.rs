//! The policy: from a file or the command line to what the datapath reads.
//!
//! `source` (text) -> `value` (TOML with places) -> `assign` (checked against `rules`, laid over a profile) ->
//! [`Document`] -> `compile` (flat values for the kernel, verbs as `announced` says), and back to text by `render`.
//! A scope keeps what it sets (`settings`); `classes` sorts the prefixes of all of them for the datapath.

mod announced;
mod assign;
mod by_name;
mod classes;
mod compile;
mod compiled;
mod document;
mod fault;
mod fit;
mod names;
mod prefix;
mod profiles;
mod reasons;
mod render;
mod rules;
#[cfg(test)]
mod schema;
mod scope;
mod scope_check;
mod scope_set;
mod scope_text;
mod scopes;
mod settings;
mod source;
mod starttls;
mod value;

pub use self::{
    announced::Effective,
    assign::PORTS,
    classes::TooManyPairs,
    compile::{CompileError, compile},
    compiled::Compiled,
    document::{Banner, ByName, Document, Fill, Guards, Mark, Mask, Mode, Show, WordName},
    fault::{Fault, Located, PolicyError},
    names::Names,
    profiles::{ESMTP, Profile, RFC_821},
    reasons::{known_reason, reason},
    render::{to_text, to_toml},
    rules::{COMMANDS, EHLO, EXTENSIONS, GUARDS, Guard, action},
    scope::{SCOPE_NAME, SCOPES, Scope, ScopeName},
    scopes::{Bits, Scopes},
    settings::{BannerSettings, GuardSettings, MarkSettings, MaskSettings, Settings, Words},
    source::{load, parse, parse_bytes, set},
    starttls::starttls_warnings,
};

#[cfg(test)]
mod classes_tests;
#[cfg(test)]
mod scope_room_tests;
#[cfg(test)]
mod scope_set_tests;
#[cfg(test)]
mod scope_shown_tests;
#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod set_again_tests;
#[cfg(test)]
mod tests;
