//! Which reasons an event can have.

use std::collections::BTreeSet;

use smtp_filter_common::reason::Reason;

use super::{
    document::WordName,
    fault::{one_of, quoted},
    names::Names,
    section::SECTIONS,
};

/// A reason as the command line takes it: whole, or one end of it. One that no policy can give is refused with those
/// that are there; of a single word there is little to be said, for it may be a verb.
pub fn reason(text: &str) -> Result<String, String> {
    let known = || Reason::ALL.iter().filter_map(|reason| reason.name().split_once('.'));
    let words = || SECTIONS.iter().filter_map(|section| Some((section, section.names.as_ref()?)));
    let Some((section, key)) = text.split_once('.') else {
        let end = known().any(|(section, key)| [section, key].iter().any(|end| end.eq_ignore_ascii_case(text)));
        if end || WordName::new(text).is_some() {
            return Ok(text.to_owned());
        }
        return Err(format!(
            "{} is no reason; expected a policy key such as commands.ehlo, or one end of it",
            quoted(text)
        ));
    };
    if let Some((words, names)) = words().find(|(words, _)| words.name.eq_ignore_ascii_case(section)) {
        if words.takes(key) {
            return Ok(text.to_owned());
        }
        return Err(format!("{}: {} is no {}; expected {}", words.name, quoted(key), words.noun, names.expected));
    }
    let of_section: Vec<&str> =
        known().filter(|(known, _)| known.eq_ignore_ascii_case(section)).map(|(_, key)| key).collect();
    if of_section.is_empty() {
        let sections: BTreeSet<&str> =
            known().map(|(section, _)| section).chain(words().map(|(words, _)| words.name)).collect();
        return Err(format!("there is no section {} of reasons; expected {}", quoted(section), one_of(sections)));
    }
    if of_section.iter().any(|known| known.eq_ignore_ascii_case(key)) {
        return Ok(text.to_owned());
    }
    Err(format!("{section} has no reason {}; expected {}", quoted(key), one_of(of_section)))
}

/// How many that are alike are offered in the place of a word that is none.
const OFFERED: usize = 3;
/// How alike they are at least.
const ALIKE: f64 = 0.7;

/// Refuses a reason that no event of a filter with these names can have: a reader would wait for it for ever.
pub fn known_reason(text: &str, names: &Names) -> Result<(), String> {
    let reasons = names.reasons();
    let ends = reasons.iter().filter_map(|reason| reason.split_once('.')).flat_map(|(section, key)| [section, key]);
    let mut known: Vec<&str> = reasons.iter().map(String::as_str).chain(ends).collect();
    if known.iter().any(|known| known.eq_ignore_ascii_case(text)) {
        return Ok(());
    }
    let lower = text.to_ascii_lowercase();
    known.sort_unstable();
    known.dedup();
    let mut alike: Vec<(f64, &str)> =
        known.into_iter().map(|known| (strsim::jaro_winkler(known, &lower), known)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|one, other| other.0.total_cmp(&one.0));
    let near: Vec<&str> = alike.into_iter().take(OFFERED).map(|(_, known)| known).collect();
    let near = if near.is_empty() { String::new() } else { format!("; expected perhaps {}", one_of(near)) };
    let unnamed = match lower.split_once('.') {
        Some((section @ ("commands" | "extensions"), _)) => {
            format!(", which the policy does not name: what is not named has the reason {section}.other")
        }
        _ => String::new(),
    };
    Err(format!("no event has the reason {}{unnamed}{near}; `smtp-filter policy show` has all keys", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_reason_is_taken_as_it_is() {
        for reason in Reason::ALL {
            let name = reason.name();
            let (section, key) = name.split_once('.').unwrap();
            for text in [name, section, key, &name.to_ascii_uppercase()] {
                assert_eq!(super::reason(text).as_deref(), Ok(text));
            }
        }
        for text in ["commands", "commands.ehlo", "Commands.X-ANY", "extensions.other", "ehlo", "OTHER", "commands.x.y"]
        {
            assert_eq!(reason(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_no_event_can_have_is_refused_with_what_is_near() {
        let mut names = Names::default();
        names.place(&WordName::new("EHLO").unwrap()).unwrap();
        names.keyword_place(&WordName::new("CHUNKING").unwrap()).unwrap();
        for text in
            ["guards", "Guards.Sync", "commands", "commands.ehlo", "EHLO", "other", "extensions.chunking", "pass"]
        {
            assert_eq!(known_reason(text, &names), Ok(()));
        }
        for (text, expected) in [
            ("nosuch", "no event has the reason `nosuch`; "),
            ("elho", "no event has the reason `elho`; expected perhaps ehlo"),
            ("comands", "no event has the reason `comands`; expected perhaps commands, commands."),
            (
                "commands.vrfy",
                "no event has the reason `commands.vrfy`, which the policy does not name: what is not named has \
                              the reason commands.other; expected perhaps commands",
            ),
        ] {
            let found = known_reason(text, &names).unwrap_err();
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
    }

    #[test]
    fn what_cannot_be_one_is_refused_with_what_can() {
        for (text, expected) in [
            ("", "`` is no reason; expected a policy key such as commands.ehlo, or one end of it"),
            (
                "commands ehlo",
                "`commands ehlo` is no reason; expected a policy key such as commands.ehlo, or one end of it",
            ),
            (
                "command.ehlo",
                "there is no section `command` of reasons; expected banner, commands, extensions, guards, pass or stream",
            ),
            ("commands.", "commands: `` is no verb; expected a word of 1 to 16 characters"),
            (
                "commands.abcdefghijklmnopq",
                "commands: `abcdefghijklmnopq` is no verb; expected a word of 1 to 16 characters",
            ),
            (
                "extensions.auth=login",
                "extensions: `auth=login` is no keyword; expected a word of 1 to 16 characters without `=`, for `AUTH=LOGIN` is AUTH",
            ),
            ("banner.hide", "banner has no reason `hide`; expected show"),
            ("guards.smuggling", "guards has no reason `smuggling`; expected unknown_connection, fragment, "),
        ] {
            let found = reason(text).unwrap_err();
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
    }
}
