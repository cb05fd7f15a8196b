//! `smtp-filter policy profiles`

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    output::{Table, print, print_json},
    policy::{Profile, to_toml},
};

/// Lists the built-in policies.
pub fn list(json: bool) -> Result<()> {
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

/// Prints one of them as a file.
pub fn show(name: &str, json: bool) -> Result<()> {
    let Some(profile) = Profile::find(name) else {
        bail!("there is no profile {name:?}: `smtp-filter policy profiles` lists them");
    };
    if json { print_json(&profile.document()) } else { print(&to_toml(&profile.document())) }
}
