//! Actions by name: `[commands]` and `[extensions]`.

use smtp_filter_common::{
    action::Action,
    limits::{NAMED_KEYWORDS, NAMED_VERBS},
};

use super::{
    assign::{action, table},
    document::WordName,
    fault::{Fault, Located, quoted},
    rules,
    settings::Words,
    value::Value,
};

/// What distinguishes `[commands]` from `[extensions]`.
pub(super) struct Section {
    pub name: &'static str,
    /// What stands in it.
    pub word: &'static str,
    /// What a word of it is.
    pub expected: &'static str,
    /// What else makes a word one of it.
    is_word: fn(&str) -> bool,
    /// Words that one policy may name.
    most: usize,
    /// Actions that are legal for a word, in upper case, and for `other`.
    legal: fn(&str) -> &'static [Action],
}

impl Section {
    /// Whether this is a word of it, in whatever case.
    pub fn takes(&self, word: &str) -> bool {
        WordName::new(word).is_some() && (self.is_word)(word)
    }
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

/// The settings of `[commands]` or `[extensions]`. `prefix` is what stands in front of its key in messages.
pub(super) fn by_name(section: &Section, prefix: &str, value: &Located<Value>) -> Result<Words, Fault> {
    let Section { name: section_name, word, expected, is_word, most, legal } = section;
    let section_name = format!("{prefix}{section_name}");
    let entries = table(value, &section_name, &format!("a table of {word}s and actions"))?;
    let mut words = Words::default();
    for (key, value) in entries {
        let name = format!("{section_name}.{}", key.value.escape_debug());
        let action = action(value, &name, legal(&key.value.to_ascii_uppercase()))?;
        let twice = if key.value.eq_ignore_ascii_case("other") {
            words.other.replace(action).is_some()
        } else {
            let entry = WordName::new(&key.value).filter(|entry| is_word(entry.as_str())).ok_or_else(|| {
                key.fault(format!("{section_name}: {} is no {word}; expected {expected}", quoted(&key.value)))
            })?;
            words.named.insert(entry, action).is_some()
        };
        if twice {
            return Err(key.fault(format!("{name}: named twice, for case does not count; expected each {word} once")));
        }
        if words.named.len() > *most {
            return Err(key.fault(format!("{name}: the {word} after the {most}th; expected at most {most}")));
        }
    }
    Ok(words)
}
