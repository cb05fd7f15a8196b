//! The policy: from a file or the command line to what the datapath reads.
//!
//! `keys` has a row for each key. `source` (text) -> `value` (TOML with places) -> `assign` (checked against the rows,
//! laid over a profile) -> [`Document`] -> `compile` (flat values for the kernel, verbs as `announced` says), and back
//! to text by `render`. A scope keeps what it sets (`settings`); `classes` sorts the prefixes of all of them for the
//! datapath.

mod announced;
mod assign;
mod by_name;
mod classes;
mod compile;
mod compiled;
mod document;
mod fault;
mod fit;
mod key;
mod keys;
mod names;
mod prefix;
mod profiles;
mod read;
mod reasons;
mod render;
#[cfg(test)]
mod schema;
mod scope;
mod scope_check;
mod scope_set;
mod scope_text;
mod scopes;
mod section;
mod settings;
mod source;
mod starttls;
mod value;
mod values;
mod word_lists;

pub use self::{
    announced::Effective,
    classes::TooManyPairs,
    compile::{CompileError, compile},
    compiled::Compiled,
    document::{ByName, Document, Mode, WordName},
    fault::{Fault, Located, PolicyError},
    key::{Datum, Key, Kind, PORTS, Reach, Unit, Word},
    keys::{acts, keys, settable},
    names::Names,
    profiles::Profile,
    reasons::{known_reason, reason},
    render::{to_text, to_toml},
    scope::{SCOPE_NAME, SCOPES, Scope, ScopeName},
    scopes::{Bits, Scopes},
    settings::{Settings, Words},
    source::{load, parse, parse_bytes, set},
    starttls::starttls_warnings,
    values::Values,
    word_lists::{ESMTP, RFC_821},
};

#[cfg(test)]
mod classes_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod keys_tests;
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
