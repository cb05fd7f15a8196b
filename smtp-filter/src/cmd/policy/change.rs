//! `smtp-filter policy set` and `smtp-filter policy load`

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{super::status::PolicyState, changes::changes, running, warn};
use crate::{
    cli::Global,
    instance::Change,
    output::{print, print_json},
    policy::{self, Mode},
};

/// Changes single keys.
pub fn set(global: &Global, settings: &[String]) -> Result<()> {
    let change = running(global, "policy set")?
        .change(|document| policy::set(document, settings).map_err(anyhow::Error::msg).context("set"))?;
    let sets_action = settings.iter().any(|setting| policy::acts(setting));
    tell(&change, sets_action, global.json)
}

/// Replaces the whole policy.
pub fn load(global: &Global, file: &Path) -> Result<()> {
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
