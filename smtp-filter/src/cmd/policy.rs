//! `smtp-filter policy show|set|load|check|profiles`

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::json;
use smtp_filter_common::action::Action;

use super::{changes::changes, decides, running, status::PolicyState};
use crate::{
    cli::{Ends, Global, Policy, PolicyVerb},
    instance::{Change, Running},
    output::{Table, print, print_json},
    policy::{self, Datum, Document, Mode, PolicyError, Profile, Scope, starttls_warnings, to_text, to_toml},
};

/// Shows or changes the policy.
pub fn run(global: &Global, args: &Policy) -> Result<()> {
    match &args.verb {
        PolicyVerb::Show { toml, ends } => show(&running(global, "policy show")?, *toml, ends, global.json),
        PolicyVerb::Set { settings } => set(global, settings),
        PolicyVerb::Load { file } => load(global, file),
        PolicyVerb::Check { actions: true, file: _, ends: _ } => actions(global.json),
        PolicyVerb::Check { actions: false, file, ends } => check(file.as_deref(), ends, global.json),
        PolicyVerb::Profiles { name: None } => profiles(global.json),
        PolicyVerb::Profiles { name: Some(name) } => profile(name, global.json),
    }
}

fn show(running: &Running, toml: bool, ends: &Ends, json: bool) -> Result<()> {
    let (document, generation) = running.in_force()?;
    if ends.are_given() {
        return decides::print_policy(&document, ends, toml, json);
    }
    if json {
        return print_json(&document);
    }
    if toml {
        return print(&to_toml(&document));
    }
    let remark = match document.values.mode() {
        Mode::Enforce => "",
        Mode::Monitor => "; mode monitor: actions are reported, not carried out",
    };
    print(&format!("# generation {generation}{remark}\n{}", to_text(&document)))
}

fn set(global: &Global, settings: &[String]) -> Result<()> {
    let change = running(global, "policy set")?
        .change(|document| policy::set(document, settings).map_err(anyhow::Error::msg).context("set"))?;
    let sets_action = settings.iter().any(|setting| policy::acts(setting));
    tell(&change, sets_action, global.json)
}

fn load(global: &Global, file: &Path) -> Result<()> {
    let document = policy::load(file)?;
    let change = running(global, "policy load")?.change(|_| Ok(document))?;
    tell(&change, true, global.json)
}

/// Says what is in force now, and what of it is not carried out.
fn tell(Change { before, after, generation }: &Change, sets_action: bool, json: bool) -> Result<()> {
    warn(after);
    if json {
        return print_json(&json!({ "v": 1, "policy": PolicyState::new(after, *generation) }));
    }
    let mut out = format!(
        "in force: profile {}, mode {}, generation {generation}\n",
        after.profile.name(),
        after.values.mode().name()
    );
    out += &changes(before, after);
    if sets_action && after.values.mode() == Mode::Monitor {
        out += "not enforced: in mode monitor actions are only reported; `smtp-filter policy set mode=enforce` changes that\n";
    }
    print(&out)
}

/// Says on the standard error what a policy does that nobody may want.
pub(super) fn warn(document: &Document) {
    for warning in starttls_warnings(document) {
        anstream::eprintln!("smtp-filter: {warning}");
    }
}

/// A policy file that is refused, and where.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Refused {
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

fn check(file: Option<&Path>, ends: &Ends, json: bool) -> Result<()> {
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

/// The one table of which action is legal where.
fn actions(json: bool) -> Result<()> {
    let names = |legal: &[Action]| legal.iter().map(|action| action.name()).collect::<Vec<_>>();
    let rows = policy::keys().filter_map(|key| match key.default {
        Datum::Action(default) => Some((key.path, names(key.legal()), default.name(), key.meaning)),
        _ => None,
    });
    if json {
        let keys: Vec<_> = rows
            .map(|(key, legal, default, meaning)| {
                json!({ "key": key, "actions": legal, "default": default, "meaning": meaning })
            })
            .collect();
        return print_json(&json!({ "v": 1, "keys": keys }));
    }
    let mut table = Table::new(&["KEY", "DEFAULT", "ACTIONS", "WHAT IT IS ABOUT"]);
    for (key, legal, default, meaning) in rows {
        table.row([key.to_owned(), default.to_owned(), legal.join(" "), meaning.to_owned()]);
    }
    print(&table.to_string())
}

fn profiles(json: bool) -> Result<()> {
    if json {
        let profiles: Vec<_> = Profile::ALL
            .iter()
            .map(|profile| {
                let mode = profile.document().values.mode();
                json!({ "name": profile.name(), "mode": mode, "description": profile.description() })
            })
            .collect();
        return print_json(&json!({ "v": 1, "profiles": profiles }));
    }
    let mut table = Table::new(&["PROFILE", "MODE", "WHAT IT DOES"]);
    for profile in Profile::ALL {
        let mode = profile.document().values.mode().name();
        table.row([profile.name().to_owned(), mode.to_owned(), profile.description().to_owned()]);
    }
    print(&table.to_string())
}

fn profile(name: &str, json: bool) -> Result<()> {
    let Some(profile) = Profile::find(name) else {
        bail!("there is no profile {name:?}: `smtp-filter policy profiles` lists them");
    };
    if json { print_json(&profile.document()) } else { print(&to_toml(&profile.document())) }
}
