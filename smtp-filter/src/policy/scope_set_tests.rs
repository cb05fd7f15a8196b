//! Scopes by `policy set`.

use smtp_filter_common::action::Action;

use super::{
    scope_tests::{TWO, document, within},
    *,
};

#[test]
fn set_changes_makes_and_removes_scopes() {
    let base = document(TWO);
    let after = set(
        &base,
        &[
            "scope.printer.commands.ehlo=drop",
            "scope.printer.banner.show=host-smtp",
            "scope.printer.guards.unknown_connection.action=log",
            "scope.printer.clients=[\"192.0.2.7\"]",
            "scope.new.commands.other=reset",
            "scope.new.servers=[10.0.0.0/8, 2001:db8::1]",
            "scope.new2.clients=10.0.0.0/8,192.0.2.9",
            "scope.Outbound=none",
        ],
    )
    .unwrap();
    let names: Vec<&str> = after.scopes.iter().map(|scope| scope.name.as_str()).collect();
    assert_eq!(names, ["printer", "new", "new2"]);
    let printer = after.scope("printer").unwrap();
    assert_eq!(printer.clients.as_deref(), Some(["192.0.2.7/32".parse().unwrap()].as_slice()));
    // What was set before and is not named now stays.
    assert_eq!(within(&after, "printer").extensions.action("AUTH"), Action::Pass);
    assert_eq!(within(&after, "printer").commands.action("EHLO"), Action::Drop);
    assert_eq!(within(&after, "printer").values.word("banner.show"), "host-smtp");
    assert_eq!(within(&after, "new").commands.other, Action::Reset);
    assert_eq!(after.scope("new").unwrap().prefixes() + after.scope("new2").unwrap().prefixes(), 4);
    // Removed and made in one command: it starts over.
    let over = set(&base, &["scope.printer.clients=10.0.0.1", "scope.printer=none"]).unwrap();
    assert_eq!(over.scope("printer").unwrap().settings, Settings::default());
}

#[test]
fn set_of_one_key_leaves_the_others_of_the_scope() {
    let base =
        set(&document(TWO), &["scope.Outbound.commands.other=drop", "scope.Outbound.extensions.other=log"]).unwrap();
    let settings = |document: &Document| document.scope("Outbound").unwrap().settings.clone();
    for (one, back) in [
        ("scope.Outbound.commands.vrfy=drop", "scope.Outbound.commands.vrfy=inherit"),
        ("scope.Outbound.extensions.size=mask", "scope.Outbound.extensions.size=inherit"),
        ("scope.Outbound.guards.urgent=drop", "scope.Outbound.guards.urgent=inherit"),
        ("scope.Outbound.mark.mask=0xf", "scope.Outbound.mark.mask=inherit"),
    ] {
        let after = set(&base, &[one]).unwrap();
        assert_ne!(settings(&after), settings(&base), "{one}");
        assert_eq!(settings(&set(&after, &[back]).unwrap()), settings(&base), "{one}");
    }
}

#[test]
fn set_gives_a_key_of_a_scope_back_to_the_whole() {
    let base = document(TWO);
    let kept = |settings: &[&str]| {
        let after = set(&base, settings).unwrap();
        [after.scope("printer").unwrap().clone(), after.scope("Outbound").unwrap().clone()]
    };
    let [printer, outbound] = kept(&[
        "scope.printer.commands.ehlo=inherit",
        "scope.printer.extensions=inherit",
        "scope.Outbound.capture_envelope=inherit",
        "scope.Outbound.banner.show=inherit",
        "scope.Outbound.mask=inherit",
        "scope.Outbound.guards.sync=inherit",
        "scope.Outbound.guards.unknown_connection.grace=inherit",
        "scope.Outbound.mark.value=inherit",
        "scope.Outbound.servers=any",
    ]);
    assert_eq!((printer.settings, outbound.settings), (Settings::default(), Settings::default()));
    assert_eq!((outbound.servers, outbound.clients.map(|clients| clients.len())), (None, Some(1)));
    let [_, outbound] = kept(&["scope.Outbound.guards.unknown_connection=inherit"]);
    assert_eq!(
        (outbound.settings.values.time("guards.unknown_connection.grace"), outbound.settings.values.bits("mark.value")),
        (None, Some(3))
    );
}

#[test]
fn set_of_scopes_refuses_with_the_argument() {
    let base = document(TWO);
    let cases = [
        (
            "scope=none",
            "`scope=none`: scope: the name of a scope is missing; expected scope.NAME.KEY=VALUE such as scope.inside.commands.ehlo=drop, or scope.NAME=none",
        ),
        (
            "scope.printer=drop",
            "`scope.printer=drop`: scope.printer: expected scope.NAME.KEY=VALUE such as scope.inside.commands.ehlo=drop, or scope.NAME=none",
        ),
        (
            "scope.outbound=none",
            "`scope.outbound=none`: scope: there is no scope `outbound`; expected printer or Outbound",
        ),
        (
            "scope.x.commands.ehlo=drop",
            "`scope.x.commands.ehlo=drop`: scope: there is no scope `x`; expected printer or Outbound; scope.x.clients=... makes a new one",
        ),
        (
            "scope.printer.mode=monitor",
            "`scope.printer.mode=monitor`: scope.printer: mode belongs to the whole policy and holds for every scope; expected it above the first [[scope]]",
        ),
        ("scope.printer.name=x", "`scope.printer.name=x`: scope.printer: unknown key `name`; expected "),
        (
            "scope.printer.clients=10.0.0.1/8",
            "`scope.printer.clients=10.0.0.1/8`: scope.printer.clients: `10.0.0.1/8` has bits set after its first 8; expected 10.0.0.0/8",
        ),
        (
            "scope.printer.clients=[]",
            "`scope.printer.clients=[]`: scope.printer.clients: an empty list holds nobody; expected an address or a prefix, or no list",
        ),
        (
            "scope.printer.clients=any",
            "`scope.printer.clients=any`: scope.printer: neither clients nor servers; expected at least one of them",
        ),
        (
            "scope.printer.commands.ehlo=deny",
            "`scope.printer.commands.ehlo=deny`: scope.printer.commands.ehlo: there is no action `deny`; expected ",
        ),
        (
            "scope.printer.guards.sink=inherit",
            "`scope.printer.guards.sink=inherit`: scope.printer.guards.sink: a scope inherits no such key; expected one such as commands.ehlo, or a whole section",
        ),
        ("commands.ehlo=inherit", "`commands.ehlo=inherit`: commands.ehlo: there is no action `inherit`; expected "),
        (
            "scope.a-name-of-more-than-32-characters.clients=10.0.0.1",
            "`scope.a-name-of-more-than-32-characters....`: scope: `a-name-of-more-than-32-characters` is no name of a scope; expected 1 to 32 letters, digits, `-` and `_`",
        ),
    ];
    for (argument, expected) in cases {
        let found = set(&base, &[argument]).unwrap_err();
        assert!(found.starts_with(expected), "{argument}\n  {found}\n  {expected}");
    }
    let none = set(&Profile::Monitor.document(), &["scope.x=none"]).unwrap_err();
    assert_eq!(none, "`scope.x=none`: scope: there is no scope `x`; expected no scope, for there is none");
}

#[test]
fn a_key_is_set_once_in_a_command() {
    let base = document(TWO);
    for (one, other, key) in [
        ("commands.ehlo=drop", "commands.EHLO=pass", "commands.ehlo"),
        ("mode=monitor", "mode=enforce", "mode"),
        ("profile=monitor", "profile=hardened", "profile"),
        ("mark.value=1", "mark={ value = 2, mask = 3 }", "mark.value"),
        (
            "guards.unknown_connection.grace=1m",
            "guards.unknown_connection={grace=\"2m\"}",
            "guards.unknown_connection.grace",
        ),
        ("scope.printer.commands.vrfy=drop", "scope.printer.commands.vrfy=pass", "scope.printer.commands.vrfy"),
    ] {
        let found = set(&base, &[one, "capture_envelope=true", other]).unwrap_err();
        let other = other.escape_debug();
        assert_eq!(found, format!("`{other}`: {key} is set twice in one command; expected each key once"));
    }
    assert!(set(&base, &["guards.unknown_connection=log", "guards.unknown_connection.grace=1m"]).is_ok());
    let two = set(&base, &["scope.outbound.servers=10.0.0.1", "scope.Outbound.servers=10.0.0.2"]).unwrap();
    assert_eq!(two.scopes.len(), 3, "the case of a scope's name counts");
}
