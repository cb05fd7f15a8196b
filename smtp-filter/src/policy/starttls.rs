//! Whether a policy takes STARTTLS away: who sets it is told what that does to mail.

use smtp_filter_common::action::Action;

use super::document::{Document, Mode};

/// The keys by which a policy that is enforced keeps mail from being sent in TLS, each with its action; empty where it
/// does not.
fn keys(document: &Document) -> Vec<String> {
    let Document { mode, commands, extensions, .. } = document;
    if *mode != Mode::Enforce {
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

/// What is to be said of a policy that takes STARTTLS away, in one line.
pub fn starttls_warning(document: &Document) -> Option<String> {
    let keys = keys(document);
    (!keys.is_empty()).then(|| {
        format!(
            "warning: this policy takes STARTTLS away ({}): mail goes in clear, and senders that insist on TLS \
             (MTA-STS, DANE, REQUIRETLS) keep theirs back",
            keys.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Profile, set};

    #[test]
    fn each_way_of_taking_starttls_away_is_told() {
        let passes = set(&Profile::Monitor.document(), &["mode=enforce"]).unwrap();
        assert_eq!(starttls_warning(&passes), None);
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
            assert_eq!(starttls_warning(&monitored), None, "{setting}");
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
        assert_eq!(starttls_warning(&kept), None);
    }

    #[test]
    fn of_the_profiles_these_keep_starttls() {
        let kept = Profile::ALL.into_iter().filter(|profile| starttls_warning(&profile.document()).is_none());
        assert_eq!(kept.map(Profile::name).collect::<Vec<_>>(), ["monitor", "mark-esmtp", "hardened"]);
    }

    #[test]
    fn the_warning_is_one_line() {
        let line = starttls_warning(&Profile::DropEsmtp.document()).unwrap();
        assert!(line.contains("commands.ehlo=drop, commands.starttls=drop") && !line.contains('\n'), "{line}");
    }
}
