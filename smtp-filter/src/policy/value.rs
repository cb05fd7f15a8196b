//! The values of a policy text, each with its place.

use std::borrow::Cow;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::fault::{Fault, Located};

/// A value, as TOML knows them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    List(Vec<Located<Value>>),
    Table(Table),
    /// What no key takes, under its name.
    Other(&'static str),
}

/// A table, in the order of the text.
pub(super) type Table = Vec<(Located<String>, Located<Value>)>;

impl Value {
    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads a whole text.
pub(super) fn parse_table(text: &str) -> Result<Table, Fault> {
    let table = DeTable::parse(text).map_err(syntax)?;
    convert_table(table.into_inner())
}

/// Reads one value, as written after `KEY =`.
pub(super) fn parse_value(text: &str) -> Result<Located<Value>, Fault> {
    let value = DeValue::parse(text).map_err(syntax)?;
    convert(value)
}

fn syntax(error: toml::de::Error) -> Fault {
    let message = error.message().lines().collect::<Vec<_>>().join(" ");
    Fault { span: error.span().unwrap_or(0..0), message: format!("not TOML: {message}") }
}

fn convert_table(table: DeTable<'_>) -> Result<Table, Fault> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let key = Located { span: key.span(), value: Cow::into_owned(key.into_inner()) };
        entries.push((key, convert(value)?));
    }
    entries.sort_by_key(|(key, _)| key.span.start);
    Ok(entries)
}

fn convert(value: Spanned<DeValue<'_>>) -> Result<Located<Value>, Fault> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number),
            Err(_) => return Err(Fault { span, message: format!("{number} is too large a number") }),
        },
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Array(items) => Value::List(items.into_iter().map(convert).collect::<Result<_, _>>()?),
        DeValue::Table(table) => Value::Table(convert_table(table)?),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Ok(Located { span, value })
}
