//! Text that is safe to show.

/// A text on one line, without what could harm a terminal or make text look like other text.
pub fn one_line(text: &str) -> String {
    let joined = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let shown = |c: char| if harmful(c) { c.escape_unicode().to_string() } else { c.to_string() };
    joined.chars().map(shown).collect()
}
