//! The built-in policies that a file starts from.

use smtp_filter_common::action::Action;

use super::document::{Commands, Document, Guards, Mark, Mode, VerbName};

/// The commands of RFC 821.
pub const RFC_821: &[&str] =
    &["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "SEND", "SOML", "SAML", "TURN"];

/// EHLO and the commands that came with it: of RFC 1985 (ETRN), 2645 (ATRN), 3030 (BDAT), 3207 (STARTTLS), 4468
/// (BURL), 4954 (AUTH), LMTP's greeting (RFC 2033), and the private ones of Postfix, Sendmail and Exchange.
pub const ESMTP: &[&str] = &[
    "EHLO",
    "LHLO",
    "STARTTLS",
    "AUTH",
    "BDAT",
    "BURL",
    "ETRN",
    "ATRN",
    "XCLIENT",
    "XFORWARD",
    "VERB",
    "ONEX",
    "XEXCH50",
    "X-LINK2STATE",
    "X-EXPS",
    "X-ANONYMOUSTLS",
];

/// Profiles that another version knows.
pub(super) const LATER: &[&str] = &["helo-only", "pix-mailguard", "asa-esmtp", "hardened"];

/// A built-in policy: it says the mode, the commands and the guards. Ports, mark and what is captured are the
/// administrator's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Nothing is touched, every command is reported.
    #[default]
    Monitor,
    /// EHLO and what came with it is marked.
    MarkEsmtp,
    /// EHLO and what came with it is dropped.
    DropEsmtp,
}

impl Profile {
    /// Every profile of this version.
    pub const ALL: [Self; 3] = [Self::Monitor, Self::MarkEsmtp, Self::DropEsmtp];

    /// Its name in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::MarkEsmtp => "mark-esmtp",
            Self::DropEsmtp => "drop-esmtp",
        }
    }

    /// What it does, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Monitor => "touches nothing and reports every command (the default)",
            Self::MarkEsmtp => "marks connections that use EHLO or a command that came with it; RFC 821 passes",
            Self::DropEsmtp => "drops EHLO and the commands that came with it; RFC 821 passes",
        }
    }

    /// The profile of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The whole policy.
    pub fn document(self) -> Document {
        Document {
            profile: self,
            ports: vec![25],
            mode: self.mode(),
            capture_envelope: false,
            commands: self.commands(),
            guards: Guards::default(),
            mark: Mark::default(),
        }
    }

    const fn mode(self) -> Mode {
        match self {
            Self::Monitor => Mode::Monitor,
            Self::MarkEsmtp | Self::DropEsmtp => Mode::Enforce,
        }
    }

    fn commands(self) -> Commands {
        let (rfc_821, esmtp) = match self {
            Self::Monitor => (Action::Log, Action::Log),
            Self::MarkEsmtp => (Action::Pass, Action::Mark),
            Self::DropEsmtp => (Action::Pass, Action::Drop),
        };
        let row = |verbs: &'static [&str], action| {
            verbs.iter().filter_map(|verb| VerbName::new(verb)).map(move |verb| (verb, action))
        };
        Commands { named: row(RFC_821, rfc_821).chain(row(ESMTP, esmtp)).collect(), other: Action::Log }
    }
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::limits::NAMED_VERBS;

    use super::*;

    #[test]
    fn every_word_of_the_lists_is_a_verb_and_leaves_room() {
        for profile in Profile::ALL {
            let named = profile.document().commands.named;
            assert_eq!(named.len(), RFC_821.len() + ESMTP.len(), "{}", profile.name());
            assert!(named.len() <= NAMED_VERBS / 2);
        }
    }

    #[test]
    fn names_are_told_apart_from_those_of_another_version() {
        for profile in Profile::ALL {
            assert_eq!(Profile::find(profile.name()), Some(profile));
            assert!(!LATER.contains(&profile.name()));
        }
    }
}
