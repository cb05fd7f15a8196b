//! `smtp-filter policy check --actions`

use anyhow::Result;
use serde_json::json;
use smtp_filter_common::action::Action;

use crate::{
    output::{Table, print, print_json},
    policy::{self, Datum},
};

/// Prints which action is legal for which key.
pub fn run(json: bool) -> Result<()> {
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
