//! The schema of a policy, made of its keys.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use smtp_filter_common::{action::Action, bounds::WORD};

use super::{
    document::Document,
    key::{Key, Kind},
    keys::{self, BY_NAME},
    profiles::Profile,
    scope::{SCOPE_NAME, Scope},
    section::{ACTION, SECTIONS, Section},
    settings::Settings,
};

impl JsonSchema for Document {
    fn schema_name() -> Cow<'static, str> {
        "Policy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names = Profile::ALL.map(Profile::name);
        let mut properties = Map::new();
        let profile = json!({ "description": "What it started from.", "type": "string", "enum": names });
        properties.insert("profile".to_owned(), profile);
        properties.extend(keys::top().map(|key| (key.path.to_owned(), described(key))));
        properties.extend(SECTIONS.iter().map(|section| (section.name.to_owned(), self::section(section, true))));
        let mut scopes = generator.subschema_for::<Vec<Scope>>();
        scopes.insert("description".to_owned(), "Connections for which it is another one in part.".into());
        properties.insert("scope".to_owned(), scopes.to_value());
        let required: Vec<&String> = properties.keys().collect();
        json_schema!({
            "description": "A whole policy.", "type": "object", "properties": properties, "required": required,
        })
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut properties = Map::new();
        let top = keys::top().filter(|key| !key.is_whole());
        properties.extend(top.map(|key| (key.path.to_owned(), described(key))));
        properties.extend(SECTIONS.iter().map(|section| (section.name.to_owned(), self::section(section, false))));
        json_schema!({ "type": "object", "properties": properties })
    }
}

fn one_of(actions: &[Action]) -> Value {
    json!({ "type": "string", "enum": actions.iter().map(|action| action.name()).collect::<Vec<_>>() })
}

/// The schema of the values of a key.
fn kind(key: &Key) -> Value {
    match &key.kind {
        Kind::Action(legal) => one_of(legal),
        Kind::Word { words, .. } => {
            let word =
                |word: &super::Word| json!({ "type": "string", "const": word.name, "description": word.meaning });
            json!({ "oneOf": words.iter().map(word).collect::<Vec<_>>() })
        }
        Kind::Bits => json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
        Kind::Number { most, .. } => json!({ "type": "integer", "minimum": 0, "maximum": most }),
        Kind::Time { .. } => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Ports => json!({
            "type": "array", "items": { "type": "integer", "format": "uint16", "maximum": 65535, "minimum": 0 },
        }),
    }
}

fn described(key: &Key) -> Value {
    let mut schema = kind(key);
    schema["description"] = key.meaning.into();
    schema
}

/// A section: of a whole policy all of it, of a scope as much as that sets.
fn section(section: &Section, whole: bool) -> Value {
    let mut schema = if section.names.is_some() { by_name(section) } else { entries(section, whole) };
    if !whole && let Some(schema) = schema.as_object_mut() {
        schema.remove("required");
    }
    schema["description"] = section.meaning.into();
    schema
}

/// Words by name, and `other`.
fn by_name(section: &Section) -> Value {
    // Printable ASCII without small letters, for words are shown in capitals.
    let letters = if section.takes("=") { "!-`{-~" } else { "!-<>-`{-~" };
    let names = json!({ "pattern": format!("^([{letters}]{{1,{WORD}}}|other)$") });
    let any = section.names.as_ref().map_or("", |names| names.any);
    let mut schema = json!({
        "type": "object",
        "propertyNames": names,
        "additionalProperties": one_of(section.legal(any)),
        "required": ["other"],
    });
    let own = BY_NAME.iter().filter(|key| key.section() == section.name && ![any, "other"].contains(&key.name()));
    let own: Map<String, Value> = own.map(|key| (format!("^{}$", key.name()), one_of(key.legal()))).collect();
    if !own.is_empty() {
        schema["patternProperties"] = own.into();
    }
    schema
}

fn entries(section: &Section, whole: bool) -> Value {
    let keys = || section.keys().filter(|key| whole || !key.is_whole());
    let properties: Map<String, Value> =
        keys().map(|key| (key.name().to_owned(), with_parts(section, key, whole))).collect();
    let required: Vec<&str> = keys().map(Key::name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// A key, and what is set beside its action: in a scope that sets nothing beside it, it is the action alone.
fn with_parts(section: &Section, key: &Key, whole: bool) -> Value {
    let mut properties: Map<String, Value> =
        section.parts(key.name()).filter_map(|part| Some((part.part()?.to_owned(), kind(part)))).collect();
    if properties.is_empty() {
        return described(key);
    }
    let parts: Vec<String> = properties.keys().cloned().collect();
    properties.insert(ACTION.to_owned(), kind(key));
    if whole {
        let required: Vec<&String> = properties.keys().collect();
        return json!({
            "description": key.meaning, "type": "object", "properties": properties, "required": required,
        });
    }
    let one: Vec<Value> = parts.iter().map(|part| json!({ "required": [part] })).collect();
    let one = if let [one] = one.as_slice() { one.clone() } else { json!({ "anyOf": one }) };
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Some(table), Value::Object(one)) = (table.as_object_mut(), one) {
        table.extend(one);
    }
    json!({ "description": key.meaning, "anyOf": [kind(key), table] })
}

/// The name of a scope.
pub(super) fn scope_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^[A-Za-z0-9_-]{{1,{SCOPE_NAME}}}$") })
}

/// A list of prefixes.
pub(super) fn prefixes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string" } })
}
