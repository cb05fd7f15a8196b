//! Policies from text: a whole file, or `KEY=VALUE` of the command line.

use std::{
    collections::HashSet,
    io::{self, Read as _},
    path::Path,
};

use super::{
    assign,
    document::Document,
    fault::{Fault, Located, PolicyError, quoted},
    fit::{Places, fit_whole},
    key::Kind,
    keys,
    profiles::Profile,
    scope_check, scope_set, scope_text,
    section::Section,
    value::{Table, Value, parse_table, parse_value},
};
use crate::files;

/// The key of the scopes.
const SCOPE: &str = "scope";
/// Longest policy file that is read: room for as many prefixes as there may be, each on a line of its own.
const LONGEST: u64 = 64 << 20;

/// Reads a policy from text; `name` is named in errors.
pub fn parse(name: &str, text: &str) -> Result<Document, PolicyError> {
    read(text).map_err(|fault| PolicyError::new(name, text, fault))
}

/// Reads a policy from bytes, which have to be UTF-8.
pub fn parse_bytes(name: &str, bytes: &[u8]) -> Result<Document, PolicyError> {
    match str::from_utf8(bytes) {
        Ok(text) => parse(name, text),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            let fault = Fault {
                span: good.len()..good.len() + 1,
                message: format!("byte {byte:#04x} is not UTF-8; expected a text file in UTF-8"),
            };
            Err(PolicyError::new(name, &String::from_utf8_lossy(good), fault))
        }
    }
}

/// Reads a policy file; `-` is the standard input.
pub fn load(path: &Path) -> anyhow::Result<Document> {
    let name = path.display().to_string();
    let bytes = read_file(path).map_err(|error| anyhow::anyhow!("read the policy {name}: {error}"))?;
    Ok(parse_bytes(&name, &bytes)?)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    files::open(path)?.bytes.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("longer than 64 MiB, which no policy is"));
    }
    Ok(bytes)
}

fn read(text: &str) -> Result<Document, Fault> {
    let table = parse_table(text)?;
    let mut document = assign::profile(&table)?.unwrap_or_default().document();
    let whole = assign::apply(&mut document, &table)?;
    fit_whole(&document, &whole)?;
    let mut places = Vec::new();
    if let Some((_, scopes)) = table.iter().find(|(key, _)| key.value == SCOPE) {
        (document.scopes, places) = scope_text::read(scopes)?;
    }
    scope_check::check(&document, &places)?;
    Ok(document)
}

/// Lays `KEY=VALUE` arguments over a policy. `profile=NAME` starts over from that profile, with the scopes as they are,
/// and with the keys that no profile has a value for: ports, mark, `capture_envelope`.
pub fn set<S: AsRef<str>>(document: &Document, arguments: &[S]) -> Result<Document, String> {
    let mut tables = Vec::new();
    let mut keys = HashSet::new();
    for argument in arguments {
        let argument = argument.as_ref();
        let table = setting(argument).map_err(|fault| in_argument(argument, &fault))?;
        if let Some(twice) = paths(&table).into_iter().find(|path| !keys.insert(path.clone())) {
            return Err(format!(
                "{}: {} is set twice in one command; expected each key once",
                quoted(argument),
                twice.escape_debug()
            ));
        }
        tables.push((argument, table));
    }
    let mut document = document.clone();
    for (argument, table) in &tables {
        if let Some(profile) = assign::profile(table).map_err(|fault| in_argument(argument, &fault))? {
            document = start_over(&document, profile);
        }
    }
    tables.sort_by_key(|(argument, _)| rank(argument));
    for (argument, table) in &tables {
        assign::apply(&mut document, table).map_err(|fault| in_argument(argument, &fault))?;
        for (_, scopes) in table.iter().filter(|(key, _)| key.value == SCOPE) {
            scope_set::set(&mut document.scopes, scopes).map_err(|fault| in_argument(argument, &fault))?;
        }
    }
    let fits = fit_whole(&document, &Places::default()).and_then(|()| scope_check::check(&document, &[]));
    fits.map_err(|fault| match blamed(&tables, &fault).as_slice() {
        [argument] => in_argument(argument, &fault),
        // Each of them has its part in it.
        _ => fault.message,
    })?;
    Ok(document)
}

/// The arguments that speak of what does not fit: a fault begins with the section that it is of.
fn blamed<'a>(tables: &[(&'a str, Table)], fault: &Fault) -> Vec<&'a str> {
    let section = fault.message.split(['.', ':']).next();
    let speaks = |table: &Table| table.iter().any(|(key, _)| Some(key.value.as_str()) == section);
    let speaking: Vec<&str> = tables.iter().filter(|(_, table)| speaks(table)).map(|(argument, _)| *argument).collect();
    match tables {
        [(argument, _)] => vec![argument],
        _ => speaking,
    }
}

/// Which of the arguments of one command comes first. `other` says what is done with the words that are not named:
/// first, so that the named ones stay.
fn rank(argument: &str) -> u8 {
    let path: Vec<&str> = argument.split('=').take(1).flat_map(|path| path.split('.')).map(str::trim).collect();
    match path.as_slice() {
        [section, other]
            if other.eq_ignore_ascii_case("other")
                && Section::find(section).is_some_and(|section| section.names.is_some()) =>
        {
            0
        }
        path => scope_set::rank(path),
    }
}

/// The keys that an argument sets, each as a path. Case counts in the names of scopes alone.
fn paths(table: &Table) -> Vec<String> {
    fn follow(table: &Table, above: &str, paths: &mut Vec<String>) {
        for (key, value) in table {
            let key = if above == "scope." { key.value.clone() } else { key.value.to_ascii_lowercase() };
            match &value.value {
                Value::Table(table) => follow(table, &format!("{above}{key}."), paths),
                _ => paths.push(format!("{above}{key}")),
            }
        }
    }
    let mut paths = Vec::new();
    follow(table, "", &mut paths);
    paths
}

fn start_over(document: &Document, profile: Profile) -> Document {
    let mut plain = profile.document();
    plain.values.lay(&document.values.of_no_profile());
    plain.scopes.clone_from(&document.scopes);
    plain
}

fn in_argument(argument: &str, fault: &Fault) -> String {
    format!("{}: {}", quoted(argument), fault.message)
}

/// `a.b=VALUE` as the table `{ a = { b = VALUE } }`.
fn setting(argument: &str) -> Result<Table, Fault> {
    let span = 0..argument.len();
    let fault = |message: &str| Fault { span: span.clone(), message: message.to_owned() };
    let (path, value) =
        argument.split_once('=').ok_or_else(|| fault("expected KEY=VALUE such as commands.ehlo=drop"))?;
    let mut keys = path.split('.').map(str::trim).rev();
    let last = keys.next().filter(|key| !key.is_empty()).ok_or_else(|| fault("expected a key before the `=`"))?;
    let entry = |key: &str, value: Value| {
        vec![(Located { span: span.clone(), value: key.to_owned() }, Located { span: span.clone(), value })]
    };
    let mut table = entry(last, argument_value(path, value.trim()));
    for key in keys {
        table = entry(key, Value::Table(table));
    }
    Ok(table)
}

/// A value of the command line: TOML where it is TOML, else the text as it is, so that no shell has to be talked
/// into passing quotes on. Ports may be written as `25,587`, and prefixes as `10.0.0.0/8,192.0.2.25`.
fn argument_value(path: &str, text: &str) -> Value {
    if keys::find(path.trim()).is_some_and(|key| matches!(key.kind, Kind::Ports))
        && let Ok(list) = parse_value(&format!("[{text}]"))
        && let Value::List(items) = &list.value
        && items.iter().all(|item| matches!(item.value, Value::Number(_)))
    {
        return list.value;
    }
    let value = match parse_value(text) {
        Ok(Located { value: Value::Other(_), .. }) | Err(_) => Value::Text(text.to_owned()),
        Ok(located) => located.value,
    };
    let path: Vec<&str> = path.split('.').map(str::trim).collect();
    match (path.as_slice(), value) {
        (["scope", _, "clients" | "servers"], Value::Text(text)) if text != scope_set::ANY => list(&text),
        (_, value) => value,
    }
}

/// A list whose quotes the shell has kept.
fn list(text: &str) -> Value {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let item = |item: &str| Located { span: 0..0, value: Value::Text(item.trim().trim_matches('"').to_owned()) };
    Value::List(inner.split(',').map(item).collect())
}
