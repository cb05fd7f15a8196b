//! The schemas of what is printed as JSON, in docs/schemas: made of the types that are printed.

use std::{env, fs, path::Path};

use schemars::{
    JsonSchema, Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform as _},
};

use crate::{
    events::view::{EventView, LostView},
    policy::Document,
};

/// Set to 1, this variable has the test write the schemas instead of comparing them.
const WRITE: &str = "SMTP_FILTER_WRITE_SCHEMAS";

/// The name of a schema's file, and what makes it.
type Named = (&'static str, fn() -> Schema);

/// What is printed.
const ALL: &[Named] = &[
    ("event", of::<EventView>),
    ("lost", of::<LostView>),
    ("status", of::<super::status::Report>),
    ("stats", of::<super::stats::Report>),
    ("connections", of::<super::connections::Report>),
    ("doctor", of::<super::doctor::Report>),
    ("policy", of::<Document>),
    ("refused_policy", of::<super::policy::Refused>),
    ("replay", of::<super::replay::Report>),
];

fn of<T: JsonSchema>() -> Schema {
    let mut schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    RecursiveTransform(closed).transform(&mut schema);
    schema
}

/// No other property than those that are listed, and version 1.
fn closed(schema: &mut Schema) {
    if schema.get("type").is_some_and(|kind| kind == "object") && schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    if let Some(version) = schema.pointer_mut("/properties/v") {
        version["const"] = 1.into();
    }
}

#[test]
fn the_schemas_are_those_of_what_is_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    let writes = env::var_os(WRITE).is_some_and(|value| value == "1");
    for (name, schema) in ALL {
        let file = folder.join(format!("{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if writes {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let there = fs::read_to_string(&file).unwrap_or_default();
        assert!(there == text, "{} is out of date: run this test with {WRITE}=1", file.display());
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), ALL.len(), "one file a schema in {}", folder.display());
}
