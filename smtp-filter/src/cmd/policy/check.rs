//! `smtp-filter policy check`

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{decides, warn};
use crate::{
    cli::Ends,
    output::{print, print_json},
    policy::{self, Document, Mode, PolicyError, Scope},
};

/// A policy file that is refused, and where.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Refused {
    /// Version of this structure.
    v: u32,
    /// `false`.
    #[cfg_attr(test, schemars(extend("const" = false)))]
    good: bool,
    /// The file; `-` is the standard input.
    file: String,
    /// Line of the fault, from 1; none where the file cannot be read.
    line: Option<usize>,
    /// Its column in characters, from 1.
    column: Option<usize>,
    /// What is wrong, as the standard error says it.
    message: String,
    /// What is expected there; none where the message has no more to say.
    expected: Option<String>,
}

impl Refused {
    fn new(file: &Path, error: &anyhow::Error) -> Self {
        let fault = error.downcast_ref::<PolicyError>();
        Self {
            v: 1,
            good: false,
            file: file.display().to_string(),
            line: fault.map(|fault| fault.line),
            column: fault.map(|fault| fault.column),
            message: fault.map_or_else(|| format!("{error:#}"), |fault| fault.message.clone()),
            expected: fault.and_then(PolicyError::expected).map(str::to_owned),
        }
    }
}

/// Says whether a policy file is good, and what loading it would say.
pub fn run(file: Option<&Path>, ends: &Ends, json: bool) -> Result<()> {
    let file = file.context("a policy file is needed")?;
    let document = match policy::load(file) {
        Err(error) if json => {
            print_json(&Refused::new(file, &error))?;
            return Err(error);
        }
        loaded => loaded?,
    };
    warn(&document);
    if json && ends.are_given() {
        return decides::print_policy(&document, ends, false, json);
    }
    if json {
        return print_json(&document);
    }
    let Document { profile, values, commands, extensions, scopes } = &document;
    let (ports, mode) = (values.ports(), values.mode());
    let scopes = match scopes.len() {
        0 => String::new(),
        number => {
            let prefixes: usize = scopes.iter().map(Scope::prefixes).sum();
            format!(", {} of {}", counted(number, "scope", "scopes"), counted(prefixes, "prefix", "prefixes"))
        }
    };
    let decides = if ends.are_given() { format!("{}\n", decides::sentence(&document, ends)?) } else { String::new() };
    print(&format!(
        "{}: good: profile {}, mode {}, ports {ports:?}, {} verbs and {} keywords named{scopes}\n{decides}",
        file.display(),
        profile.name(),
        mode.name(),
        commands.named.len(),
        extensions.named.len()
    ))?;
    if mode == Mode::Monitor { print(&format!("{MONITORED}\n")) } else { Ok(()) }
}

/// What is said of a policy of mode monitor.
const MONITORED: &str = "not enforced: in mode monitor actions are only reported; mode = \"enforce\" changes that";

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
