//! Which verb and which keyword has which counter.

use serde::{Deserialize, Serialize};
use smtp_filter_common::{
    bounds::{KEYWORD_NAMES, NAMES},
    reason::{FIRST_KEYWORD, FIRST_NAME, Reason},
};

use super::document::WordName;

/// The name of the first place.
const OTHER: &str = "other";

/// Names by their place among the counters. A place is never given to another name while the filter is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Verbs.
    #[serde(rename = "names")]
    verbs: Vec<String>,
    /// Keywords. A version that had none wrote none down.
    #[serde(default = "only_other")]
    keywords: Vec<String>,
    /// Scopes.
    #[serde(default)]
    scopes: Vec<String>,
}

fn only_other() -> Vec<String> {
    vec![OTHER.to_owned()]
}

impl Default for Names {
    fn default() -> Self {
        Self { verbs: only_other(), keywords: only_other(), scopes: Vec::new() }
    }
}

impl Names {
    /// The place of a verb, a new one where it has none yet; `None` where all are taken.
    pub fn place(&mut self, verb: &WordName) -> Option<u8> {
        place(&mut self.verbs, verb, NAMES)
    }

    /// The same for a keyword, which has its place among the keywords.
    pub fn keyword_place(&mut self, keyword: &WordName) -> Option<u8> {
        place(&mut self.keywords, keyword, KEYWORD_NAMES)
    }

    /// The number of a scope's name, a new one where it has none yet, from 1 on; `None` where all are taken.
    pub fn scope_number(&mut self, scope: &str) -> Option<u16> {
        let place = self.scopes.iter().position(|name| name == scope).unwrap_or(self.scopes.len());
        let number = u16::try_from(place + 1).ok()?;
        if place == self.scopes.len() {
            self.scopes.push(scope.to_owned());
        }
        Some(number)
    }

    /// The name of a scope; `None` of 0, the whole's own, and of a number without a name.
    pub fn scope(&self, number: u16) -> Option<&str> {
        self.scopes.get(usize::from(number).checked_sub(1)?).map(String::as_str)
    }

    /// The section of the policy and the name that a reason number means.
    fn word(&self, number: u16) -> Option<(&'static str, &str)> {
        let (section, names, first) = match number {
            FIRST_KEYWORD.. => ("extensions", &self.keywords, FIRST_KEYWORD),
            _ => ("commands", &self.verbs, FIRST_NAME),
        };
        let name = names.get(usize::from(number.checked_sub(first)?))?;
        Some((section, name))
    }

    /// The policy key that a reason number means.
    pub fn reason(&self, number: u16) -> String {
        if let Some(reason) = Reason::from_number(number) {
            return reason.name().to_owned();
        }
        match self.word(number) {
            Some((section, name)) => format!("{section}.{}", name.to_ascii_lowercase()),
            None => format!("unknown.{number}"),
        }
    }

    /// Every reason that an event can have: those that are always there, and one for each name.
    pub fn reasons(&self) -> Vec<String> {
        let words = |first: u16, names: &[String]| -> Vec<u16> { (first..).take(names.len()).collect() };
        let named = [words(FIRST_NAME, &self.verbs), words(FIRST_KEYWORD, &self.keywords)].concat();
        Reason::ALL.iter().map(|reason| reason.number()).chain(named).map(|number| self.reason(number)).collect()
    }

    /// Whether the number has a name here.
    pub fn knows(&self, number: u16) -> bool {
        Reason::from_number(number).is_some() || self.word(number).is_some()
    }
}

fn place(names: &mut Vec<String>, word: &WordName, room: usize) -> Option<u8> {
    let place = names.iter().position(|name| name == word.as_str()).unwrap_or(names.len());
    if place >= room {
        return None;
    }
    if place == names.len() {
        names.push(word.as_str().to_owned());
    }
    u8::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_place() {
        let mut names = Names::default();
        let (ehlo, auth) = (WordName::new("ehlo").unwrap(), WordName::new("AUTH").unwrap());
        assert_eq!((names.place(&ehlo), names.place(&auth), names.place(&ehlo)), (Some(1), Some(2), Some(1)));
        assert_eq!(names.reason(64), "commands.other");
        assert_eq!(names.reason(66), "commands.auth");
        assert_eq!(names.reason(8), "guards.changed_retransmission");
        assert_eq!(names.reason(67), "unknown.67");
        assert!(names.knows(66) && !names.knows(67) && names.knows(0) && !names.knows(63));
    }

    #[test]
    fn scopes_have_numbers_from_1_on() {
        let mut names = Names::default();
        let (printer, outside) = (names.scope_number("printer"), names.scope_number("outside"));
        assert_eq!((printer, outside, names.scope_number("printer")), (Some(1), Some(2), Some(1)));
        assert_eq!((names.scope(0), names.scope(1), names.scope(3)), (None, Some("printer"), None));
        for i in 3..=u16::MAX {
            names.scopes.push(i.to_string());
        }
        assert_eq!((names.scope_number("one_more"), names.scope_number("65535")), (None, Some(u16::MAX)));
    }

    #[test]
    fn keywords_have_places_of_their_own() {
        let mut names = Names::default();
        let auth = WordName::new("auth").unwrap();
        assert_eq!((names.place(&WordName::new("EHLO").unwrap()), names.place(&auth)), (Some(1), Some(2)));
        assert_eq!((names.keyword_place(&auth), names.keyword_place(&auth)), (Some(1), Some(1)));
        assert_eq!(names.reason(FIRST_NAME + 2), "commands.auth");
        assert_eq!(names.reason(FIRST_KEYWORD), "extensions.other");
        assert_eq!(names.reason(FIRST_KEYWORD + 1), "extensions.auth");
        assert_eq!(names.reason(FIRST_KEYWORD + 2), format!("unknown.{}", FIRST_KEYWORD + 2));
        assert!(names.knows(FIRST_KEYWORD) && names.knows(FIRST_KEYWORD + 1) && !names.knows(FIRST_KEYWORD + 2));
        for i in 2..KEYWORD_NAMES {
            let keyword = WordName::new(&format!("K{i}")).unwrap();
            assert_eq!(names.keyword_place(&keyword).map(usize::from), Some(i));
        }
        assert_eq!(names.keyword_place(&WordName::new("ONEMORE").unwrap()), None);
        assert_eq!(names.reason(FIRST_KEYWORD + KEYWORD_NAMES as u16 - 1), "extensions.k127");
        assert_eq!(names.place(&WordName::new("ONEMORE").unwrap()), Some(3));
    }

    #[test]
    fn the_last_place_is_the_255th() {
        let mut names = Names::default();
        for i in 1..NAMES {
            assert_eq!(names.place(&WordName::new(&format!("V{i}")).unwrap()).map(usize::from), Some(i));
        }
        assert_eq!(names.place(&WordName::new("ONEMORE").unwrap()), None);
        assert_eq!(names.place(&WordName::new("V7").unwrap()), Some(7));
    }
}
