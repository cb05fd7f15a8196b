//! Which action is legal for which key, and what it is where nobody says otherwise: one table.

use smtp_filter_common::{action::Action, policy::GUARDS as GUARD_SLOTS, reason::Reason};

/// Actions for a command.
pub const COMMANDS: &[Action] = &[Action::Pass, Action::Log, Action::Mark, Action::Mask, Action::Drop, Action::Reset];
/// Actions for EHLO: it alone has a plainer one to become.
pub const EHLO: &[Action] = &Action::ALL;
/// Actions for a keyword in the reply to EHLO: the reply itself has to pass.
pub const EXTENSIONS: &[Action] = &[Action::Pass, Action::Log, Action::Mask];

/// One guard.
#[derive(Debug)]
pub struct Guard {
    /// Its reason.
    pub reason: Reason,
    /// Actions that are legal.
    pub legal: &'static [Action],
    /// Its action unless the policy says otherwise.
    pub default: Action,
    /// What it watches for, in a few words.
    pub meaning: &'static str,
}

impl Guard {
    /// Its key in `[guards]`.
    pub fn key(&self) -> &'static str {
        let name = self.reason.name();
        name.strip_prefix("guards.").unwrap_or(name)
    }

    /// Its place in the compiled policy.
    pub fn slot(&self) -> usize {
        usize::from(self.reason.number())
    }

    /// Whether it has a grace beside its action.
    pub fn has_grace(&self) -> bool {
        self.reason == Reason::UnknownConnection
    }

    /// The guard with this key, in whatever case it is written.
    pub fn find(key: &str) -> Option<&'static Self> {
        GUARDS.iter().find(|guard| guard.key().eq_ignore_ascii_case(key))
    }
}

const UNREAD: &[Action] = &[Action::Pass, Action::Log, Action::Drop];
const CUT: &[Action] = &[Action::Drop, Action::Reset];

/// Every guard of this version.
pub const GUARDS: &[Guard] = &[
    Guard {
        reason: Reason::UnknownConnection,
        legal: UNREAD,
        default: Action::Drop,
        meaning: "a segment of a connection that the filter has no state for; passes during the grace after `up`",
    },
    Guard {
        reason: Reason::Fragment,
        legal: UNREAD,
        default: Action::Drop,
        meaning: "the first fragment of a datagram to or from the ports",
    },
    Guard {
        reason: Reason::Unreadable,
        legal: UNREAD,
        default: Action::Drop,
        meaning: "headers that cannot be read: lengths that lie, chains without end",
    },
    Guard {
        reason: Reason::SynData,
        legal: &[Action::Drop],
        default: Action::Drop,
        meaning: "payload in a SYN or SYN-ACK",
    },
    Guard { reason: Reason::Urgent, legal: CUT, default: Action::Drop, meaning: "the urgent flag" },
    Guard {
        reason: Reason::Sync,
        legal: CUT,
        default: Action::Drop,
        meaning: "client bytes behind DATA or AUTH before the reply",
    },
    Guard {
        reason: Reason::StarttlsInjection,
        legal: CUT,
        default: Action::Reset,
        meaning: "client bytes behind STARTTLS before its reply, server bytes behind the 220",
    },
    Guard {
        reason: Reason::BdatRefused,
        legal: CUT,
        default: Action::Reset,
        meaning: "client bytes behind a BDAT that the server refused, did not offer, or cannot read",
    },
    Guard {
        reason: Reason::ChangedRepeat,
        legal: CUT,
        default: Action::Drop,
        meaning: "a repeat with other bytes than the first time",
    },
    Guard {
        reason: Reason::LateEndOfData,
        legal: &[Action::Reset],
        default: Action::Reset,
        meaning: "an end of data in front of mail text that has already passed",
    },
    Guard {
        reason: Reason::SpoofedServer,
        // A reset would hand whoever forges the segments what he wants.
        legal: &[Action::Drop],
        default: Action::Drop,
        meaning: "a segment in the server's name from where the client's segments come",
    },
    Guard {
        reason: Reason::Multipath,
        legal: UNREAD,
        default: Action::Drop,
        meaning: "a SYN that asks for Multipath TCP; its client asks again for plain TCP",
    },
    Guard {
        reason: Reason::UnmatchedReply,
        // The reply is the server's own, and the client has to see it.
        legal: &[Action::Pass, Action::Log],
        default: Action::Log,
        meaning: "a reply that answers no command; what waits for one after DATA, AUTH or STARTTLS waits on",
    },
    Guard {
        reason: Reason::ProxyProtocol,
        legal: &[Action::Pass, Action::Log, Action::Drop, Action::Reset],
        default: Action::Drop,
        meaning: "the header of the PROXY protocol before the dialogue; version 2 is refused in any case",
    },
    Guard {
        reason: Reason::Checksum,
        // What is reported alone would go on unread.
        legal: &[Action::Pass, Action::Drop],
        default: Action::Drop,
        meaning: "a wrong checksum of a segment with payload, where nobody has looked at it yet; `pass` looks at none",
    },
];

const _: () = {
    let mut at = 0;
    while at < GUARDS.len() {
        assert!((GUARDS[at].reason.number() as usize) < GUARD_SLOTS);
        at += 1;
    }
};

/// Keys of the policy file that another version knows, and guards likewise.
pub(super) const LATER_SECTIONS: &[&str] = &["limits"];
/// Guards that another version knows.
pub(super) const LATER_GUARDS: &[&str] = &[
    "smuggling",
    "early_talker",
    "bare_newline",
    "nul_byte",
    "eight_bit_command",
    "pipelining",
    "tls_framing",
    "bdat_overrun",
    "plaintext_auth",
];

/// The action of this name.
pub fn action(name: &str) -> Option<Action> {
    Action::ALL.into_iter().find(|action| action.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_of_the_datapath_has_its_row() {
        let named: Vec<_> = Reason::ALL.iter().filter(|reason| usize::from(reason.number()) < GUARD_SLOTS).collect();
        let rows: Vec<_> = GUARDS.iter().map(|guard| &guard.reason).collect();
        assert_eq!(rows, named);
        for guard in GUARDS {
            assert!(guard.reason.name().starts_with("guards."), "{:?}", guard.reason);
            assert!(guard.legal.contains(&guard.default), "{:?}", guard.reason);
        }
    }

    #[test]
    fn what_is_left_for_later_is_not_here() {
        for key in LATER_GUARDS {
            assert!(Guard::find(key).is_none(), "{key}");
        }
    }
}
