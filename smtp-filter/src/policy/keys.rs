//! The keys of the policy, one row each. From its row follow how a key is read from a file and by `policy set`, how it
//! is shown, its schema, its line in docs/policy.md and `policy check --actions`, and where it goes in the compiled
//! policy.
//!
//! `profile`, which says what the rest is laid over, and `[[scope]]`, which says for whom, are no keys with a value.

use std::{borrow::Cow, time::Duration};

use smtp_filter_common::{
    action::Action::{self, Downgrade, Drop, Log, Mark, Mask, Pass, Reset},
    policy,
    reason::Reason,
};

use super::{
    key::{Datum, Goes, Key, Kind, Reach, Word},
    section::{ACTION, Section},
};

/// Actions for a command.
pub(super) const COMMANDS: &[Action] = &[Pass, Log, Mark, Mask, Drop, Reset];
/// Actions for EHLO: it alone has a plainer one to become.
pub(super) const EHLO: &[Action] = &[Pass, Log, Mark, Downgrade, Mask, Drop, Reset];
/// Actions for a keyword in the reply to EHLO: the reply itself has to pass.
pub(super) const EXTENSIONS: &[Action] = &[Pass, Log, Mask];
/// Actions for what may go on unread.
const UNREAD: &[Action] = &[Pass, Log, Drop];
/// Actions for what may not.
const DROP_OR_RESET: &[Action] = &[Drop, Reset];

/// Longest grace. Connections that live longer without a segment are gone from every table anyway.
const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Keys whose value is kept by key, each after those before it in its section.
pub(super) static KEYS: &[Key] = &[
    Key {
        path: "ports",
        kind: Kind::Ports,
        default: Datum::Ports(Cow::Borrowed(&[25])),
        meaning: "the TCP ports of the SMTP servers",
        reach: Reach::Whole,
        goes: Goes::Ports,
    },
    Key {
        path: "mode",
        kind: Kind::Word {
            words: &[
                Word {
                    name: "monitor",
                    number: policy::MONITOR,
                    meaning: "Everything passes unchanged; what would have been done is counted and reported.",
                },
                Word { name: "enforce", number: policy::ENFORCE, meaning: "Actions are carried out." },
            ],
            noun: "mode",
        },
        default: Datum::Word("monitor"),
        meaning: "whether actions are carried out",
        reach: Reach::WholeByProfile,
        goes: Goes::Field(|policy, number| policy.mode = number as u8),
    },
    Key {
        path: "capture_envelope",
        kind: Kind::Flag,
        default: Datum::Flag(false),
        meaning: "whether events carry the addresses of MAIL and RCPT",
        reach: Reach::Scope,
        goes: Goes::Field(|policy, number| policy.capture_envelope = number as u8),
    },
    Key {
        path: "banner.show",
        kind: Kind::Word {
            words: &[
                Word { name: "all", number: policy::SHOW_ALL, meaning: "Everything." },
                Word { name: "host", number: policy::SHOW_HOST, meaning: "The host's name and the word ESMTP." },
                Word { name: "host-smtp", number: policy::SHOW_HOST_SMTP, meaning: "The host's name." },
                Word { name: "pix", number: policy::SHOW_PIX, meaning: "The characters 2 and 0." },
            ],
            noun: "",
        },
        default: Datum::Word("all"),
        meaning: "what stays of the server's banner",
        reach: Reach::ScopeByProfile,
        goes: Goes::Field(|policy, number| policy.banner = number as u8),
    },
    Key {
        path: "mask.fill",
        kind: Kind::Word {
            words: &[
                Word { name: "X", number: policy::FILL_X, meaning: "A line of X: the server answers 500." },
                Word {
                    name: "noop",
                    number: policy::FILL_NOOP,
                    meaning: "NOOP, where that can be: the server answers 250.",
                },
            ],
            noun: "",
        },
        default: Datum::Word("X"),
        meaning: "what a masked command becomes",
        reach: Reach::ScopeByProfile,
        goes: Goes::Field(|policy, number| policy.fill = number as u8),
    },
    guard(
        Reason::UnknownConnection,
        UNREAD,
        Drop,
        "a segment of a connection that the filter has no state for; it passes during the grace after `up`",
    ),
    Key {
        path: "guards.unknown_connection.grace",
        kind: Kind::Time { most: GRACE },
        default: Datum::Time(Duration::from_secs(600)),
        meaning: "how long after `up` a connection without state passes",
        reach: Reach::ScopeByProfile,
        // From `up` on: `compile` adds when that was.
        goes: Goes::Field(|policy, number| policy.grace_until = number),
    },
    guard(Reason::Fragment, UNREAD, Drop, "the first fragment of a datagram to or from the ports"),
    guard(
        Reason::Unreadable,
        UNREAD,
        Drop,
        "headers that cannot be read: wrong lengths, chains without end, too many VLAN tags",
    ),
    guard(Reason::SynData, &[Drop], Drop, "payload in a SYN or SYN-ACK"),
    guard(Reason::Urgent, DROP_OR_RESET, Drop, "the urgent flag, by which a receiver takes a byte out of the stream"),
    guard(Reason::Sync, DROP_OR_RESET, Drop, "client bytes after DATA or AUTH before the reply"),
    guard(
        Reason::StarttlsInjection,
        DROP_OR_RESET,
        Reset,
        "client bytes after STARTTLS before its reply, server bytes after the 220",
    ),
    guard(
        Reason::BdatRefused,
        DROP_OR_RESET,
        Reset,
        "client bytes after a BDAT that the server refused, did not offer, or cannot read",
    ),
    guard(Reason::ChangedRetransmission, DROP_OR_RESET, Drop, "a retransmission with other bytes than the first time"),
    guard(Reason::LateEndOfData, &[Reset], Reset, "an end of data before mail data that has already passed"),
    // A reset would do what the forger of the segments wants.
    guard(Reason::SpoofedServer, &[Drop], Drop, "a segment in the server's name from where the client's segments come"),
    guard(
        Reason::Multipath,
        UNREAD,
        Drop,
        "a SYN that asks for Multipath TCP; without an answer its client asks again for plain TCP",
    ),
    // The reply is the server's own, and the client has to see it.
    guard(
        Reason::UnmatchedReply,
        &[Pass, Log],
        Log,
        "a reply that answers no command; from then on no wait after DATA, AUTH or STARTTLS ends",
    ),
    guard(
        Reason::ProxyProtocol,
        &[Pass, Log, Drop, Reset],
        Drop,
        "the header of the PROXY protocol before the dialogue; version 2 is refused in any case",
    ),
    // What is reported alone would go on unread.
    guard(
        Reason::Checksum,
        &[Pass, Drop],
        Drop,
        "a wrong checksum that neither the network card nor the stack has verified; `pass` turns the check off",
    ),
    Key {
        path: "mark.value",
        kind: Kind::Bits,
        default: Datum::Bits(0x19),
        meaning: "the values of the bits that action `mark` sets",
        reach: Reach::Scope,
        goes: Goes::Field(|policy, number| policy.mark_value = number as u32),
    },
    Key {
        path: "mark.mask",
        kind: Kind::Bits,
        default: Datum::Bits(0xff),
        meaning: "which bits of the skb mark action `mark` sets; the others stay as they are",
        reach: Reach::Scope,
        goes: Goes::Field(|policy, number| policy.mark_mask = number as u32),
    },
];

/// Keys of the sections whose words are named by the policy: a word of its own, then those that are named, then the
/// rest. The default is that of profile `monitor`.
pub(super) static BY_NAME: &[Key] = &[
    by_name("commands.EHLO", EHLO, Log, "EHLO, which alone can become HELO (`downgrade`)"),
    by_name("commands.VERB", COMMANDS, Log, "a command with this verb"),
    by_name("commands.other", COMMANDS, Log, "a command whose verb is not named"),
    by_name(
        "extensions.KEYWORD",
        EXTENSIONS,
        Pass,
        "a line with this keyword in the reply to EHLO; `mask` masks the verbs that it announces too",
    ),
    by_name("extensions.other", EXTENSIONS, Pass, "a line in the reply to EHLO whose keyword is not named"),
];

/// Sections, and keys of sections, that another version has.
pub(super) const LATER: &[&str] = &[
    "limits",
    "guards.smuggling",
    "guards.early_talker",
    "guards.bare_newline",
    "guards.nul_byte",
    "guards.eight_bit_command",
    "guards.pipelining",
    "guards.tls_framing",
    "guards.bdat_overrun",
    "guards.plaintext_auth",
];

/// A guard: its reason is its path.
const fn guard(reason: Reason, legal: &'static [Action], default: Action, meaning: &'static str) -> Key {
    Key {
        path: reason.name(),
        kind: Kind::Action(legal),
        default: Datum::Action(default),
        meaning,
        reach: Reach::ScopeByProfile,
        goes: Goes::Guard(reason),
    }
}

const fn by_name(path: &'static str, legal: &'static [Action], default: Action, meaning: &'static str) -> Key {
    Key {
        path,
        kind: Kind::Action(legal),
        default: Datum::Action(default),
        meaning,
        reach: Reach::ScopeByProfile,
        goes: Goes::ByName,
    }
}

/// Every key, in the order of the file.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    let named = |key: &&Key| key.section().is_empty();
    KEYS.iter().filter(named).chain(BY_NAME).chain(KEYS.iter().filter(move |key| !named(key)))
}

/// The key of this path, which is written as it is here.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The keys at the top of the file.
pub(super) fn top() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| key.section().is_empty())
}

/// What `policy set` takes before the `=`, but for words that a policy names.
pub fn settable() -> impl Iterator<Item = String> {
    KEYS.iter().map(|key| {
        let has_parts = key.part().is_none()
            && KEYS
                .iter()
                .any(|other| (other.section(), other.name()) == (key.section(), key.name()) && other.part().is_some());
        if has_parts { format!("{}.{ACTION}", key.path) } else { key.path.to_owned() }
    })
}

/// Whether a setting of the command line says what is done, rather than how: only that needs mode `enforce`.
pub fn acts(setting: &str) -> bool {
    let section = setting.split('.').next().unwrap_or_default();
    section == "scope" || Section::find(section).is_some_and(|section| section.acts)
}
