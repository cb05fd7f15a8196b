//! Policies from text: a whole file, or `KEY=VALUE` of the command line.

use std::{
    io::{self, Read as _},
    path::Path,
};

use super::{
    assign,
    document::Document,
    fault::{Fault, Located, PolicyError, quoted},
    profiles::Profile,
    value::{Table, Value, parse_table, parse_value},
};
use crate::files;

/// Longest policy file that is read.
const LONGEST: u64 = 1 << 20;

/// Reads a policy from text; `name` stands in errors.
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
        return Err(io::Error::other("longer than 1 MiB, which no policy is"));
    }
    Ok(bytes)
}

fn read(text: &str) -> Result<Document, Fault> {
    let table = parse_table(text)?;
    let mut document = assign::profile(&table)?.unwrap_or_default().document();
    assign::apply(&mut document, &table)?;
    Ok(document)
}

/// Lays `KEY=VALUE` arguments over a policy. `profile=NAME` starts over from that profile, with the ports, the mark
/// and `capture_envelope` as they are, for a profile does not speak of them.
pub fn set<S: AsRef<str>>(document: &Document, arguments: &[S]) -> Result<Document, String> {
    let mut tables = Vec::new();
    for argument in arguments {
        let argument = argument.as_ref();
        let table = setting(argument).map_err(|fault| in_argument(argument, &fault))?;
        tables.push((argument, table));
    }
    let mut document = document.clone();
    for (argument, table) in &tables {
        if let Some(profile) = assign::profile(table).map_err(|fault| in_argument(argument, &fault))? {
            document = start_over(&document, profile);
        }
    }
    // `other` says what is done with the words that are not named: first, so that the named ones stay.
    let is_other = |argument: &str| {
        let argument = argument.to_ascii_lowercase();
        ["commands.other=", "extensions.other="].iter().any(|other| argument.starts_with(other))
    };
    tables.sort_by_key(|(argument, _)| !is_other(argument));
    for (argument, table) in &tables {
        assign::apply(&mut document, table).map_err(|fault| in_argument(argument, &fault))?;
    }
    Ok(document)
}

fn start_over(document: &Document, profile: Profile) -> Document {
    let Document { ports, capture_envelope, mark, .. } = document;
    Document { ports: ports.clone(), capture_envelope: *capture_envelope, mark: *mark, ..profile.document() }
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
    let last = keys.next().filter(|key| !key.is_empty()).ok_or_else(|| fault("expected a key in front of the `=`"))?;
    let entry = |key: &str, value: Value| {
        vec![(Located { span: span.clone(), value: key.to_owned() }, Located { span: span.clone(), value })]
    };
    let mut table = entry(last, argument_value(path, value.trim()));
    for key in keys {
        table = entry(key, Value::Table(table));
    }
    Ok(table)
}

/// A value of the command line: TOML where it is TOML, else the text as it stands, so that no shell has to be talked
/// into passing quotes on. Ports may be written as `25,587`.
fn argument_value(path: &str, text: &str) -> Value {
    if path.trim() == "ports"
        && let Ok(list) = parse_value(&format!("[{text}]"))
        && let Value::List(items) = &list.value
        && items.iter().all(|item| matches!(item.value, Value::Number(_)))
    {
        return list.value;
    }
    match parse_value(text) {
        Ok(Located { value: Value::Other(_), .. }) | Err(_) => Value::Text(text.to_owned()),
        Ok(located) => located.value,
    }
}
