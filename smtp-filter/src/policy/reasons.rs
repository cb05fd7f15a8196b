//! Which reasons an event can have.

use std::collections::BTreeSet;

use smtp_filter_common::reason::Reason;

use super::{
    by_name::{COMMANDS, EXTENSIONS},
    document::WordName,
    fault::{one_of, quoted},
};

/// A reason as the command line takes it: whole, or one end of it. One that no policy can give is refused with those that
/// are there; of a single word there is little to be said, for it may be a verb.
pub fn reason(text: &str) -> Result<String, String> {
    let known = || Reason::ALL.iter().filter_map(|reason| reason.name().split_once('.'));
    let words = [&COMMANDS, &EXTENSIONS];
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
    if let Some(words) = words.into_iter().find(|words| words.name.eq_ignore_ascii_case(section)) {
        if words.takes(key) {
            return Ok(text.to_owned());
        }
        return Err(format!("{}: {} is no {}; expected {}", words.name, quoted(key), words.word, words.expected));
    }
    let of_section: Vec<&str> =
        known().filter(|(known, _)| known.eq_ignore_ascii_case(section)).map(|(_, key)| key).collect();
    if of_section.is_empty() {
        let sections: BTreeSet<&str> =
            known().map(|(section, _)| section).chain(words.map(|words| words.name)).collect();
        return Err(format!("there is no section {} of reasons; expected {}", quoted(section), one_of(sections)));
    }
    if of_section.iter().any(|known| known.eq_ignore_ascii_case(key)) {
        return Ok(text.to_owned());
    }
    Err(format!("{section} has no reason {}; expected {}", quoted(key), one_of(of_section)))
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
