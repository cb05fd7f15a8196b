//! Schemas of the parts of a policy whose keys are not known beforehand, or stand in a table.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use smtp_filter_common::{action::Action, limits::WORD, reason::Reason};

use super::rules::{COMMANDS, EHLO, EXTENSIONS, GUARDS};

fn one_of(actions: &[Action]) -> Value {
    json!({ "type": "string", "enum": actions.iter().map(|action| action.name()).collect::<Vec<_>>() })
}

/// Verbs by name, and `other`.
pub(super) fn commands(_: &mut SchemaGenerator) -> Schema {
    let verb = json!({ "pattern": format!("^([!-`{{-~]{{1,{WORD}}}|other)$") });
    json_schema!({
        "type": "object",
        "propertyNames": verb,
        "patternProperties": { "^EHLO$": one_of(EHLO) },
        "additionalProperties": one_of(COMMANDS),
        "required": ["other"],
    })
}

/// Keywords by name, and `other`.
pub(super) fn extensions(_: &mut SchemaGenerator) -> Schema {
    let keyword = json!({ "pattern": format!("^([!-<>-`{{-~]{{1,{WORD}}}|other)$") });
    json_schema!({
        "type": "object",
        "propertyNames": keyword,
        "additionalProperties": one_of(EXTENSIONS),
        "required": ["other"],
    })
}

/// Every guard.
pub(super) fn guards(_: &mut SchemaGenerator) -> Schema {
    let guard = |guard: &super::rules::Guard| {
        let mut schema = one_of(guard.legal);
        if guard.reason == Reason::UnknownConnection {
            let properties = json!({ "action": schema, "grace": { "type": "string" } });
            schema = json!({ "type": "object", "properties": properties, "required": ["action", "grace"] });
        }
        schema["description"] = guard.meaning.into();
        (guard.key().to_owned(), schema)
    };
    let properties: Map<String, Value> = GUARDS.iter().map(guard).collect();
    let required: Vec<&str> = GUARDS.iter().map(|guard| guard.key()).collect();
    json_schema!({ "type": "object", "properties": properties, "required": required })
}
