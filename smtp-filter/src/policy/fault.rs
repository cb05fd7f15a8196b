//! What is wrong with a policy, and where.

use std::{fmt, ops::Range};

/// Something with its place in the text that it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// What is there.
    pub value: T,
}

impl<T> Located<T> {
    /// A fault at this place.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { span: self.span.clone(), message: message.into() }
    }
}

/// One fault: what is wrong, what was expected, and which bytes of the text are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// What is wrong and what was expected: one line.
    pub message: String,
}

/// A fault in a named text, with line and column; shown as `FILE:LINE:COLUMN: what is wrong`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Name of the text: a file.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected: one line.
    pub message: String,
}

impl PolicyError {
    /// Finds the fault's line and column in the text.
    pub fn new(name: &str, text: &str, fault: Fault) -> Self {
        let mut end = fault.span.start.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            name: name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: fault.message,
        }
    }
}

impl PolicyError {
    /// What the message says was expected.
    pub fn expected(&self) -> Option<&str> {
        self.message.rsplit_once("; expected ").map(|(_, expected)| expected)
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, line, column, message } = self;
        write!(f, "{name}:{line}:{column}: {message}")
    }
}

impl std::error::Error for PolicyError {}

/// Longest piece of a policy that a message repeats, in characters.
const QUOTED: usize = 40;

/// A piece of a policy for a message: in backticks, harmless to a terminal, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().count() > QUOTED {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// Words for a message: `a`, `a or b`, `a, b or c`.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.as_slice() {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        let text = "a = 1\n\"\u{fc}\u{fc}\" = 2\n";
        let at = text.find('2').unwrap();
        let error = PolicyError::new("p.toml", text, Fault { span: at..at + 1, message: "no".into() });
        assert_eq!(error.to_string(), "p.toml:2:8: no");
    }

    #[test]
    fn a_fault_behind_the_end_is_at_the_end() {
        let error = PolicyError::new("p.toml", "a =\n", Fault { span: 9..9, message: "no".into() });
        assert_eq!((error.line, error.column), (2, 1));
    }

    #[test]
    fn quoted_text_cannot_reach_the_terminal() {
        assert_eq!(quoted("a\u{1b}[2Jb\n"), "`a\\u{1b}[2Jb\\n`");
        assert_eq!(quoted(&"x".repeat(41)).len(), 40 + 2 + 3);
    }

    #[test]
    fn words_read_as_a_sentence() {
        assert_eq!(one_of(["a"]), "a");
        assert_eq!(one_of(["a", "b", "c"]), "a, b or c");
    }
}
