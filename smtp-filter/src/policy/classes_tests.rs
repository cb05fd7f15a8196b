//! The scope that the look-up finds against the rule of the policy file, word by word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use smtp_filter_common::bounds::SCOPE_PAIRS;

use super::{
    classes::scopes,
    scope::{Scope, ScopeName, octets},
    scope_check::check,
    *,
};

fn with(scopes: Vec<Scope>) -> Document {
    Document { scopes, ..Profile::Monitor.document() }
}

fn scope(at: usize, clients: Option<Vec<IpNet>>, servers: Option<Vec<IpNet>>) -> Scope {
    let sorted = |prefixes: Option<Vec<IpNet>>| {
        prefixes.map(|mut prefixes| {
            prefixes.sort_unstable();
            prefixes.dedup();
            prefixes
        })
    };
    let mut scope = Scope::new(ScopeName::new(&format!("s{at}")).unwrap());
    (scope.clients, scope.servers) = (sorted(clients), sorted(servers));
    scope
}

/// How long the longest of the prefixes is that hold the address: nothing said holds everybody, and is the shortest.
fn longest(prefixes: Option<&[IpNet]>, address: IpAddr) -> Option<u32> {
    let Some(prefixes) = prefixes else { return Some(0) };
    let holding = prefixes.iter().filter(|prefix| prefix.contains(&address));
    holding.map(|prefix| u32::from(prefix.prefix_len()) + 1).max()
}

/// The rule: of the scopes whose prefixes hold client and server, the longest client prefix decides, then the longest
/// server prefix.
fn expected(scopes: &[Scope], client: IpAddr, server: IpAddr) -> usize {
    let rank =
        |scope: &Scope| Some((longest(scope.clients.as_deref(), client)?, longest(scope.servers.as_deref(), server)?));
    let ranked = scopes.iter().zip(1..).filter_map(|(scope, number)| Some((rank(scope)?, number)));
    ranked.max().map_or(0, |(_, number)| number)
}

/// Prefixes of few bits, so that they hold one another; of IPv6 many hold ::ffff:0:0, where IPv4 is kept.
fn prefix() -> impl Strategy<Value = IpNet> {
    let ipv4 = (0..8_u32, 0..=5_u8).prop_map(|(bits, length)| Ipv4Net::new_assert((bits << 27).into(), length).into());
    let ipv4_host =
        (0..8_u32, 0..2_u32).prop_map(|(bits, low)| Ipv4Net::new_assert((bits << 27 | low).into(), 32).into());
    let ipv6 =
        (0..8_u128, 0..=5_u8).prop_map(|(bits, length)| Ipv6Net::new_assert((bits << 123).into(), length).into());
    let near = (0..=97_u8, 0..2_u128)
        .prop_map(|(length, last)| Ipv6Net::new_assert((0xffff_0000_0000_u128 ^ last << 32).into(), length).into());
    prop_oneof![ipv4, ipv4_host, ipv6, near].prop_map(|prefix: IpNet| prefix.trunc()).prop_filter(
        "IPv4 written as IPv6",
        |prefix| match prefix {
            IpNet::V6(prefix) => prefix.prefix_len() < 96 || prefix.network().to_ipv4_mapped().is_none(),
            IpNet::V4(_) => true,
        },
    )
}

fn list() -> impl Strategy<Value = Option<Vec<IpNet>>> {
    proptest::option::weighted(0.7, proptest::collection::vec(prefix(), 1..6))
}

fn address() -> impl Strategy<Value = IpAddr> {
    let ipv4 = (0..8_u32, 0..3_u32).prop_map(|(bits, low)| IpAddr::V4((bits << 27 | low).into()));
    let ipv6 = (0..8_u128, 0..3_u128).prop_map(|(bits, low)| IpAddr::V6((bits << 123 | low).into()));
    let near = (0..3_u128, 0..4_u128).prop_map(|(high, low)| IpAddr::V6((0xfffe_0000_0000 ^ high << 33 | low).into()));
    prop_oneof![3 => ipv4, 2 => ipv6, 1 => near].prop_filter("IPv4 written as IPv6", |address| match address {
        IpAddr::V6(address) => address.to_ipv4_mapped().is_none(),
        IpAddr::V4(_) => true,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_look_up_says_what_the_rule_says(
        lists in proptest::collection::vec((list(), list()), 1..8),
        ends in proptest::collection::vec((address(), address()), 40),
    ) {
        // Scopes that no file can have are left out.
        let mut kept: Vec<Scope> = Vec::new();
        for (at, (clients, servers)) in lists.into_iter().enumerate() {
            kept.push(scope(at, clients, servers));
            if check(&with(kept.clone()), &[]).is_err() {
                kept.pop();
            }
        }
        let found = scopes(&kept).unwrap();
        for (client, server) in ends {
            let number = found.number(Some(&octets(client)), Some(&octets(server)));
            prop_assert_eq!(number, expected(&kept, client, server), "{} to {} in {:#?}", client, server, kept);
        }
    }

    #[test]
    fn a_pair_is_refused_exactly_where_both_would_decide(one in (list(), list()), other in (list(), list())) {
        let two = [scope(0, one.0, one.1), scope(1, other.0, other.1)];
        prop_assume!(two.iter().all(|scope| scope.clients.is_some() || scope.servers.is_some()));
        let everything = |list: &Option<Vec<IpNet>>| match list {
            Some(list) => list.iter().map(|prefix| Some(*prefix)).collect(),
            None => vec![None],
        };
        let pairs = |scope: &Scope| {
            let servers = everything(&scope.servers);
            let pairs = |client| servers.iter().map(move |server| (client, *server)).collect::<Vec<_>>();
            everything(&scope.clients).into_iter().flat_map(pairs).collect::<Vec<_>>()
        };
        let [one, other] = [pairs(&two[0]), pairs(&two[1])];
        let twice = one.iter().any(|pair| other.contains(pair));
        prop_assert_eq!(check(&with(two.to_vec()), &[]).is_err(), twice);
    }
}

fn ipv4(bits: u32, length: u8) -> IpNet {
    Ipv4Net::new_assert(Ipv4Addr::from(bits), length).into()
}

#[test]
fn prefixes_that_change_nothing_are_left_out_and_classes_are_few() {
    // A hundred thousand hosts, every second one within a network of the same scope, some thousands of servers.
    let hosts =
        (0..50_000).map(|i| ipv4(0x0a00_0000 + 2 * i, 32)).chain((0..50_000).map(|i| ipv4(0xc000_0000 + i, 32)));
    let servers = (0..5_000).map(|i| ipv4(0xac10_0000 + i, 32));
    let three = [
        scope(0, Some(hosts.chain([ipv4(0x0a00_0000, 8)]).collect()), None),
        scope(1, Some(vec![ipv4(0, 0)]), Some(servers.collect())),
        scope(2, None, Some(vec![ipv4(0xac10_0000, 12), Ipv6Net::default().into()])),
    ];
    let found = scopes(&three).unwrap();
    assert_eq!((found.clients.len(), found.servers.len()), (50_000 + 2, 5_000 + 3));
    // Nobody, everybody, those of the first scope; nobody, the network, its servers, and IPv6.
    assert_eq!(found.pairs.len(), 3 * 3);
    let at = |bits: u32| octets(IpAddr::V4(bits.into()));
    assert_eq!(found.number(Some(&at(0x0a00_0001)), Some(&at(0xac10_0001))), 1);
    assert_eq!(found.number(Some(&at(0xc000_ffff)), Some(&at(0xac10_0001))), 2);
    assert_eq!(found.number(Some(&at(0xc000_ffff)), Some(&at(0xac1f_0001))), 3);
    assert_eq!(found.number(Some(&at(0xc000_ffff)), Some(&at(0x0800_0001))), 0);
    assert_eq!(found.number(Some(&octets(Ipv6Addr::LOCALHOST.into())), Some(&octets(Ipv6Addr::LOCALHOST.into()))), 3);
    assert_eq!(found.number(Some(&octets(Ipv6Addr::LOCALHOST.into())), Some(&at(0x0800_0001))), 0);
}

#[test]
fn scopes_that_overlap_in_too_many_ways_are_refused_with_a_word_about_what_to_do() {
    // One network for each set of nine scopes: 512 classes of clients, and as many of servers.
    let list =
        |at: u32, base: u32| (0..512).filter(move |set| set >> at & 1 == 1).map(move |set| ipv4(base + (set << 8), 24));
    let lists = |at: u32| (list(at, 0x0a00_0000).collect::<Vec<_>>(), list(at, 0xac10_0000).collect::<Vec<_>>());
    let many: Vec<Scope> = (0..9)
        .map(|at| (at, lists(at)))
        .flat_map(|(at, (clients, servers))| {
            // Clients of the one and servers of the other kind of scope, so that no pair is in two of them.
            let own = vec![ipv4(0xc000_0000 + at, 32)];
            [(2 * at, Some(clients), Some(own.clone())), (2 * at + 1, Some(own), Some(servers))]
        })
        .map(|(at, clients, servers)| scope(at as usize, clients, servers))
        .collect();
    let error = check(&with(many.clone()), &[]).unwrap_err().message;
    let (ways, most) = (521 * 521, SCOPE_PAIRS);
    assert_eq!(
        error,
        format!(
            "scope: the scopes overlap in too many ways: their prefixes sort clients into 521 classes and servers into \
             521, {ways} pairs; expected at most {most}: fewer prefixes that lie within those of other scopes"
        )
    );
    let refused = compile(&with(many.clone()), &mut Names::default(), 1, 0).unwrap_err();
    assert_eq!(format!("scope: {refused}"), error);
    let fewer = scopes(&many[..12]).unwrap();
    assert_eq!(fewer.pairs.len(), (64 + 6) * (64 + 6));
}

#[test]
fn each_scope_gets_a_policy_with_the_number_of_its_name() {
    use smtp_filter_common::{action::Action, word::Word};
    let document = parse(
        "t",
        "mode = \"enforce\"\n\
         [[scope]]\nname = \"b\"\nclients = [\"10.0.0.0/8\"]\ncommands = { EHLO = \"drop\" }\n\
         [[scope]]\nname = \"a\"\nservers = [\"2001:db8::/32\"]\nguards = { unknown_connection = { grace = \"1s\" } }\n",
    )
    .unwrap();
    let mut names = Names::default();
    let compiled = compile(&document, &mut names, 7, 1_000).unwrap();
    let ehlo = |number: usize| compiled.policies[number].verb(Word::of("EHLO"));
    assert_eq!(
        [0, 1, 2].map(|number| ehlo(number).action),
        [Action::Log, Action::Drop, Action::Log].map(|action| action as u8)
    );
    assert_eq!(ehlo(0).reason, ehlo(1).reason);
    let known: Vec<_> = compiled
        .policies
        .iter()
        .map(|policy| (policy.scope, policy.scopes, policy.generation, policy.enforces()))
        .collect();
    assert_eq!(known, [(0, 2, 7, true), (1, 2, 7, true), (2, 2, 7, true)]);
    assert_eq!((names.scope(1), names.scope(2)), (Some("b"), Some("a")));
    assert_eq!((compiled.policies[1].grace_until, compiled.policies[2].grace_until), (600_000_001_000, 1_000_001_000));
    assert!(compiled.policies.iter().all(|policy| policy.has_port(25)));
    // A scope that is gone leaves its number unused.
    let after = compile(&set(&document, &["scope.b=none"]).unwrap(), &mut names, 8, 1_000).unwrap();
    assert_eq!(after.policies.iter().map(|policy| policy.scope).collect::<Vec<_>>(), [0, 2]);
    let client = octets("192.0.2.1".parse().unwrap());
    assert_eq!(after.policy_for(&client, &octets("2001:db8::25".parse().unwrap())).scope, 2);
    assert_eq!(after.policy_for(&client, &client).scope, 0);
}
