//! What a change of the policy took away or moved, in words, where nobody may have meant it.

use std::fmt::Write as _;

use ipnet::IpNet;

use crate::policy::{ByName, Document, Scope};

/// Prefixes of one list that are named.
const NAMED: usize = 8;

/// The differences between two policies that are easily overlooked, a line each.
pub(super) fn changes(before: &Document, after: &Document) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    let (were, ports) = (before.values.ports(), after.values.ports());
    if were != ports {
        line(format!("ports: {ports:?} instead of {were:?}"));
    }
    let gone = Gone::between(before, after);
    for (words, what) in [(&gone.verbs, "commands"), (&gone.keywords, "extensions")] {
        if !words.is_empty() {
            line(format!("no longer named, so that `{what}.other` holds for them: {}", words.join(", ")));
        }
    }
    for scope in &before.scopes {
        if after.scope(scope.name.as_str()).is_none() {
            line(format!("scope {}: removed", scope.name));
        }
    }
    for scope in &after.scopes {
        match before.scope(scope.name.as_str()) {
            None => line(format!("scope {}: new: {}", scope.name, about(scope))),
            Some(old) => in_scope((before, old), (after, scope), &gone).into_iter().for_each(&mut line),
        }
    }
    out
}

/// Words that were named and are not any more.
#[derive(Default)]
struct Gone {
    verbs: Vec<String>,
    keywords: Vec<String>,
}

impl Gone {
    fn between(before: &Document, after: &Document) -> Self {
        let unnamed = |before: &ByName, after: &ByName| {
            before.named.keys().filter(|word| !after.named.contains_key(*word)).map(ToString::to_string).collect()
        };
        Self {
            verbs: unnamed(&before.commands, &after.commands),
            keywords: unnamed(&before.extensions, &after.extensions),
        }
    }
}

/// The same within a scope; what is gone from the whole as well has been reported.
fn in_scope((before, old): (&Document, &Scope), (after, new): (&Document, &Scope), told: &Gone) -> Vec<String> {
    let name = &new.name;
    let mut lines = Vec::new();
    for ((side, now), (_, was)) in new.sides().into_iter().zip(old.sides()) {
        if now != was {
            lines.push(format!("scope {name}: {side} {} instead of {}", list(now), list(was)));
        }
    }
    let gone = Gone::between(&before.within(old), &after.within(new));
    for (words, told, what) in [(gone.verbs, &told.verbs, "commands"), (gone.keywords, &told.keywords, "extensions")] {
        let words: Vec<String> = words.into_iter().filter(|word| !told.contains(word)).collect();
        if !words.is_empty() {
            let words = words.join(", ");
            lines.push(format!("scope {name}: no longer named, so that its `{what}.other` holds for them: {words}"));
        }
    }
    lines
}

/// What a scope is about.
fn about(scope: &Scope) -> String {
    scope.sides().map(|(side, prefixes)| format!("{side} {}", list(prefixes))).join(", ")
}

fn list(prefixes: Option<&[IpNet]>) -> String {
    match prefixes {
        None => "any".to_owned(),
        Some(prefixes) if prefixes.len() > NAMED => format!("[{} prefixes]", prefixes.len()),
        Some(prefixes) => format!("[{}]", prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{parse, set};

    const BEFORE: &str = "\
        [[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\"]\ncommands = { XYZ = \"log\" }\n\
        [[scope]]\nname = \"b\"\nservers = [\"192.0.2.25\"]\n";

    fn told(settings: &[&str]) -> String {
        let before = parse("t", BEFORE).unwrap();
        changes(&before, &set(&before, settings).unwrap())
    }

    #[test]
    fn scopes_that_come_go_and_move_are_told() {
        assert_eq!(told(&["scope.a.commands.ehlo=drop"]), "");
        assert_eq!(told(&["scope.b=none"]), "scope b: removed\n");
        assert_eq!(
            told(&["scope.c.clients=192.0.2.0/24,2001:db8::/32"]),
            "scope c: new: clients [192.0.2.0/24, 2001:db8::/32], servers any\n"
        );
        let ten: Vec<String> = (0..10).map(|i| format!("10.{i}.0.0/16")).collect();
        assert_eq!(
            told(&[&format!("scope.b.clients={}", ten.join(",")), "scope.b.servers=any"]),
            "scope b: clients [10 prefixes] instead of any\nscope b: servers any instead of [192.0.2.25/32]\n"
        );
    }

    #[test]
    fn words_that_a_scope_names_no_longer_are_told_once() {
        assert_eq!(
            told(&["scope.a.commands.xyz=inherit"]),
            "scope a: no longer named, so that its `commands.other` holds for them: XYZ\n"
        );
        let whole = told(&["commands.other=drop"]);
        assert!(whole.starts_with("no longer named, so that `commands.other` holds for them: ATRN, "), "{whole}");
        assert_eq!(whole.lines().count(), 1, "{whole}");
        let scope = told(&["scope.b.commands.other=drop"]);
        assert!(scope.starts_with("scope b: no longer named, so that its `commands.other` holds for them: ATRN, "));
        assert_eq!(scope.lines().count(), 1, "{scope}");
    }
}
