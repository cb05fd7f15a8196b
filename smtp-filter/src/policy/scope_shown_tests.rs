//! What is shown of scopes, and that it can be loaded again.

use proptest::prelude::*;
use smtp_filter_common::action::Action;

use super::{
    keys::{COMMANDS, EXTENSIONS},
    scope_tests::{TWO, document},
    tests::documents,
    *,
};

#[test]
fn json_shows_what_a_scope_sets() {
    let json = serde_json::to_value(document(TWO)).unwrap();
    let expected = serde_json::json!([
        {
            "name": "printer", "clients": ["10.1.2.3/32", "2001:db8::/32"], "commands": { "EHLO": "pass" },
            "extensions": { "AUTH": "pass" },
        },
        {
            "name": "Outbound", "clients": ["10.0.0.0/8"], "servers": ["192.0.2.0/24"], "capture_envelope": true,
            "banner": { "show": "pix" }, "mask": { "fill": "noop" },
            "guards": { "sync": "drop", "unknown_connection": { "grace": "5m" } }, "mark": { "value": 3 },
        },
    ]);
    assert_eq!(json["scope"], expected);
    assert_eq!(serde_json::to_value(Profile::Monitor.document()).unwrap()["scope"], serde_json::json!([]));
}

#[test]
fn long_lists_are_cut_for_reading_and_then_no_file() {
    let text = |number: u8| {
        let prefixes: String = (0..number).map(|i| format!("\"10.0.{i}.0/24\",")).collect();
        format!("[[scope]]\nname = \"a\"\nservers = [{prefixes}]\n")
    };
    let (short, long) = (document(&text(16)), document(&text(17)));
    assert_eq!(to_text(&short), to_toml(&short));
    let shown = to_text(&long);
    let cut = "\nservers = [\"10.0.0.0/24\", \"10.0.1.0/24\", \"10.0.2.0/24\", \"10.0.3.0/24\", ... 13 more, which --toml lists]\n";
    assert!(shown.contains(cut), "{shown}");
    assert!(parse("shown", &shown).is_err());
    assert_eq!(parse("shown", &to_toml(&long)).unwrap(), long);
}

/// What a scope may set, as TOML.
fn settings() -> impl Strategy<Value = String> {
    let words = |kind: &'static str, actions: &'static [Action]| {
        proptest::collection::btree_map("[A-Z]{2,6}", proptest::sample::select(actions), 0..4).prop_map(move |words| {
            let entries: String =
                words.iter().map(|(word, action)| format!("{word} = \"{}\"\n", action.name())).collect();
            format!("[scope.{kind}]\n{entries}other = \"{}\"\n", actions[words.len() % actions.len()].name())
        })
    };
    let other = [
        "[scope.banner]\nshow = \"host\"\n",
        "[scope.mask]\nfill = \"noop\"\n",
        "[scope.guards]\nsync = \"reset\"\n",
        "[scope.guards]\nunknown_connection = \"log\"\n",
        "[scope.guards]\nunknown_connection = { grace = \"90s\" }\nurgent = \"drop\"\n",
        "[scope.guards.unknown_connection]\ngrace = \"90s\"\naction = \"pass\"\n",
    ];
    let one_of = proptest::option::of(proptest::sample::select(other.to_vec()));
    (
        any::<bool>(),
        proptest::option::of(words("commands", COMMANDS)),
        proptest::option::of(words("extensions", EXTENSIONS)),
        one_of,
    )
        .prop_map(|(captures, commands, extensions, other)| {
            let captures = if captures { "capture_envelope = false\n" } else { "" };
            format!(
                "{captures}{}{}{}",
                commands.unwrap_or_default(),
                extensions.unwrap_or_default(),
                other.unwrap_or_default()
            )
        })
}

proptest! {
    #[test]
    fn what_is_shown_of_scopes_can_be_loaded_again(whole in documents(), settings in proptest::collection::vec(settings(), 1..5)) {
        let scopes: String = settings
            .iter()
            .enumerate()
            .map(|(i, settings)| {
                let servers = if i % 2 == 0 { "servers = [\"2001:db8::/32\", \"192.0.2.0/24\"]\n" } else { "" };
                format!("[[scope]]\nname = \"s-{i}_\"\nclients = [\"10.{i}.0.0/16\", \"::/{i}\"]\n{servers}{settings}")
            })
            .collect();
        let text = format!("{}{scopes}", to_toml(&whole));
        // Most have room for the words of all of them.
        if let Ok(document) = parse("p", &text) {
            prop_assert_eq!(document.scopes.len(), settings.len());
            let shown = to_toml(&document);
            prop_assert_eq!(parse("shown", &shown).unwrap(), document, "{}", shown);
        }
    }
}
