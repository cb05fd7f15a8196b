//! Whether a policy takes STARTTLS away: the warning says what that does to mail.

use smtp_filter_common::action::Action;

use super::document::{Document, Mode};

/// The keys by which a policy that is enforced keeps mail from being sent in TLS, each with its action; empty where it
/// does not.
fn keys(document: &Document) -> Vec<String> {
    let Document { values, commands, extensions, .. } = document;
    if values.mode() != Mode::Enforce {
        return Vec::new();
    }
    let command = |verb: &str, from: Action| {
        let action = commands.action(verb);
        (action >= from).then(|| format!("{}={}", commands.key("commands", verb), action.name()))
    };
    let keyword = extensions.action("STARTTLS");
    let hidden =
        (keyword == Action::Mask).then(|| format!("{}={}", extensions.key("extensions", "STARTTLS"), keyword.name()));
    // Without EHLO there is no STARTTLS.
    let ways = [command("EHLO", Action::Downgrade), command("STARTTLS", Action::Mask), hidden];
    let mut keys: Vec<String> = ways.into_iter().flatten().collect();
    // Both may be `commands.other`.
    keys.dedup();
    keys
}

/// What is to be said of a policy that takes STARTTLS away, a line each: of the whole, and of the scopes that do it by
/// other keys.
pub fn starttls_warnings(document: &Document) -> Vec<String> {
    let whole = keys(document);
    let scopes = document.scopes.iter().filter_map(|scope| {
        let keys = keys(&document.within(scope));
        (keys != whole).then(|| warning(&format!("scope {}", scope.name), &keys))?
    });
    warning("this policy", &whole).into_iter().chain(scopes).collect()
}

fn warning(who: &str, keys: &[String]) -> Option<String> {
    (!keys.is_empty()).then(|| {
        format!(
            "warning: {who} takes STARTTLS away ({}): mail goes in clear, and senders that insist on TLS (MTA-STS, DANE, \
             REQUIRETLS) keep theirs back",
            keys.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Profile, parse, set};

    #[test]
    fn each_way_of_taking_starttls_away_is_told() {
        let passes = set(&Profile::Monitor.document(), &["mode=enforce"]).unwrap();
        assert!(starttls_warnings(&passes).is_empty());
        for (setting, told) in [
            ("commands.starttls=mask", true),
            ("commands.starttls=drop", true),
            ("commands.starttls=reset", true),
            ("commands.starttls=mark", false),
            ("commands.ehlo=downgrade", true),
            ("commands.ehlo=mask", true),
            ("commands.ehlo=drop", true),
            ("commands.ehlo=reset", true),
            ("commands.ehlo=mark", false),
            ("commands.bdat=drop", false),
            ("extensions.starttls=mask", true),
            ("extensions.starttls=log", false),
            ("extensions.auth=mask", false),
        ] {
            let document = set(&passes, &[setting]).unwrap();
            assert_eq!(keys(&document), if told { vec![setting] } else { vec![] });
            let monitored = set(&document, &["mode=monitor"]).unwrap();
            assert!(starttls_warnings(&monitored).is_empty(), "{setting}");
        }
    }

    #[test]
    fn what_other_takes_away_is_told_too() {
        let passes = set(&Profile::Monitor.document(), &["mode=enforce"]).unwrap();
        let commands = set(&passes, &["commands.other=reset"]).unwrap();
        assert_eq!(keys(&commands), ["commands.other=reset"]);
        let extensions = set(&passes, &["extensions.other=mask"]).unwrap();
        assert_eq!(keys(&extensions), ["extensions.other=mask"]);
        let kept = set(&passes, &["extensions.other=mask", "extensions.starttls=pass"]).unwrap();
        assert!(starttls_warnings(&kept).is_empty());
    }

    #[test]
    fn of_the_profiles_these_keep_starttls() {
        let kept = Profile::ALL.into_iter().filter(|profile| starttls_warnings(&profile.document()).is_empty());
        assert_eq!(kept.map(Profile::name).collect::<Vec<_>>(), ["monitor", "mark-esmtp", "hardened"]);
    }

    #[test]
    fn the_warning_is_one_line() {
        let line = starttls_warnings(&Profile::DropEsmtp.document()).concat();
        assert!(line.contains("commands.ehlo=drop, commands.starttls=drop") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn scopes_are_told_of_where_they_differ() {
        let document = parse(
            "t",
            "mode = \"enforce\"\n\
             [[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\"]\ncommands = { EHLO = \"drop\" }\n\
             [[scope]]\nname = \"b\"\nclients = [\"192.0.2.0/24\"]\ncommands = { AUTH = \"drop\" }\n",
        )
        .unwrap();
        let told = starttls_warnings(&document);
        assert!(told.len() == 1 && told[0].starts_with("warning: scope a takes STARTTLS away (commands.ehlo=drop): "));
        // What the whole takes away is told once, and of who does it otherwise.
        let told = starttls_warnings(&set(&document, &["commands.starttls=mask"]).unwrap());
        let starts = [
            "warning: this policy takes STARTTLS away (commands.starttls=mask)",
            "warning: scope a takes STARTTLS away (commands.ehlo=drop, commands.starttls=mask)",
        ];
        assert!(told.len() == 2 && told.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{told:?}");
        assert!(starttls_warnings(&set(&document, &["scope.a.commands.ehlo=inherit"]).unwrap()).is_empty());
    }
}
