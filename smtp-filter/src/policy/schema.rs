//! Schemas of the parts of a policy whose keys are not known beforehand, or stand in a table.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use smtp_filter_common::{action::Action, limits::WORD};

use super::{
    rules::{COMMANDS, EHLO, EXTENSIONS, GUARDS},
    scope::SCOPE_NAME,
};

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
        if guard.has_grace() {
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

/// Verbs by name, and `other`, as many of them as a scope sets.
pub(super) fn some_commands(generator: &mut SchemaGenerator) -> Schema {
    some(commands(generator))
}

/// Keywords by name, and `other`, likewise.
pub(super) fn some_extensions(generator: &mut SchemaGenerator) -> Schema {
    some(extensions(generator))
}

/// Guards, likewise; where a scope leaves the grace as it is, the guard that has one is an action alone.
pub(super) fn some_guards(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = some(guards(generator));
    for guard in GUARDS.iter().filter(|guard| guard.has_grace()) {
        let pointer = format!("/properties/{}", guard.key());
        if let Some(place) = schema.pointer_mut(&pointer) {
            let mut table = place.take();
            table["required"] = json!(["grace"]);
            table["additionalProperties"] = false.into();
            let description = table.as_object_mut().and_then(|table| table.remove("description"));
            *place = json!({ "description": description, "anyOf": [one_of(guard.legal), table] });
        }
    }
    schema
}

fn some(mut schema: Schema) -> Schema {
    schema.remove("required");
    schema
}

/// The name of a scope.
pub(super) fn scope_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^[A-Za-z0-9_-]{{1,{SCOPE_NAME}}}$") })
}

/// A list of prefixes.
pub(super) fn prefixes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string" } })
}
