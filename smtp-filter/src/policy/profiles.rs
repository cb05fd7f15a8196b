//! The built-in policies that a file starts from.

use smtp_filter_common::action::Action;

use super::{
    document::{ByName, Document, WordName},
    key::Datum,
    keys,
    values::Values,
    word_lists::{ASA, ASA_KEYWORDS, CAREFUL, CAREFUL_KEYWORDS, ESMTP, HIDDEN_KEYWORDS, MAILGUARD, RFC_821},
};

/// A built-in policy: it says the mode, the commands, the extensions, the banner, how commands are masked, and the
/// guards. Ports, mark and what is captured are the administrator's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Nothing is touched, every command is reported.
    #[default]
    Monitor,
    /// EHLO and what came with it is marked.
    MarkEsmtp,
    /// EHLO and what came with it is dropped.
    DropEsmtp,
    /// EHLO becomes HELO.
    HeloOnly,
    /// What a PIX did.
    PixMailguard,
    /// What an ASA does unless it is configured otherwise.
    AsaEsmtp,
    /// What a careful postmaster sets.
    Hardened,
}

impl Profile {
    /// Every profile of this version.
    pub const ALL: [Self; 7] = [
        Self::Monitor,
        Self::MarkEsmtp,
        Self::DropEsmtp,
        Self::HeloOnly,
        Self::PixMailguard,
        Self::AsaEsmtp,
        Self::Hardened,
    ];

    /// Its name in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::MarkEsmtp => "mark-esmtp",
            Self::DropEsmtp => "drop-esmtp",
            Self::HeloOnly => "helo-only",
            Self::PixMailguard => "pix-mailguard",
            Self::AsaEsmtp => "asa-esmtp",
            Self::Hardened => "hardened",
        }
    }

    /// What it does, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Monitor => "touches nothing and reports every command (the default)",
            Self::MarkEsmtp => "marks connections that use EHLO or a command that came with it; RFC 821 passes",
            Self::DropEsmtp => "drops EHLO and the commands that came with it; RFC 821 passes; no STARTTLS",
            Self::HeloOnly => "turns EHLO into HELO, so that mail goes as plain SMTP; no STARTTLS",
            Self::PixMailguard => "seven commands pass, as with a PIX; banner and all else masked; no STARTTLS",
            Self::AsaEsmtp => "the default map of an ASA: fifteen commands, known extensions; no STARTTLS",
            Self::Hardened => "keeps STARTTLS and mail, hides what is dangerous in clear, banner without software",
        }
    }

    /// The profile of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The whole policy.
    pub fn document(self) -> Document {
        let mut values = Values::defaults();
        for (path, value) in self.values() {
            if let Some(key) = keys::find(path) {
                values.set(key, value.clone());
            }
        }
        Document { profile: self, values, commands: self.commands(), extensions: self.extensions(), scopes: Vec::new() }
    }

    /// Values of keys that are not their defaults.
    const fn values(self) -> &'static [(&'static str, Datum)] {
        const ENFORCE: (&str, Datum) = ("mode", Datum::Word("enforce"));
        const PIX: (&str, Datum) = ("banner.show", Datum::Word("pix"));
        match self {
            Self::Monitor => &[],
            Self::MarkEsmtp | Self::DropEsmtp | Self::HeloOnly => &[ENFORCE],
            Self::PixMailguard | Self::AsaEsmtp => &[ENFORCE, PIX],
            Self::Hardened => &[
                ENFORCE,
                ("banner.show", Datum::Word("host")),
                // No honest sender does either: there is nobody to wait for.
                ("guards.urgent", Datum::Action(Action::Reset)),
                ("guards.sync", Datum::Action(Action::Reset)),
            ],
        }
    }

    /// Every profile names the verbs of both lists, so that each has a counter of its own. The later row of two that
    /// name a verb counts.
    fn commands(self) -> ByName {
        use Action::{Downgrade, Drop, Log, Mark, Mask, Pass};
        match self {
            Self::Monitor => by_name(&[(RFC_821, Log), (ESMTP, Log)], Log),
            Self::MarkEsmtp => by_name(&[(RFC_821, Pass), (ESMTP, Mark)], Log),
            Self::DropEsmtp => by_name(&[(RFC_821, Pass), (ESMTP, Drop)], Log),
            Self::HeloOnly => by_name(&[(RFC_821, Pass), (ESMTP, Mask), (&["EHLO"], Downgrade)], Log),
            Self::PixMailguard => by_name(&[(RFC_821, Mask), (ESMTP, Mask), (MAILGUARD, Pass)], Mask),
            Self::AsaEsmtp => {
                by_name(&[(RFC_821, Mask), (ESMTP, Mask), (MAILGUARD, Pass), (ASA, Pass), (&["STARTTLS"], Pass)], Mask)
            }
            Self::Hardened => by_name(&[(RFC_821, Mask), (ESMTP, Mask), (MAILGUARD, Pass), (CAREFUL, Pass)], Mask),
        }
    }

    fn extensions(self) -> ByName {
        use Action::{Mask, Pass};
        match self {
            Self::Monitor | Self::MarkEsmtp | Self::DropEsmtp => by_name(&[], Pass),
            // Nobody sees a reply to EHLO: where one comes all the same, it offers nothing that is not let through.
            Self::HeloOnly | Self::PixMailguard => by_name(&[], Mask),
            Self::AsaEsmtp => by_name(&[(ASA_KEYWORDS, Pass), (&["STARTTLS"], Mask)], Mask),
            Self::Hardened => by_name(&[(CAREFUL_KEYWORDS, Pass), (HIDDEN_KEYWORDS, Mask)], Mask),
        }
    }
}

fn by_name(rows: &[(&[&str], Action)], other: Action) -> ByName {
    let row = |(words, action): &(&[&str], Action)| {
        let action = *action;
        words.iter().filter_map(move |word| Some((WordName::new(word)?, action))).collect::<Vec<_>>()
    };
    ByName { named: rows.iter().flat_map(row).collect(), other }
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::bounds::NAMED_VERBS;

    use super::*;
    use crate::policy::Mode;

    fn effective(profile: Profile, verb: &str) -> Action {
        let document = profile.document();
        document.effective_verbs().get(verb).map_or(document.commands.other, |effective| effective.action)
    }

    /// Verbs of the lists that are not stopped.
    fn let_through(profile: Profile) -> Vec<&'static str> {
        RFC_821.iter().chain(ESMTP).copied().filter(|verb| effective(profile, verb) < Action::Downgrade).collect()
    }

    #[test]
    fn every_word_of_the_lists_is_a_verb_and_leaves_room() {
        for profile in Profile::ALL {
            let document = profile.document();
            assert_eq!(document.commands.named.len(), RFC_821.len() + ESMTP.len(), "{}", profile.name());
            assert_eq!(document.effective_verbs().len(), RFC_821.len() + ESMTP.len(), "{}", profile.name());
            assert!(document.commands.named.len() <= NAMED_VERBS / 2);
        }
        let words = [MAILGUARD, ASA, ASA_KEYWORDS, CAREFUL, CAREFUL_KEYWORDS, HIDDEN_KEYWORDS].concat();
        assert!(words.iter().all(|word| WordName::new(word).is_some()));
    }

    #[test]
    fn names_find_their_profiles() {
        for profile in Profile::ALL {
            assert_eq!(Profile::find(profile.name()), Some(profile));
        }
        assert_eq!(Profile::find("strict"), None);
    }

    #[test]
    fn each_profile_lets_through_what_it_is_for() {
        let all = [RFC_821, ESMTP].concat();
        assert_eq!(let_through(Profile::Monitor), all);
        assert_eq!(let_through(Profile::MarkEsmtp), all);
        assert_eq!(let_through(Profile::DropEsmtp), RFC_821);
        assert_eq!(let_through(Profile::HeloOnly), RFC_821);
        assert_eq!(let_through(Profile::PixMailguard), MAILGUARD);
        let mut asa = let_through(Profile::AsaEsmtp);
        asa.sort_unstable();
        let mut fifteen = [MAILGUARD, ASA].concat();
        fifteen.sort_unstable();
        assert_eq!((asa.len(), asa), (15, fifteen));
        assert_eq!(let_through(Profile::Hardened), [MAILGUARD, &["EHLO", "STARTTLS"]].concat());
    }

    #[test]
    fn what_is_stopped_is_answered_except_where_the_name_says_drop() {
        for profile in [Profile::HeloOnly, Profile::PixMailguard, Profile::AsaEsmtp, Profile::Hardened] {
            let document = profile.document();
            for verb in RFC_821.iter().chain(ESMTP) {
                let action = effective(profile, verb);
                let expected = match (profile, *verb) {
                    (Profile::HeloOnly, "EHLO") => Action::Downgrade,
                    _ if action == Action::Pass => Action::Pass,
                    _ => Action::Mask,
                };
                assert_eq!(action, expected, "{} {verb}", profile.name());
            }
            let unknown = if profile == Profile::HeloOnly { Action::Log } else { Action::Mask };
            assert_eq!(document.commands.other, unknown, "{}", profile.name());
            let values = &document.values;
            assert_eq!((values.mode(), values.word("mask.fill")), (Mode::Enforce, "X"), "{}", profile.name());
        }
    }

    #[test]
    fn a_keyword_is_offered_only_where_its_verb_is_let_through() {
        for profile in [Profile::HeloOnly, Profile::PixMailguard, Profile::AsaEsmtp, Profile::Hardened] {
            let document = profile.document();
            for (keyword, verb) in
                ESMTP.iter().map(|verb| (*verb, *verb)).chain([("CHUNKING", "BDAT"), ("VRFY", "VRFY")])
            {
                let offered = document.extensions.action(keyword) != Action::Mask;
                assert!(!offered || effective(profile, verb) == Action::Pass, "{} {keyword}", profile.name());
            }
        }
    }

    #[test]
    fn one_setting_opens_what_hardened_hides_of_honest_mail() {
        use crate::policy::set;
        for (setting, verb) in [("extensions.auth=pass", "AUTH"), ("extensions.chunking=pass", "BDAT")] {
            let before = Profile::Hardened.document();
            assert_eq!(before.effective_verbs()[verb].action, Action::Mask);
            assert_eq!(set(&before, &[setting]).unwrap().effective_verbs()[verb].action, Action::Pass);
        }
        let asa = set(&Profile::AsaEsmtp.document(), &["extensions.starttls=pass"]).unwrap();
        assert_eq!(asa.effective_verbs()["STARTTLS"].action, Action::Pass);
    }

    #[test]
    fn banners_and_guards_of_the_profiles() {
        let shown = Profile::ALL.map(|profile| profile.document().values.word("banner.show"));
        assert_eq!(shown, ["all", "all", "all", "all", "pix", "pix", "host"]);
        let guards = || keys::keys().filter(|key| key.section() == "guards");
        for profile in Profile::ALL {
            let values = profile.document().values;
            let stricter = guards().any(|key| values.get(key.path) != Some(&key.default));
            assert_eq!(stricter, profile == Profile::Hardened);
        }
        let hardened = Profile::Hardened.document().values;
        for guard in guards().filter(|key| !key.legal().is_empty()) {
            let (action, Datum::Action(default)) = (hardened.action(guard.path).unwrap(), &guard.default) else {
                panic!()
            };
            let cuts = guard.legal().iter().any(|action| *action >= Action::Drop);
            assert!(action >= *default && (!cuts || action >= Action::Drop));
        }
    }

    #[test]
    fn what_a_profile_sets_is_a_key_of_profiles_with_a_legal_value() {
        for profile in Profile::ALL {
            for (path, value) in profile.values() {
                let key = keys::find(path).unwrap();
                assert!(key.is_of_profile(), "{} {path}", profile.name());
                let setting = format!("{path}={}", value.to_toml());
                let set = crate::policy::set(&Profile::default().document(), &[setting]).unwrap();
                assert_eq!(set.values.get(path), Some(value));
            }
        }
    }
}
