//! Actions by name: `[commands]` and `[extensions]`.

use std::{collections::BTreeSet, ops::Range};

use smtp_filter_common::{
    action::Action,
    limits::{NAMED_KEYWORDS, NAMED_VERBS},
};

use super::{
    assign::{action, table},
    document::{ByName, Document, WordName},
    fault::{Fault, Located, quoted},
    rules,
    value::Value,
};

/// What distinguishes `[commands]` from `[extensions]`.
pub(super) struct Section {
    name: &'static str,
    /// What stands in it.
    word: &'static str,
    /// What a word of it is.
    expected: &'static str,
    /// What else makes a word one of it.
    is_word: fn(&str) -> bool,
    /// Words that one policy may name.
    most: usize,
    /// Actions that are legal for a word, in upper case, and for `other`.
    legal: fn(&str) -> &'static [Action],
}

/// `[commands]`.
pub(super) const COMMANDS: Section = Section {
    name: "commands",
    word: "verb",
    expected: "a word of 1 to 16 characters",
    is_word: |_| true,
    most: NAMED_VERBS,
    legal: |verb| if verb == "EHLO" { rules::EHLO } else { rules::COMMANDS },
};

/// `[extensions]`.
pub(super) const EXTENSIONS: Section = Section {
    name: "extensions",
    word: "keyword",
    expected: "a word of 1 to 16 characters without `=`, for `AUTH=LOGIN` is AUTH",
    is_word: |word| !word.contains('='),
    most: NAMED_KEYWORDS,
    legal: |_| rules::EXTENSIONS,
};

/// Words and actions of `[commands]` or `[extensions]`; `plain` is what the profile says there. Returns the words that
/// are named.
pub(super) fn by_name(
    section: &Section,
    rules: &mut ByName,
    plain: &ByName,
    value: &Located<Value>,
) -> Result<BTreeSet<WordName>, Fault> {
    let Section { name: section_name, word, expected, is_word, most, legal } = section;
    let entries = table(value, section_name, &format!("a table of {word}s and actions"))?;
    let mut named = BTreeSet::new();
    let mut other = None;
    let mut settings = Vec::new();
    for (key, value) in entries {
        let name = format!("{section_name}.{}", key.value.escape_debug());
        let action = action(value, &name, legal(&key.value.to_ascii_uppercase()))?;
        let twice = if key.value.eq_ignore_ascii_case("other") {
            other.replace(action).is_some()
        } else {
            let entry = WordName::new(&key.value).filter(|entry| is_word(entry.as_str())).ok_or_else(|| {
                key.fault(format!("{section_name}: {} is no {word}; expected {expected}", quoted(&key.value)))
            })?;
            settings.push((entry.clone(), action));
            !named.insert(entry)
        };
        if twice {
            return Err(key.fault(format!("{name}: named twice, for case does not count; expected each {word} once")));
        }
        if named.len() > *most {
            return Err(key.fault(format!("{name}: the {word} after the {most}th; expected at most {most}")));
        }
    }
    if let Some(action) = other {
        set_other(rules, plain, action);
    }
    rules.named.extend(settings);
    Ok(named)
}

/// Gives `other` an action. Words that the profile names only to count them apart, with the action of its `other`,
/// are then no longer named: who says `other = "drop"` means every verb that he does not name himself.
fn set_other(rules: &mut ByName, plain: &ByName, action: Action) {
    let before = rules.other;
    if action != before {
        rules.named.retain(|word, action| *action != before || plain.named.get(word) != Some(&plain.other));
    }
    rules.other = action;
}

/// Where the profile's words and the file's are too many together, those that the profile names only to count them
/// apart make room.
fn make_room(rules: &mut ByName, named: &BTreeSet<WordName>) {
    let other = rules.other;
    rules.named.retain(|word, action| *action != other || named.contains(word));
}

/// What a table says of `[commands]` and `[extensions]`, which have to fit together: a masked extension names verbs.
#[derive(Default)]
pub(super) struct Named {
    /// Verbs that it names.
    pub verbs: BTreeSet<WordName>,
    /// Keywords that it names.
    pub keywords: BTreeSet<WordName>,
    /// The bytes of either section.
    pub spans: [Option<Range<usize>>; 2],
}

impl Named {
    /// Sees to it that the datapath has room for all of them.
    pub fn fit(&self, document: &mut Document) -> Result<(), Fault> {
        let profile = document.profile.name();
        let [commands, extensions] = &self.spans;
        let fault = |span: &Option<Range<usize>>, message| {
            let span = span.as_ref().or(commands.as_ref()).or(extensions.as_ref()).cloned().unwrap_or_default();
            Fault { span, message }
        };
        if document.extensions.named.len() > NAMED_KEYWORDS {
            make_room(&mut document.extensions, &self.keywords);
        }
        let keywords = document.extensions.named.len();
        if keywords > NAMED_KEYWORDS {
            return Err(fault(
                extensions,
                format!(
                    "extensions: {keywords} keywords together with those that profile {profile} names; expected at \
                     most {NAMED_KEYWORDS}"
                ),
            ));
        }
        if document.effective_verbs().len() > NAMED_VERBS {
            make_room(&mut document.commands, &self.verbs);
        }
        let verbs = document.effective_verbs().len();
        if verbs > NAMED_VERBS {
            let announced = if verbs > document.commands.named.len() { " and masked extensions announce" } else { "" };
            return Err(fault(
                commands,
                format!(
                    "commands: {verbs} verbs together with those that profile {profile} names{announced}; expected at \
                     most {NAMED_VERBS}"
                ),
            ));
        }
        Ok(())
    }
}
