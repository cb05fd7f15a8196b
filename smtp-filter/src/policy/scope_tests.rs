//! Scopes in a file: what is refused, and what is inherited.

use std::time::Duration;

use smtp_filter_common::action::Action;

use super::*;

pub(super) const TWO: &str = "\
profile = \"hardened\"
[[scope]]
name = \"printer\"
clients = [\"10.1.2.3\", \"2001:db8::/32\"]
commands = { EHLO = \"pass\" }
[scope.extensions]
AUTH = \"pass\"
[[scope]]
name = \"Outbound\"
clients = [\"10.0.0.0/8\"]
servers = [\"192.0.2.0/24\"]
capture_envelope = true
banner = { show = \"pix\" }
mask = { fill = \"noop\" }
guards = { sync = \"drop\", unknown_connection = { grace = \"5m\" } }
mark = { value = 0x3 }
";

pub(super) fn document(text: &str) -> Document {
    parse("p.toml", text).unwrap()
}

fn refused(text: &str) -> String {
    parse("p.toml", text).unwrap_err().to_string()
}

fn captures(document: &Document) -> bool {
    document.values.get("capture_envelope") == Some(&Datum::Flag(true))
}

/// Value and mask.
fn mark(document: &Document) -> (u32, u32) {
    let bits = |key: &str| document.values.bits(key).unwrap();
    (bits("mark.value"), bits("mark.mask"))
}

pub(super) fn within(document: &Document, scope: &str) -> Document {
    document.within(document.scope(scope).unwrap())
}

#[test]
fn each_fault_of_a_scope_is_refused_with_its_place_and_what_was_expected() {
    let head = "[[scope]]\nname = \"a\"\n";
    let listed = "clients = [\"10.0.0.0/8\"]\n";
    let cases: &[(&str, &str)] = &[
        ("scope = 3", "1:9: scope: expected tables [[scope]], found a number"),
        ("[scope]\nname = \"a\"", "1:1: scope: expected tables [[scope]], found a table"),
        ("scope = [3]", "1:10: scope: expected a table, found a number"),
        (
            "\n[[scope]]\nclients = [\"10.0.0.0/8\"]",
            "2:1: scope: it has no name; expected name = \"...\", by which events name it",
        ),
        (
            "[[scope]]\nname = 1",
            "2:8: scope.name: expected a name of 1 to 32 letters, digits, `-` and `_`, found a number",
        ),
        (
            "[[scope]]\nname = \"a.b\"",
            "2:8: scope.name: `a.b` is no name of a scope; expected 1 to 32 letters, digits, `-` and `_`",
        ),
        (
            "[[scope]]\nname = \"\"",
            "2:8: scope.name: `` is no name of a scope; expected 1 to 32 letters, digits, `-` and `_`",
        ),
        (
            "HEADLIST[[scope]]\nname = \"a\"\nservers = [\"10.0.0.1\"]",
            "5:8: scope.a: another scope has this name; expected each name once",
        ),
        ("HEAD", "1:1: scope.a: neither clients nor servers; expected at least one of them"),
        (
            "HEADclients = []",
            "3:11: scope.a.clients: an empty list holds nobody; expected an address or a prefix, or no list",
        ),
        (
            "HEADservers = \"10.0.0.0/8\"",
            "3:11: scope.a.servers: expected a list of addresses and prefixes such as [\"192.0.2.0/24\"], found a string",
        ),
        (
            "HEADservers = [10]",
            "3:12: scope.a.servers: expected an address or a prefix such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.25, in quotes; found a number",
        ),
        (
            "HEADclients = [\n  \"10.0.0.0/8\",\n  \"10.0.0/8\"]",
            "5:3: scope.a.clients: `10.0.0/8` is no address and no prefix; expected one such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.25",
        ),
        (
            "HEADclients = [\"10.0.0.0/33\"]",
            "3:12: scope.a.clients: `10.0.0.0/33` is no address and no prefix; expected one such as",
        ),
        (
            "HEADclients = [\"10.1.2.3/8\"]",
            "3:12: scope.a.clients: `10.1.2.3/8` has bits set after its first 8; expected 10.0.0.0/8",
        ),
        (
            "HEADclients = [\"2001:db8::1/32\"]",
            "3:12: scope.a.clients: `2001:db8::1/32` has bits set after its first 32; expected 2001:db8::/32",
        ),
        (
            "HEADclients = [\"::ffff:10.0.0.0/104\"]",
            "3:12: scope.a.clients: `::ffff:10.0.0.0/104` is IPv4 written as IPv6; expected 10.0.0.0/8",
        ),
        (
            "HEADclients = [\"::ffff:10.1.0.0/104\"]",
            "3:12: scope.a.clients: `::ffff:10.1.0.0/104` is IPv4 written as IPv6; expected 10.0.0.0/8",
        ),
        (
            "HEADclients = [\"::ffff:10.0.0.1\"]",
            "3:12: scope.a.clients: `::ffff:10.0.0.1` is IPv4 written as IPv6; expected 10.0.0.1/32",
        ),
        (
            "HEADclients = [\"::ffff:0:0/96\"]",
            "3:12: scope.a.clients: `::ffff:0:0/96` is IPv4 written as IPv6; expected 0.0.0.0/0",
        ),
        (
            "HEADclients = [\"10.0.0.1\", \"10.0.0.1/32\"]",
            "3:24: scope.a.clients: 10.0.0.1/32 is listed twice; expected each prefix once",
        ),
        (
            "HEADLISTmode = \"monitor\"",
            "4:1: scope.a: mode belongs to the whole policy and holds for every scope; expected it above the first [[scope]]",
        ),
        ("HEADLISTports = [25]", "4:1: scope.a: ports belongs to the whole policy"),
        ("HEADLISTprofile = \"monitor\"", "4:1: scope.a: profile belongs to the whole policy"),
        (
            "HEADLISTserver = []",
            "4:1: scope.a: unknown key `server`; expected name, clients, servers, capture_envelope, commands, extensions, banner, mask, guards or mark",
        ),
        (
            "HEADLISTcommands = { HELO = \"downgrade\" }",
            "4:21: scope.a.commands.HELO: `downgrade` is not legal here; expected pass, log, mark, mask, drop or reset",
        ),
        ("HEADLISTcommands = 3", "4:12: scope.a.commands: expected a table of verbs and actions, found a number"),
        (
            "HEADLIST[scope.extensions]\nsize = \"drop\"",
            "5:8: scope.a.extensions.size: `drop` is not legal here; expected pass, log or mask",
        ),
        (
            "HEADLISTbanner = { show = \"none\" }",
            "4:19: scope.a.banner.show: expected all, host, host-smtp or pix, found `none`",
        ),
        ("HEADLISTmask = { show = \"X\" }", "4:10: scope.a.mask: unknown key `show`; expected fill"),
        (
            "HEADLISTguards = { sync = \"log\" }",
            "4:19: scope.a.guards.sync: `log` is not legal here; expected drop or reset",
        ),
        (
            "HEADLISTguards = { unknown_connection = { grace = \"8days\" } }",
            "4:43: scope.a.guards.unknown_connection.grace: `8days` is too long; expected at most \"7days\"",
        ),
        ("HEADLISTcapture_envelope = 1", "4:20: scope.a.capture_envelope: expected true or false, found a number"),
        ("HEADLISTmark = { value = -1 }", "4:18: scope.a.mark.value: -1 has no 32 bits; expected 0 to 0xffffffff"),
        (
            "HEADLISTmark = { value = 0x100 }",
            "4:8: scope.a.mark: value 0x100 has bits that mask 0xff leaves alone; expected a value within the mask",
        ),
    ];
    for (text, expected) in cases {
        let text = text.replace("HEADLIST", &format!("{head}{listed}")).replace("HEAD", head);
        let found = refused(&text);
        assert!(found.starts_with(&format!("p.toml:{expected}")), "{text:?}\n  {found}\n  {expected}");
        assert!(!found.contains('\n'), "{found}");
    }
    let long = format!("[[scope]]\nname = \"{}\"\nclients = [\"10.0.0.0/8\"]", "x".repeat(33));
    assert!(refused(&long).contains("is no name of a scope"));
    assert!(parse("p", &long.replace("xx", "x")).is_ok());
}

#[test]
fn a_pair_of_prefixes_that_two_scopes_name_is_refused() {
    let pair = |one: &str, other: &str| format!("[[scope]]\nname = \"a\"\n{one}\n[[scope]]\nname = \"b\"\n{other}\n");
    let clients = "clients = [\"10.0.0.0/8\", \"192.0.2.1\"]";
    let servers = "servers = [\"2001:db8::/32\"]";
    let cases = [
        (
            clients,
            "clients = [\"10.1.0.0/16\",\n \"192.0.2.1\"]",
            "7:2: scope.b: clients 192.0.2.1/32 and all servers are",
        ),
        (servers, servers, "6:12: scope.b: all clients and servers 2001:db8::/32 are"),
        (
            &format!("{clients}\n{servers}"),
            "servers = [\"192.0.2.0/24\", \"2001:db8::/32\"]\nclients = [\"10.0.0.0/8\"]",
            "8:12: scope.b: clients 10.0.0.0/8 and servers 2001:db8::/32 are",
        ),
    ];
    for (one, other, expected) in cases {
        let found = refused(&pair(one, other));
        let rest = "those of scope.a, too, so that neither decides; expected each pair of a client prefix and a server \
                    prefix in one scope";
        assert_eq!(found, format!("p.toml:{expected} {rest}"));
    }
    for (one, other) in [
        (clients, servers),
        (clients, "clients = [\"10.0.0.0/9\"]"),
        (clients, &format!("{clients}\n{servers}")),
        (&format!("{clients}\nservers = [\"192.0.2.25\"]"), &format!("{clients}\n{servers}")),
        // Every address of IPv6 is still more than nothing said.
        ("clients = [\"::/0\"]", "clients = [\"0.0.0.0/0\"]"),
        ("clients = [\"::/0\"]\nservers = [\"192.0.2.25\"]", "servers = [\"192.0.2.25\"]"),
    ] {
        assert!(parse("p", &pair(one, other)).is_ok(), "{one} {other}");
    }
}

#[test]
fn there_may_be_63_scopes_and_a_million_prefixes() {
    let scopes = |number: usize| -> String {
        (0..number).map(|i| format!("[[scope]]\nname = \"s{i}\"\nclients = [\"10.{i}.0.0/16\"]\n")).collect()
    };
    assert_eq!(document(&scopes(63)).scopes.len(), 63);
    assert_eq!(refused(&scopes(64)), "p.toml:190:1: scope.s63: the scope after the 63th; expected at most 63");
    let prefixes = |from: u32, number: u32| -> Vec<ipnet::IpNet> {
        let address = |i: u32| std::net::IpAddr::from(std::net::Ipv4Addr::from(from + 2 * i));
        (0..number).map(|i| address(i).into()).collect()
    };
    let mut two = document(&scopes(2));
    two.scopes[0].clients = Some(prefixes(0, (1 << 20) - 1));
    two.scopes[1].clients = Some(prefixes(1 << 30, 1));
    assert_eq!(scope_check::check(&two, &[]), Ok(()));
    two.scopes[1].servers = Some(prefixes(0, 1));
    let found = scope_check::check(&two, &[]).unwrap_err().message;
    assert_eq!(found, "scope.s1: 1048577 prefixes with those of the scopes before; expected at most 1048576");
}

#[test]
fn a_scope_names_64_words_with_those_of_the_whole() {
    let verbs = |from: usize, to: usize| (from..to).map(|i| format!("V{i} = \"drop\"\n")).collect::<String>();
    let text = |own: usize, scope: usize| {
        let (own, scope) = (verbs(0, own), verbs(40, 40 + scope));
        format!("[commands]\n{own}[[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\"]\n[scope.commands]\n{scope}")
    };
    // Verbs that the profile only counts make room in the scope as in the whole.
    let fits = document(&text(40, 24));
    assert_eq!(within(&fits, "a").commands.named.len(), 64);
    assert_eq!(
        refused(&text(40, 25)),
        "p.toml:45:1: scope.a.commands: 65 verbs together with those of the whole policy; expected at most 64"
    );
    let keywords = |number: usize| (0..number).map(|i| format!("K{i} = \"log\"\n")).collect::<String>();
    assert_eq!(
        refused(&format!(
            "profile = \"hardened\"\n[[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\"]\n[scope.extensions]\n{}",
            keywords(60)
        )),
        "p.toml:5:1: scope.a.extensions: 73 keywords together with those of the whole policy; expected at most 64"
    );
    // A change of the whole is refused where a scope has no room for it.
    let more: Vec<String> = (100..110).map(|i| format!("commands.v{i}=drop")).collect();
    assert_eq!(
        set(&fits, &more).unwrap_err(),
        "scope.a.commands: 74 verbs together with those of the whole policy; expected at most 64"
    );
}

#[test]
fn all_scopes_together_name_no_more_words_than_there_are_counters() {
    let scope = |at: usize| {
        let verbs: String = (0..50).map(|i| format!("S{at}V{i} = \"drop\"\n")).collect();
        format!("[[scope]]\nname = \"s{at}\"\nclients = [\"10.{at}.0.0/16\"]\n[scope.commands]\n{verbs}")
    };
    let text: String = (0..6).map(scope).collect();
    assert!(parse("p", &(0..4).map(scope).collect::<String>()).is_ok());
    let found = refused(&text);
    assert!(
        found.ends_with(
            "scope.s4: 280 different verbs with those of the whole policy and the scopes before; expected at most 255"
        ),
        "{found}"
    );
}

#[test]
fn what_a_scope_does_not_set_is_as_in_the_whole() {
    let both = document(TWO);
    let printer = within(&both, "printer");
    assert_eq!((printer.commands.action("EHLO"), printer.commands.action("VRFY")), (Action::Pass, Action::Mask));
    assert_eq!(
        (printer.extensions.action("AUTH"), printer.extensions.action("CHUNKING")),
        (Action::Pass, Action::Mask)
    );
    assert_eq!((printer.values.word("banner.show"), captures(&printer)), ("host", false));
    let outbound = within(&both, "Outbound");
    assert_eq!(
        (outbound.values.word("banner.show"), outbound.values.word("mask.fill"), captures(&outbound)),
        ("pix", "noop", true)
    );
    let guard = |name: &str| outbound.values.action(&format!("guards.{name}")).unwrap();
    assert_eq!(
        (guard("sync"), guard("urgent"), guard("unknown_connection")),
        (Action::Drop, Action::Reset, Action::Drop)
    );
    assert_eq!(
        (outbound.values.time("guards.unknown_connection.grace"), mark(&outbound)),
        (Some(Duration::from_secs(300)), (3, 0xff))
    );
    assert!(both.differs_from_profile() && outbound.scopes.is_empty());
    // And stays so when the whole changes.
    let after =
        set(&both, &["commands.vrfy=drop", "commands.ehlo=reset", "mark.mask=0xf", "mark.value=1", "mode=monitor"])
            .unwrap();
    let printer = within(&after, "printer");
    assert_eq!((printer.commands.action("EHLO"), printer.commands.action("VRFY")), (Action::Pass, Action::Drop));
    assert_eq!((printer.values.mode(), mark(&within(&after, "Outbound"))), (Mode::Monitor, (3, 0xf)));
    // A profile does not speak of scopes.
    let after = set(&both, &["profile=monitor"]).unwrap();
    assert_eq!(after.scopes, both.scopes);
    assert_eq!(within(&after, "printer").commands.action("VRFY"), Action::Log);
}

#[test]
fn other_of_a_scope_means_every_verb_that_nobody_names() {
    let document = document(
        "[commands]\nXYZ = \"log\"\n\
         [[scope]]\nname = \"a\"\nclients = [\"10.0.0.0/8\"]\ncommands = { other = \"drop\", HELO = \"log\" }\n",
    );
    let inside = within(&document, "a");
    let actions = ["XYZ", "HELO", "EHLO", "QUIT"].map(|verb| inside.commands.action(verb));
    assert_eq!(actions, [Action::Log, Action::Log, Action::Drop, Action::Drop]);
    assert_eq!(document.commands.action("EHLO"), Action::Log);
}

#[test]
fn the_scope_that_decides_is_said() {
    let document = document(TWO);
    let decides = |client: Option<&str>, server: Option<&str>| {
        let address = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        let scope = document.deciding(address(client), address(server)).unwrap();
        scope.map(|scope| scope.name.as_str().to_owned()).unwrap_or_default()
    };
    assert_eq!(decides(Some("10.1.2.3"), Some("192.0.2.25")), "printer");
    assert_eq!(decides(Some("::ffff:10.1.2.3"), None), "printer");
    assert_eq!(decides(Some("10.1.2.4"), Some("192.0.2.25")), "Outbound");
    assert_eq!(decides(Some("10.1.2.4"), None), "");
    assert_eq!(decides(None, Some("192.0.2.25")), "");
    assert_eq!(decides(Some("2001:db8::9"), Some("2001:db8::25")), "printer");
    assert_eq!(decides(Some("192.0.2.1"), None), "");
}
