//! A row in the table of keys is enough: whatever has a row is set, shown, read again, refused, compiled, in the
//! schema, and in docs/policy.md.

use std::{env, fs, path::Path};

use schemars::generate::SchemaSettings;
use serde_json::json;
use smtp_filter_common::{action::Action, policy::GUARDS, reason::Reason};

use super::{
    key::Goes,
    keys::{BY_NAME, KEYS, LATER},
    section::{SECTIONS, Section},
    tests::samples,
    *,
};

/// Set to 1, this variable has the test write the tables of docs/policy.md instead of comparing them.
const WRITE: &str = "SMTP_FILTER_WRITE_TABLES";

fn base() -> Document {
    Profile::Monitor.document()
}

/// The value of a setting of the command line: as in the file.
fn setting(key: &Key, value: &Datum) -> String {
    format!("{}={}", key.path, value.to_toml())
}

/// Where a key is in the JSON: the action of one with parts is itself a part.
fn pointer(key: &Key) -> String {
    let has_parts = Section::find(key.section()).is_some_and(|section| section.parts(key.name()).next().is_some());
    let action = if has_parts && key.part().is_none() { "/action" } else { "" };
    format!("/{}{action}", key.path.replace('.', "/"))
}

#[test]
fn every_value_is_set_shown_and_read_again() {
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Document>();
    let schema = jsonschema::validator_for(schema.as_value()).unwrap();
    for key in KEYS {
        for value in samples(key) {
            let after = set(&base(), &[setting(key, &value)]).unwrap();
            assert_eq!(after.values.get(key.path), Some(&value), "{}", key.path);
            let text = to_toml(&after);
            assert!(text.contains(&value.to_toml()), "{}: {text}", key.path);
            assert_eq!(parse("shown", &text).unwrap(), after, "{}", key.path);
            let json = serde_json::to_value(&after).unwrap();
            assert_eq!(json.pointer(&pointer(key)), Some(&json!(value)), "{}", key.path);
            let faults: Vec<String> = schema.iter_errors(&json).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{}: {faults:#?}", key.path);
        }
    }
}

#[test]
fn every_value_is_set_in_a_scope_and_taken_back() {
    let whole = parse("p", "[[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\"]\n").unwrap();
    for key in KEYS {
        for value in samples(key) {
            let setting = format!("scope.a.{}", setting(key, &value));
            if key.is_whole() {
                let refused = set(&whole, &[setting]).unwrap_err();
                assert!(refused.contains(&format!("{} belongs to the whole policy", key.path)), "{refused}");
                continue;
            }
            let after = set(&whole, &[setting]).unwrap();
            let [scope] = after.scopes.as_slice() else { panic!("one scope: {after:?}") };
            assert_eq!(scope.settings.values.get(key.path), Some(&value), "{}", key.path);
            assert_eq!(after.within(scope).values.get(key.path), Some(&value), "{}", key.path);
            assert_eq!(parse("shown", &to_toml(&after)).unwrap(), after, "{}", key.path);
            let json = serde_json::to_value(&after).unwrap();
            let plain = format!("/scope/0/{}", key.path.replace('.', "/"));
            assert_eq!(json.pointer(&plain), Some(&json!(value)), "{}", key.path);
            assert_eq!(set(&after, &[format!("scope.a.{}=inherit", key.path)]).unwrap(), whole, "{}", key.path);
        }
    }
}

#[test]
fn what_is_not_legal_is_refused_with_what_is() {
    for key in keys() {
        let path = key.path.replace("VERB", "XYZ").replace("KEYWORD", "XYZ");
        let legal: Vec<&str> = key.legal().iter().map(|action| action.name()).collect();
        let expected = fault::one_of(legal.iter().copied());
        for action in Action::ALL.map(Action::name) {
            let setting = format!("{path}={action}");
            match set(&base(), &[&setting]) {
                Ok(_) => assert!(legal.contains(&action), "{setting}"),
                Err(refused) if legal.is_empty() => assert!(refused.contains(&format!(": {path}: ")), "{refused}"),
                Err(refused) => {
                    assert!(!legal.contains(&action), "{refused}");
                    let said = format!("`{setting}`: {path}: `{action}` is not legal here; expected {expected}");
                    assert_eq!(refused, said);
                }
            }
        }
        let refused = set(&base(), &[format!("{path}=@")]).unwrap_err();
        assert!(refused.contains(&format!(": {path}: ")) && refused.contains("expected "), "{refused}");
    }
}

#[test]
fn every_value_goes_somewhere_of_its_own() {
    let compiled = |settings: &[String]| {
        let document = set(&base(), settings).unwrap();
        compile(&document, &mut Names::default(), 1, 0).unwrap().policies.remove(0)
    };
    for key in KEYS {
        let values = samples(key);
        let policies: Vec<_> = values.iter().map(|value| compiled(&[setting(key, value)])).collect();
        for (at, policy) in policies.iter().enumerate() {
            assert!(!policies[..at].contains(policy), "{} is the same as {:?}", key.path, values[at]);
        }
    }
    // No two keys go to the same place: what the one sets the other leaves.
    let moved = |key: &Key| samples(key).into_iter().find(|value| *value != key.default);
    let moving: Vec<(&Key, Datum)> = KEYS.iter().filter_map(|key| Some((key, moved(key)?))).collect();
    let all: Vec<String> = moving.iter().map(|(key, value)| setting(key, value)).collect();
    let together = compiled(&all);
    for at in 0..all.len() {
        let mut but_one = all.clone();
        but_one.remove(at);
        assert_ne!(compiled(&but_one), together, "{}", all[at]);
    }
}

#[test]
fn every_guard_of_the_datapath_has_its_row() {
    let named: Vec<_> = Reason::ALL.iter().filter(|reason| usize::from(reason.number()) < GUARDS).collect();
    let guard = |key: &'static Key| match &key.goes {
        Goes::Guard(reason) => Some(reason),
        _ => None,
    };
    assert_eq!(KEYS.iter().filter_map(guard).collect::<Vec<_>>(), named);
}

#[test]
fn the_rows_hold_together() {
    let plain = base();
    for key in keys() {
        assert!(Section::find(key.section()).is_some() || key.section().is_empty(), "{}", key.path);
        assert!(!LATER.contains(&key.path), "{} is here", key.path);
        let first = key.meaning.chars().next();
        assert!(first.is_some() && !key.meaning.ends_with('.'), "{}", key.path);
        assert_eq!(keys().filter(|other| other.path == key.path).count(), 1, "{}", key.path);
        if let Datum::Action(default) = &key.default {
            assert!(key.legal().contains(default), "{}", key.path);
        }
    }
    for key in KEYS {
        let read = set(&plain, &[setting(key, &key.default)]).unwrap();
        assert_eq!(read.values.get(key.path), Some(&key.default));
    }
    for key in BY_NAME {
        let section = Section::find(key.section()).unwrap();
        let words = plain.words(section).unwrap();
        assert_eq!(key.default, Datum::Action(words.other), "{}", key.path);
        assert!(key.name() == "other" || section.takes(key.name()), "{}", key.path);
    }
    for section in SECTIONS {
        let rows = keys().filter(|key| key.section() == section.name).count();
        assert!(rows > 0 && !section.meaning.is_empty(), "{}", section.name);
    }
}

/// Lines of a table.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    format!("{}|{}\n{}", line(&head), "---|".repeat(head.len()), rows.iter().map(|row| line(row)).collect::<String>())
}

/// The tables of docs/policy.md, by what its marks call them.
fn tables() -> Vec<(String, String)> {
    let actions = Action::ALL.map(Action::name);
    let dots = |key: &Key| {
        let dot = |action: &Action| if key.legal().contains(action) { "●" } else { "" }.to_owned();
        [format!("`{}`", key.path)].into_iter().chain(Action::ALL.iter().map(dot)).collect()
    };
    let head: Vec<&str> = ["key"].into_iter().chain(actions).collect();
    let mut tables = vec![("by-name".to_owned(), table(&head, BY_NAME.iter().map(dots).collect()))];
    for section in SECTIONS.iter().filter(|section| section.names.is_none() && !section.noun.is_empty()) {
        let row = |key: &Key| {
            let default = key.default.to_toml().replace('"', "");
            vec![format!("`{}`", key.name()), format!("`{default}`"), key.kind.values(), key.meaning.to_owned()]
        };
        let rows = section.keys().map(row).collect();
        tables.push((section.name.to_owned(), table(&[section.noun, "default", "legal", "what it is about"], rows)));
    }
    let row = |key: &Key| {
        let default = format!("`{}`", key.default.to_toml());
        vec![format!("`{}`", key.path), default, key.kind.values(), key.meaning.to_owned()]
    };
    let has_table = |key: &Key| Section::find(key.section()).is_some_and(|section| !section.noun.is_empty());
    let others = KEYS.iter().filter(|key| key.legal().is_empty() || !has_table(key)).map(row).collect();
    tables.push(("others".to_owned(), table(&["key", "default", "values", "what it is about"], others)));
    tables
}

#[test]
fn the_tables_of_the_documentation_are_those_of_the_keys() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    let text = fs::read_to_string(&file).unwrap();
    let mut made = text.clone();
    for (name, table) in tables() {
        let begin = format!("<!-- keys: {name} -->\n");
        let (before, rest) = made.split_once(&begin).unwrap_or_else(|| panic!("docs/policy.md has no {begin}"));
        let (_, after) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("{begin} has no end"));
        made = format!("{before}{begin}{table}<!-- end -->{after}");
    }
    if env::var_os(WRITE).is_some_and(|value| value == "1") {
        fs::write(&file, &made).unwrap();
        return;
    }
    assert!(made == text, "{} is out of date: run this test with {WRITE}=1", file.display());
}
