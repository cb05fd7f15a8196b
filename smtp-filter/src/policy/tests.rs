//! What a policy is after a file or settings, and what is refused besides the table of `fault_tests`.

use std::time::Duration;

use proptest::prelude::*;
use smtp_filter_common::{action::Action, reason::Reason};

use super::{
    keys::{COMMANDS, EHLO, EXTENSIONS},
    *,
};

pub(super) fn refused(text: &str) -> String {
    parse("p.toml", text).unwrap_err().to_string()
}

fn document(text: &str) -> Document {
    parse("p.toml", text).unwrap()
}

fn of(document: &Document, verb: &str) -> Option<Action> {
    document.commands.named.get(&WordName::new(verb).unwrap()).copied()
}

fn guard(document: &Document, key: &str) -> Action {
    document.values.action(&format!("guards.{key}")).unwrap()
}

fn grace(document: &Document) -> Duration {
    document.values.time("guards.unknown_connection.grace").unwrap()
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_at_their_place() {
    let error = parse_bytes("p.toml", b"mode = \"monitor\"\n# M\xfcller\n").unwrap_err();
    assert_eq!(error.to_string(), "p.toml:2:4: byte 0xfc is not UTF-8; expected a text file in UTF-8");
}

#[test]
fn a_hostile_file_cannot_reach_the_terminal() {
    for text in
        ["\"a\\u001b[2Jb\" = 1", "[commands]\n\"\\u001b]0;x\" = \"drop\"", "mode = \"\\u001b[31m\"", "\u{1b}[2J = 1"]
    {
        let error = refused(text);
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
}

#[test]
fn an_empty_file_is_the_default_profile() {
    assert_eq!(document(""), Profile::Monitor.document());
    assert_eq!(document("").values.mode(), Mode::Monitor);
    assert!(!document("").differs_from_profile());
}

#[test]
fn what_a_file_says_overrides_its_profile_wherever_it_stands() {
    let document = document("mode = \"monitor\"\nprofile = \"drop-esmtp\"\n[commands]\nehlo = \"mark\"\n");
    assert_eq!((document.profile, document.values.mode()), (Profile::DropEsmtp, Mode::Monitor));
    assert_eq!((of(&document, "EHLO"), of(&document, "STARTTLS")), (Some(Action::Mark), Some(Action::Drop)));
    assert!(document.differs_from_profile());
}

#[test]
fn everything_of_rfc_821_passes_in_the_enforcing_profiles() {
    for profile in [Profile::MarkEsmtp, Profile::DropEsmtp] {
        let document = profile.document();
        for verb in RFC_821 {
            assert_eq!(of(&document, verb), Some(Action::Pass), "{verb}");
        }
        assert!(document.commands.other <= Action::Log);
    }
}

#[test]
fn defaults_of_the_guards() {
    let document = Profile::Monitor.document();
    let guards = keys().filter(|key| key.section() == "guards");
    let reset: Vec<_> =
        guards.filter(|key| document.values.action(key.path) == Some(Action::Reset)).map(Key::name).collect();
    assert_eq!(reset, ["starttls_injection", "bdat_refused", "late_end_of_data"]);
    assert_eq!(grace(&document), Duration::from_secs(600));
}

#[test]
fn unknown_connection_takes_a_plain_action_or_a_table() {
    let plain = document("[guards]\nUnknown_Connection = \"log\"");
    assert_eq!((guard(&plain, "unknown_connection"), grace(&plain)), (Action::Log, Duration::from_secs(600)));
    let table = document("[guards]\nunknown_connection = { grace = \"1h 30s\" }");
    assert_eq!((guard(&table, "unknown_connection"), grace(&table)), (Action::Drop, Duration::from_secs(3630)));
    let dotted = document("[guards.unknown_connection]\naction = \"pass\"\ngrace = \"0s\"");
    assert_eq!((guard(&dotted, "unknown_connection"), grace(&dotted)), (Action::Pass, Duration::ZERO));
}

#[test]
fn other_means_every_verb_that_the_file_does_not_name() {
    let document = document("mode = \"enforce\"\n[commands]\nHELO = \"log\"\nother = \"drop\"\n");
    assert_eq!((of(&document, "HELO"), of(&document, "EHLO")), (Some(Action::Log), None));
    assert_eq!(document.commands.other, Action::Drop);
}

#[test]
fn other_leaves_the_verbs_that_the_profile_singles_out() {
    let document = document("profile = \"drop-esmtp\"\n[commands]\nother = \"reset\"\n");
    assert_eq!((of(&document, "EHLO"), of(&document, "HELO")), (Some(Action::Drop), Some(Action::Pass)));
}

#[test]
fn sixty_four_names_fit_beside_a_profile_that_only_counts() {
    let verbs: String = (0..64).map(|i| format!("V{i} = \"log\"\n")).collect();
    assert_eq!(document(&format!("[commands]\n{verbs}")).commands.named.len(), 64);
    let error = refused(&format!("profile = \"drop-esmtp\"\n[commands]\n{verbs}"));
    assert_eq!(
        error,
        "p.toml:2:1: commands: 94 verbs together with those that profile drop-esmtp names; expected at most 64"
    );
}

#[test]
fn sixty_four_keywords_fit_beside_a_profile_that_only_counts() {
    let keywords: String = (0..64).map(|i| format!("K{i} = \"mask\"\n")).collect();
    // In `monitor` the 64 verbs of the same names push out those that are only counted; `drop-esmtp` needs its own.
    let document = document(&format!("[extensions]\n{keywords}"));
    assert_eq!((document.extensions.named.len(), document.commands.named.len()), (64, 0));
    assert_eq!(document.effective_verbs().len(), 64);
    assert_eq!(
        refused(&format!("profile = \"drop-esmtp\"\n[extensions]\n{keywords}")),
        "p.toml:2:1: commands: 94 verbs together with those that profile drop-esmtp names and masked extensions \
         announce; expected at most 64"
    );
    let verbs: String = (0..30).map(|i| format!("V{i} = \"drop\"\n")).collect();
    let announced: String = (0..35).map(|i| format!("K{i} = \"mask\"\n")).collect();
    assert_eq!(
        refused(&format!("[extensions]\n{announced}[commands]\n{verbs}")),
        "p.toml:37:1: commands: 65 verbs together with those that profile monitor names and masked extensions announce; \
         expected at most 64"
    );
    let logged = keywords.replace("mask", "log");
    assert_eq!(
        refused(&format!("profile = \"hardened\"\n[extensions]\n{logged}")),
        "p.toml:2:1: extensions: 77 keywords together with those that profile hardened names; expected at most 64"
    );
}

#[test]
fn other_of_the_extensions_means_every_keyword_that_the_file_does_not_name() {
    let document = document("profile = \"hardened\"\n[extensions]\nSIZE = \"mask\"\nother = \"pass\"\n");
    let action = |keyword: &str| document.extensions.action(keyword);
    assert_eq!((action("SIZE"), action("XYZ"), action("STARTTLS")), (Action::Mask, Action::Pass, Action::Pass));
    // What the profile hid by name it hid as it hid all others.
    assert_eq!(action("VRFY"), Action::Pass);
    assert_eq!(document.effective_verbs()["AUTH"].action, Action::Pass);
    assert_eq!(document.effective_verbs()["VRFY"].action, Action::Mask);
}

#[test]
fn what_is_masked_with_its_extension_is_said_in_the_file() {
    let text = to_toml(&document("[commands]\nother = \"log\"\n[extensions]\nCHUNKING = \"mask\"\nX1 = \"mask\"\n"));
    assert!(text.contains("\nBDAT = \"log\" # masked with the extension CHUNKING\n"), "{text}");
    assert!(text.contains("\n# X1 is masked with the extension X1\n"), "{text}");
    assert_eq!(text.matches('#').count(), 2, "{text}");
}

#[test]
fn set_takes_paths_of_the_file() {
    let base = Profile::Monitor.document();
    let after = set(
        &base,
        &[
            "commands.ehlo=drop",
            "extensions.starttls=mask",
            "extensions.other=log",
            "banner.show=host",
            "mask.fill=noop",
            "guards.sync=reset",
            "guards.unknown_connection.grace=5m",
            "guards.unknown_connection.action=log",
            "mode=enforce",
            "ports=25,587",
            "mark.value=0x7",
            "capture_envelope=true",
        ],
    )
    .unwrap();
    assert_eq!((of(&after, "EHLO"), of(&after, "HELO")), (Some(Action::Drop), Some(Action::Log)));
    assert_eq!((after.extensions.action("STARTTLS"), after.extensions.other), (Action::Mask, Action::Log));
    assert_eq!((after.values.word("banner.show"), after.values.word("mask.fill")), ("host", "noop"));
    assert_eq!(guard(&after, "sync"), Action::Reset);
    assert_eq!((guard(&after, "unknown_connection"), grace(&after).as_secs()), (Action::Log, 300));
    assert_eq!((after.values.mode(), after.values.ports()), (Mode::Enforce, [25, 587].as_slice()));
    assert_eq!(
        (after.values.bits("mark.value"), after.values.get("capture_envelope")),
        (Some(7), Some(&Datum::Flag(true)))
    );
    assert_eq!(set(&base, &["ports=[2525]"]).unwrap().values.ports(), [2525]);
    assert_eq!(set(&base, &["mode=\"enforce\""]).unwrap().values.mode(), Mode::Enforce);
}

#[test]
fn set_of_a_profile_keeps_what_no_profile_speaks_of() {
    let base = set(&Profile::Monitor.document(), &["ports=2525", "mark.value=1", "commands.helo=reset"]).unwrap();
    let after = set(&base, &["commands.help=drop", "profile=drop-esmtp"]).unwrap();
    assert_eq!((after.profile, after.values.mode()), (Profile::DropEsmtp, Mode::Enforce));
    assert_eq!((after.values.ports(), after.values.bits("mark.value")), ([2525].as_slice(), Some(1)));
    assert_eq!((of(&after, "HELO"), of(&after, "HELP")), (Some(Action::Pass), Some(Action::Drop)));
}

#[test]
fn set_of_other_leaves_what_the_same_command_names() {
    let after = set(&Profile::Monitor.document(), &["commands.helo=log", "commands.other=drop"]).unwrap();
    assert_eq!((of(&after, "HELO"), of(&after, "EHLO"), after.commands.other), (Some(Action::Log), None, Action::Drop));
}

#[test]
fn set_refuses_with_the_argument() {
    let base = Profile::Monitor.document();
    let cases = [
        ("commands.ehlo", "`commands.ehlo`: expected KEY=VALUE such as commands.ehlo=drop"),
        ("=drop", "`=drop`: expected a key before the `=`"),
        ("commands.=drop", "`commands.=drop`: expected a key before the `=`"),
        (
            "commands.helo=downgrade",
            "`commands.helo=downgrade`: commands.helo: `downgrade` is not legal here; expected pass, log, mark, mask, drop or reset",
        ),
        (
            "extensions.starttls=drop",
            "`extensions.starttls=drop`: extensions.starttls: `drop` is not legal here; expected pass, log or mask",
        ),
        ("banner.show=x", "`banner.show=x`: banner.show: expected all, host, host-smtp or pix, found `x`"),
        ("mask.fill=x", "`mask.fill=x`: mask.fill: expected X or noop, found `x`"),
        (
            "limits.recipients.max=100",
            "`limits.recipients.max=100`: this version does not have [limits]; expected profile, ports, mode, [[scope]], capture_envelope, [commands], [extensions], [banner], [mask], [guards] or [mark]",
        ),
        (
            "ports=465",
            "`ports=465`: ports: 465 is TLS from the first byte and has no commands to read; expected ports of plain SMTP such as 25 or 587",
        ),
        ("ports=smtp", "`ports=smtp`: ports: expected a list of TCP ports such as [25], found a string"),
        ("mode.x=monitor", "`mode.x=monitor`: mode: expected \"monitor\" or \"enforce\", found a table"),
        (
            "profile=strict",
            "`profile=strict`: profile: there is no profile `strict`; expected monitor, mark-esmtp, drop-esmtp, helo-only, pix-mailguard, asa-esmtp or hardened",
        ),
    ];
    for (argument, expected) in cases {
        assert_eq!(set(&base, &[argument]).unwrap_err(), expected);
    }
}

#[test]
fn json_has_the_structure_of_the_file() {
    let json = serde_json::to_value(document("[commands]\nEHLO = \"drop\"\nother = \"pass\"")).unwrap();
    assert_eq!(json["profile"], "monitor");
    assert_eq!(json["ports"], serde_json::json!([25]));
    assert_eq!(json["mode"], "monitor");
    assert_eq!(json["capture_envelope"], false);
    assert_eq!(json["commands"], serde_json::json!({ "EHLO": "drop", "other": "pass" }));
    assert_eq!(json["extensions"], serde_json::json!({ "other": "pass" }));
    assert_eq!(json["banner"], serde_json::json!({ "show": "all" }));
    assert_eq!(json["mask"], serde_json::json!({ "fill": "X" }));
    let rewriting = document("[extensions]\nauth = \"mask\"\n[banner]\nshow = \"host-smtp\"\n[mask]\nfill = \"noop\"");
    let rewriting = serde_json::to_value(rewriting).unwrap();
    assert_eq!(rewriting["extensions"], serde_json::json!({ "AUTH": "mask", "other": "pass" }));
    assert_eq!((&rewriting["banner"]["show"], &rewriting["mask"]["fill"]), (&"host-smtp".into(), &"noop".into()));
    assert_eq!(json["guards"]["unknown_connection"], serde_json::json!({ "action": "drop", "grace": "10m" }));
    assert_eq!(json["guards"]["late_end_of_data"], "reset");
    assert_eq!(json["mark"], serde_json::json!({ "value": 25, "mask": 255 }));
}

/// Values of a key, every one of them where they are few.
pub(super) fn samples(key: &Key) -> Vec<Datum> {
    match &key.kind {
        Kind::Action(legal) => legal.iter().map(|action| Datum::Action(*action)).collect(),
        Kind::Word { words, .. } => words.iter().map(|word| Datum::Word(word.name)).collect(),
        // Within the default mask, with the default value, and the first ones within each other.
        Kind::Bits => [0x1d, 0x19, 0x3f, 0xff].map(Datum::Bits).to_vec(),
        Kind::Number { most, unit } => [0, 1, 1_000, *most].map(|number| Datum::Number(number, *unit)).to_vec(),
        Kind::Time { most } => {
            vec![Datum::Time(Duration::ZERO), Datum::Time(*most), Datum::Time(Duration::from_millis(90_500))]
        }
        Kind::Flag => vec![Datum::Flag(false), Datum::Flag(true)],
        Kind::Ports => vec![Datum::Ports(vec![25].into()), Datum::Ports(vec![2525, 65_535].into())],
    }
}

/// Any document that a file can give.
pub(super) fn documents() -> impl Strategy<Value = Document> {
    let verbs = proptest::collection::vec(("[!-~]{1,16}", proptest::sample::select(COMMANDS)), 0..30);
    let keywords = proptest::collection::vec(("[!-<>-~]{1,16}", proptest::sample::select(EXTENSIONS)), 0..4);
    let rewriting =
        (keywords, proptest::sample::select(EXTENSIONS), proptest::option::of(proptest::sample::select(EHLO)));
    let key = || proptest::sample::select(super::keys::KEYS.iter().collect::<Vec<_>>());
    let values = proptest::collection::vec((key(), any::<usize>()), 0..9);
    (
        proptest::sample::select(Profile::ALL.as_slice()),
        proptest::collection::btree_set((1..=u16::MAX).prop_filter("TLS", |port| *port != 465), 1..20),
        verbs,
        proptest::sample::select(COMMANDS),
        values,
        0..600_000_u64,
        any::<u32>(),
        rewriting,
    )
        .prop_map(|(profile, ports, verbs, other, values, grace, mark, rewriting)| {
            let (keywords, other_keyword, ehlo) = rewriting;
            let mut document = profile.document();
            for (key, at) in values {
                let samples = samples(key);
                document.values.set(key, samples[at % samples.len()].clone());
            }
            document.values.set_ports(ports.into_iter().collect());
            for (verb, action) in verbs {
                if !verb.eq_ignore_ascii_case("other") {
                    document.commands.named.insert(WordName::new(&verb).unwrap(), action);
                }
            }
            document.commands.other = other;
            document.commands.named.extend(ehlo.and_then(|action| Some((WordName::new("EHLO")?, action))));
            for (keyword, action) in keywords {
                if !keyword.eq_ignore_ascii_case("other") {
                    document.extensions.named.insert(WordName::new(&keyword).unwrap(), action);
                }
            }
            document.extensions.other = other_keyword;
            let mut set = |path: &str, value: Datum| {
                document.values.set(super::keys::find(path).unwrap(), value);
            };
            set("guards.unknown_connection.grace", Datum::Time(Duration::from_secs(grace)));
            set("mark.value", Datum::Bits(mark));
            set("mark.mask", Datum::Bits(mark | 1));
            document
        })
}

proptest! {
    #[test]
    fn what_is_shown_can_be_loaded_again(document in documents()) {
        let text = to_toml(&document);
        prop_assert_eq!(parse("shown", &text).unwrap(), document, "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_fall(text in "\\PC{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Err(error) = parse("p", &text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
        let _ = parse_bytes("p", &bytes);
        let _ = set(&Profile::Monitor.document(), &[text]);
    }
}

#[test]
fn every_reason_of_a_guard_is_a_path_of_the_file() {
    let guards = Reason::ALL.iter().filter(|reason| usize::from(reason.number()) < smtp_filter_common::policy::GUARDS);
    for reason in guards {
        let default = Profile::Monitor.document().values.action(reason.name()).unwrap();
        let argument = format!("{}={}", reason.name(), default.name());
        assert!(set(&Profile::Monitor.document(), &[argument]).is_ok(), "{reason:?}");
    }
    let upper = set(&Profile::Monitor.document(), &["guards.SYNC=reset"]).unwrap();
    assert_eq!(upper.values.action(Reason::Sync.name()), Some(Action::Reset));
}
