//! Which verbs an extension announces: to hide its keyword and to stop its verbs is one rule.

use std::collections::{BTreeMap, btree_map::Entry};

use smtp_filter_common::action::Action;

use super::document::{ByName, Document, WordName};

/// Keywords that announce other verbs than the one of their own name, or none.
const ANNOUNCED: &[(&str, &[&str])] = &[
    // RFC 3030.
    ("CHUNKING", &["BDAT"]),
    // What they announce are parameters, or how commands may come.
    ("8BITMIME", &[]),
    ("BINARYMIME", &[]),
    ("CHECKPOINT", &[]),
    ("CONNEG", &[]),
    ("CONPERM", &[]),
    ("DELIVERBY", &[]),
    ("DSN", &[]),
    ("FUTURERELEASE", &[]),
    ("LIMITS", &[]),
    ("MT-PRIORITY", &[]),
    ("MTRK", &[]),
    ("NO-SOLICITING", &[]),
    ("PIPELINING", &[]),
    ("REQUIRETLS", &[]),
    ("RRVS", &[]),
    ("SIZE", &[]),
    ("SMTPUTF8", &[]),
    ("SUBMITTER", &[]),
    ("XVERP", &[]),
    // Commands of every server (RFC 5321 section 4.5.1), which need no announcement.
    ("DATA", &[]),
    ("EHLO", &[]),
    ("HELO", &[]),
    ("MAIL", &[]),
    ("NOOP", &[]),
    ("QUIT", &[]),
    ("RCPT", &[]),
    ("RSET", &[]),
];

/// The verbs that a keyword announces.
fn verbs(keyword: &WordName) -> Vec<WordName> {
    match ANNOUNCED.iter().find(|(name, _)| *name == keyword.as_str()) {
        Some((_, verbs)) => verbs.iter().filter_map(|verb| WordName::new(verb)).collect(),
        None => vec![keyword.clone()],
    }
}

/// What is done with a named verb in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The action.
    pub action: Action,
    /// The keyword whose `mask` is stricter than what `[commands]` says.
    pub masked_with: Option<WordName>,
}

impl Document {
    /// What is done with each verb that is named, in `[commands]` or by a masked extension; `commands.other` holds for
    /// all others.
    pub fn effective_verbs(&self) -> BTreeMap<WordName, Effective> {
        let Self { commands, extensions, .. } = self;
        let named =
            |(verb, action): (&WordName, &Action)| (verb.clone(), Effective { action: *action, masked_with: None });
        let mut verbs: BTreeMap<_, _> = commands.named.iter().map(named).collect();
        for keyword in masked(extensions) {
            for verb in self::verbs(keyword) {
                let masked = Effective { action: Action::Mask, masked_with: Some(keyword.clone()) };
                match verbs.entry(verb) {
                    Entry::Occupied(mut there) if there.get().action < Action::Mask => {
                        there.insert(masked);
                    }
                    Entry::Vacant(place) if commands.other < Action::Mask => {
                        place.insert(masked);
                    }
                    Entry::Occupied(_) | Entry::Vacant(_) => {}
                }
            }
        }
        verbs
    }
}

fn masked(extensions: &ByName) -> impl Iterator<Item = &WordName> {
    extensions.named.iter().filter(|(_, action)| **action == Action::Mask).map(|(keyword, _)| keyword)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::parse;

    fn effective(text: &str, verb: &str) -> Option<(Action, Option<String>)> {
        let verbs = parse("t", text).unwrap().effective_verbs();
        verbs.get(verb).map(|found| (found.action, found.masked_with.as_ref().map(ToString::to_string)))
    }

    #[test]
    fn a_masked_extension_masks_its_verbs() {
        let by = |keyword: &str| Some((Action::Mask, Some(keyword.to_owned())));
        for (keyword, verb) in [
            ("STARTTLS", "STARTTLS"),
            ("auth", "AUTH"),
            ("CHUNKING", "BDAT"),
            ("ETRN", "ETRN"),
            ("ATRN", "ATRN"),
            ("VRFY", "VRFY"),
            ("EXPN", "EXPN"),
            ("HELP", "HELP"),
            ("XCLIENT", "XCLIENT"),
            ("XFORWARD", "XFORWARD"),
            ("BURL", "BURL"),
            ("X-EXPS", "X-EXPS"),
            ("X-LINK2STATE", "X-LINK2STATE"),
            ("XEXCH50", "XEXCH50"),
            ("X-ANONYMOUSTLS", "X-ANONYMOUSTLS"),
            ("XNEVERHEARD", "XNEVERHEARD"),
        ] {
            let text = format!("[extensions]\n{keyword} = \"mask\"");
            assert_eq!(effective(&text, verb), by(&keyword.to_ascii_uppercase()), "{keyword}");
            let text = format!("[extensions]\n{keyword} = \"log\"");
            assert_ne!(effective(&text, verb), by(&keyword.to_ascii_uppercase()), "{keyword}");
        }
    }

    #[test]
    fn what_is_stricter_in_commands_stays() {
        for (action, expected) in [
            ("pass", Action::Mask),
            ("log", Action::Mask),
            ("mark", Action::Mask),
            ("mask", Action::Mask),
            ("drop", Action::Drop),
            ("reset", Action::Reset),
        ] {
            let text = format!("[commands]\nSTARTTLS = \"{action}\"\n[extensions]\nSTARTTLS = \"mask\"");
            let found = effective(&text, "STARTTLS").unwrap();
            assert_eq!(found.0, expected, "{action}");
            assert_eq!(found.1.is_some(), ["pass", "log", "mark"].contains(&action), "{action}");
            // A verb that is not named takes `other`, and is named where that is not strict enough.
            let text = format!("[commands]\nother = \"{action}\"\n[extensions]\nXYZ = \"mask\"");
            let found = effective(&text, "XYZ").map(|found| found.0);
            assert_eq!(found, found.filter(|action| *action == Action::Mask), "{action}");
            assert_eq!(found.is_some(), ["pass", "log", "mark"].contains(&action), "{action}");
        }
    }

    #[test]
    fn parameters_and_the_commands_of_every_server_are_no_verbs_of_an_extension() {
        for keyword in ["SIZE", "PIPELINING", "8BITMIME", "BINARYMIME", "DATA", "QUIT", "MAIL"] {
            let verbs = parse("t", &format!("[extensions]\n{keyword} = \"mask\"")).unwrap().effective_verbs();
            assert!(verbs.values().all(|verb| verb.masked_with.is_none()), "{keyword}");
        }
    }

    #[test]
    fn other_masks_no_verb() {
        let verbs = parse("t", "[extensions]\nother = \"mask\"").unwrap().effective_verbs();
        assert!(verbs.values().all(|verb| verb.masked_with.is_none()));
    }
}
