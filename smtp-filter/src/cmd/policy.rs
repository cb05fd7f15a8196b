//! `smtp-filter policy show|set|load|check|profiles`

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use smtp_filter_common::action::Action;

use super::{running, status::PolicyState};
use crate::{
    cli::{Global, Policy, PolicyVerb},
    instance::{Change, Running},
    output::{Table, print, print_json},
    policy::{self, ByName, COMMANDS, Document, EHLO, EXTENSIONS, GUARDS, Mode, Profile, starttls_warning, to_toml},
};

/// Shows or changes the policy.
pub fn run(global: &Global, args: &Policy) -> Result<()> {
    match &args.verb {
        PolicyVerb::Show { toml } => show(&running(global, "policy show")?, *toml, global.json),
        PolicyVerb::Set { settings } => set(global, settings),
        PolicyVerb::Load { file } => load(global, file),
        PolicyVerb::Check { actions: true, file: _ } => actions(global.json),
        PolicyVerb::Check { actions: false, file } => check(file.as_deref(), global.json),
        PolicyVerb::Profiles { name: None } => profiles(global.json),
        PolicyVerb::Profiles { name: Some(name) } => profile(name, global.json),
    }
}

fn show(running: &Running, toml: bool, json: bool) -> Result<()> {
    let (document, generation) = (running.document()?, running.source()?.generation);
    if json {
        return print_json(&document);
    }
    let remark = match document.mode {
        _ if toml => String::new(),
        Mode::Enforce => format!("# generation {generation}\n"),
        Mode::Monitor => format!("# generation {generation}; mode monitor: actions are reported, not carried out\n"),
    };
    print(&format!("{remark}{}", to_toml(&document)))
}

fn set(global: &Global, settings: &[String]) -> Result<()> {
    let change = running(global, "policy set")?
        .change(|document| policy::set(document, settings).map_err(anyhow::Error::msg).context("set"))?;
    let sections = ["commands.", "extensions.", "banner.", "guards."];
    let sets_action = settings.iter().any(|setting| sections.iter().any(|section| setting.starts_with(section)));
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
    let mut out =
        format!("in force: profile {}, mode {}, generation {generation}\n", after.profile.name(), after.mode.name());
    if before.ports != after.ports {
        out += &format!("ports: {:?} instead of {:?}\n", after.ports, before.ports);
    }
    for (before, after, what) in
        [(&before.commands, &after.commands, "commands"), (&before.extensions, &after.extensions, "extensions")]
    {
        let gone = unnamed(before, after);
        if !gone.is_empty() {
            out += &format!("no longer named, so that `{what}.other` holds for them: {}\n", gone.join(", "));
        }
    }
    if sets_action && after.mode == Mode::Monitor {
        out += "not enforced: in mode monitor actions are only reported; `smtp-filter policy set mode=enforce` changes that\n";
    }
    print(&out)
}

/// Says on the standard error what the policy in force does that nobody may want.
pub(super) fn warn(document: &Document) {
    if let Some(warning) = starttls_warning(document) {
        anstream::eprintln!("smtp-filter: {warning}");
    }
}

/// Words that were named and are not any more.
fn unnamed(before: &ByName, after: &ByName) -> Vec<String> {
    before.named.keys().filter(|word| !after.named.contains_key(*word)).map(ToString::to_string).collect()
}

fn check(file: Option<&Path>, json: bool) -> Result<()> {
    let file = file.context("a policy file is needed")?;
    let document = policy::load(file)?;
    if json {
        return print_json(&document);
    }
    let Document { profile, ports, mode, commands, extensions, .. } = &document;
    print(&format!(
        "{}: good: profile {}, mode {}, ports {ports:?}, {} verbs and {} keywords named\n",
        file.display(),
        profile.name(),
        mode.name(),
        commands.named.len(),
        extensions.named.len()
    ))
}

/// The one table of which action is legal where.
fn actions(json: bool) -> Result<()> {
    let Document { commands, extensions, .. } = Profile::default().document();
    let (commands, extensions) = (commands.other, extensions.other);
    let rows: Vec<(&str, &[Action], Action, &str)> = [
        ("commands.EHLO", EHLO, commands, "EHLO, which alone can become HELO (`downgrade`)"),
        ("commands.VERB", COMMANDS, commands, "a command with this verb; the default is that of the profile"),
        ("commands.other", COMMANDS, commands, "a command whose verb is not named"),
        (
            "extensions.KEYWORD",
            EXTENSIONS,
            extensions,
            "a line with this keyword in the reply to EHLO; `mask` masks the verbs that it announces too",
        ),
        ("extensions.other", EXTENSIONS, extensions, "a line in the reply to EHLO whose keyword is not named"),
    ]
    .into_iter()
    .chain(GUARDS.iter().map(|guard| (guard.reason.name(), guard.legal, guard.default, guard.meaning)))
    .collect();
    let names = |legal: &[Action]| legal.iter().map(|action| action.name()).collect::<Vec<_>>();
    if json {
        let keys: Vec<_> = rows
            .iter()
            .map(|(key, legal, default, _)| json!({ "key": key, "actions": names(legal), "default": default.name() }))
            .collect();
        return print_json(&json!({ "v": 1, "keys": keys }));
    }
    let mut table = Table::new(&["KEY", "DEFAULT", "ACTIONS", "WHAT IT IS ABOUT"]);
    for (key, legal, default, meaning) in rows {
        table.row([key.to_owned(), default.name().to_owned(), names(legal).join(" "), meaning.to_owned()]);
    }
    print(&table.to_string())
}

fn profiles(json: bool) -> Result<()> {
    if json {
        let profiles: Vec<_> = Profile::ALL
            .iter()
            .map(|profile| {
                let mode = profile.document().mode;
                json!({ "name": profile.name(), "mode": mode, "description": profile.description() })
            })
            .collect();
        return print_json(&json!({ "v": 1, "profiles": profiles }));
    }
    let mut table = Table::new(&["PROFILE", "MODE", "WHAT IT DOES"]);
    for profile in Profile::ALL {
        let mode = profile.document().mode.name();
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
