//! What is said of arguments that the grammar does not take: one line, like every error.

use std::error::Error as _;

use anstream::adapter::strip_str;
use clap::{
    Error,
    error::{
        ContextKind::{
            self, InvalidArg, InvalidSubcommand, InvalidValue, PriorArg, SuggestedArg, SuggestedSubcommand,
            SuggestedValue, ValidValue,
        },
        ContextValue, ErrorKind,
    },
};

use crate::text::one_line;

/// The line: what is wrong, and where to read on.
pub fn wrong_usage(error: &Error) -> String {
    match error.kind() {
        ErrorKind::MissingSubcommand => "a command is missing; `smtp-filter --help` says which there are".to_owned(),
        _ => format!("{}; `smtp-filter --help` says what there is", one_line(&strip_str(&problem(error)).to_string())),
    }
}

fn problem(error: &Error) -> String {
    let text = |kind: ContextKind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = text(InvalidArg);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let similar = similar("subcommand", error.get(SuggestedSubcommand));
            format!("unrecognized subcommand '{}'{similar}", text(InvalidSubcommand))
        }
        ErrorKind::UnknownArgument => {
            format!("unexpected argument '{argument}' found{}", similar("argument", error.get(SuggestedArg)))
        }
        ErrorKind::TooManyValues => {
            format!("unexpected value '{}' for '{argument}' found; no more were expected", text(InvalidValue))
        }
        ErrorKind::InvalidValue if text(InvalidValue).is_empty() => {
            format!("a value is required for '{argument}' but none was supplied{}", possible(error))
        }
        ErrorKind::InvalidValue => {
            let similar = similar("value", error.get(SuggestedValue));
            format!("invalid value '{}' for '{argument}'{}{similar}", text(InvalidValue), possible(error))
        }
        ErrorKind::ValueValidation => {
            let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
            format!("invalid value '{}' for '{argument}'{why}", text(InvalidValue))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("the following required arguments were not provided: {}", listed(error.get(InvalidArg), " "))
        }
        ErrorKind::ArgumentConflict => match error.get(PriorArg) {
            Some(ContextValue::String(prior)) if *prior == argument => {
                format!("the argument '{argument}' cannot be used multiple times")
            }
            prior => format!("the argument '{argument}' cannot be used with '{}'", listed(prior, "', '")),
        },
        kind => kind.to_string(),
    }
}

/// The values that there are, of an argument with a few.
fn possible(error: &Error) -> String {
    match listed(error.get(ValidValue), ", ") {
        values if values.is_empty() => values,
        values => format!(" [possible values: {values}]"),
    }
}

/// What is near to what was written.
fn similar(what: &str, near: Option<&ContextValue>) -> String {
    match near {
        Some(ContextValue::String(near)) => format!("; a similar {what} exists: '{near}'"),
        Some(ContextValue::Strings(near)) if near.len() == 1 => format!("; a similar {what} exists: '{}'", near[0]),
        Some(ContextValue::Strings(near)) if !near.is_empty() => {
            format!("; some similar {what}s exist: '{}'", near.join("', '"))
        }
        _ => String::new(),
    }
}

fn listed(value: Option<&ContextValue>, separator: &str) -> String {
    match value {
        Some(ContextValue::Strings(words)) => words.join(separator),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}
