//! Which verb has which counter.

use serde::{Deserialize, Serialize};
use smtp_filter_common::{
    limits::NAMES,
    reason::{FIRST_NAME, Reason},
};

use super::document::VerbName;

/// The name of the first place.
const OTHER: &str = "other";

/// Names by their place among the counters. A place is never given to another name while the filter is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names(Vec<String>);

impl Default for Names {
    fn default() -> Self {
        Self(vec![OTHER.to_owned()])
    }
}

impl Names {
    /// The place of a name, a new one where it has none yet; `None` where all are taken.
    pub fn place(&mut self, verb: &VerbName) -> Option<u8> {
        let names = &mut self.0;
        let place = names.iter().position(|name| name == verb.as_str()).unwrap_or(names.len());
        if place >= NAMES {
            return None;
        }
        if place == names.len() {
            names.push(verb.as_str().to_owned());
        }
        u8::try_from(place).ok()
    }

    /// The policy key that a reason number stands for.
    pub fn reason(&self, number: u16) -> String {
        if let Some(reason) = Reason::from_number(number) {
            return reason.name().to_owned();
        }
        let name = number.checked_sub(FIRST_NAME).and_then(|place| self.0.get(usize::from(place)));
        match name {
            Some(name) => format!("commands.{}", name.to_ascii_lowercase()),
            None => format!("unknown.{number}"),
        }
    }

    /// Whether the number has a name here.
    pub fn knows(&self, number: u16) -> bool {
        Reason::from_number(number).is_some() || (FIRST_NAME..FIRST_NAME + self.0.len() as u16).contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_place() {
        let mut names = Names::default();
        let (ehlo, auth) = (VerbName::new("ehlo").unwrap(), VerbName::new("AUTH").unwrap());
        assert_eq!((names.place(&ehlo), names.place(&auth), names.place(&ehlo)), (Some(1), Some(2), Some(1)));
        assert_eq!(names.reason(64), "commands.other");
        assert_eq!(names.reason(66), "commands.auth");
        assert_eq!(names.reason(8), "guards.changed_repeat");
        assert_eq!(names.reason(67), "unknown.67");
        assert!(names.knows(66) && !names.knows(67) && names.knows(0) && !names.knows(63));
    }

    #[test]
    fn the_last_place_is_the_255th() {
        let mut names = Names::default();
        for i in 1..NAMES {
            assert_eq!(names.place(&VerbName::new(&format!("V{i}")).unwrap()).map(usize::from), Some(i));
        }
        assert_eq!(names.place(&VerbName::new("ONEMORE").unwrap()), None);
        assert_eq!(names.place(&VerbName::new("V7").unwrap()), Some(7));
    }
}
