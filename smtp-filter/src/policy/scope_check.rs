//! What has to hold of the scopes of a policy together.

use std::collections::BTreeSet;

use ipnet::IpNet;
use smtp_filter_common::bounds::{KEYWORD_NAMES, NAMES, PREFIXES};

use super::{
    classes,
    document::{Document, WordName},
    fault::{Fault, Located},
    fit::fit,
    prefix,
    scope::{SCOPES, Scope},
    scope_text::ScopePlaces,
    value::Value,
};

/// Checks the scopes of a policy. `places` says where a text speaks of them, in their order; it may say nothing.
pub(super) fn check(document: &Document, places: &[ScopePlaces<'_>]) -> Result<(), Fault> {
    let scopes = &document.scopes;
    let nowhere = ScopePlaces::default();
    let place = |at: usize| places.get(at).unwrap_or(&nowhere);
    let fault = |at: usize, message: String| Fault { span: place(at).span(), message };
    if let Some(one) = scopes.get(SCOPES) {
        let message = format!("scope.{}: the scope after the {SCOPES}th; expected at most {SCOPES}", one.name);
        return Err(fault(SCOPES, message));
    }
    let mut prefixes = 0;
    let mut words = Counted::of(&document.whole());
    for (at, scope) in scopes.iter().enumerate() {
        let name = &scope.name;
        if scope.clients.is_none() && scope.servers.is_none() {
            return Err(fault(at, format!("scope.{name}: neither clients nor servers; expected at least one of them")));
        }
        prefixes += scope.prefixes();
        if prefixes > PREFIXES as usize {
            let message = format!(
                "scope.{name}: {prefixes} prefixes with those of the scopes before; expected at most {PREFIXES}"
            );
            return Err(fault(at, message));
        }
        let within = document.within(scope);
        fit(&within, &place(at).sections, &format!("scope.{name}."), "those of the whole policy")?;
        words.add(&within);
        if let Some(problem) = words.too_many() {
            return Err(fault(at, format!("scope.{name}: {problem}")));
        }
    }
    if let Some(twice) = twice(scopes) {
        let ScopePlaces { clients, servers, .. } = place(twice.second);
        let item = |list: &Option<&Located<Value>>, wanted: Option<IpNet>| {
            Some(prefix::place(list.as_ref()?, wanted?).span.clone())
        };
        let span = item(clients, twice.client).or_else(|| item(servers, twice.server));
        let span = span.unwrap_or_else(|| place(twice.second).span());
        return Err(Fault { span, message: twice.message(scopes) });
    }
    classes::scopes(scopes).map(drop).map_err(|error| fault(0, format!("scope: {error}")))
}

/// Different words that the whole and its scopes name: each has counters of its own.
struct Counted {
    verbs: BTreeSet<WordName>,
    keywords: BTreeSet<WordName>,
}

impl Counted {
    fn of(document: &Document) -> Self {
        let mut counted = Self { verbs: BTreeSet::new(), keywords: BTreeSet::new() };
        counted.add(document);
        counted
    }

    fn add(&mut self, document: &Document) {
        self.verbs.extend(document.effective_verbs().into_keys());
        self.keywords.extend(document.extensions.named.keys().cloned());
    }

    fn too_many(&self) -> Option<String> {
        // The first place is that of `other`.
        [(self.verbs.len(), NAMES - 1, "verbs"), (self.keywords.len(), KEYWORD_NAMES - 1, "keywords")]
            .into_iter()
            .find(|(found, most, _)| found > most)
            .map(|(found, most, words)| {
                format!(
                    "{found} different {words} with those of the whole policy and the scopes before; expected at most \
                     {most}"
                )
            })
    }
}

/// A pair of prefixes that two scopes name, so that neither decides.
struct Twice {
    first: usize,
    second: usize,
    client: Option<IpNet>,
    server: Option<IpNet>,
}

impl Twice {
    fn message(&self, scopes: &[Scope]) -> String {
        let words = |what: &str, prefix: Option<IpNet>| match prefix {
            Some(prefix) => format!("{what} {prefix}"),
            None => format!("all {what}"),
        };
        format!(
            "scope.{}: {} and {} are those of scope.{}, too, so that neither decides; expected each pair of a client \
             prefix and a server prefix in one scope",
            scopes[self.second].name,
            words("clients", self.client),
            words("servers", self.server),
            scopes[self.first].name,
        )
    }
}

/// The first two scopes that name the same pair of prefixes.
fn twice(scopes: &[Scope]) -> Option<Twice> {
    let clients = shared(scopes, |scope| scope.clients.as_deref());
    let servers = shared(scopes, |scope| scope.servers.as_deref());
    let (second, first) = (1..scopes.len()).find_map(|second| {
        let both = clients[second] & servers[second] & ((1 << second) - 1);
        (both != 0).then(|| (second, both.trailing_zeros() as usize))
    })?;
    let [one, other] = [&scopes[first], &scopes[second]];
    Some(Twice {
        first,
        second,
        client: common(one.clients.as_deref(), other.clients.as_deref()),
        server: common(one.servers.as_deref(), other.servers.as_deref()),
    })
}

/// For each scope those that name one of its prefixes, too, or no prefix either.
fn shared<'a>(scopes: &'a [Scope], of: impl Fn(&'a Scope) -> Option<&'a [IpNet]>) -> Vec<classes::Set> {
    let (named, everything) = classes::named(scopes, of);
    let mut shared = vec![0; scopes.len()];
    for set in named.iter().map(|(_, set)| *set).chain([everything]).filter(|set| set.count_ones() > 1) {
        for (at, shared) in shared.iter_mut().enumerate() {
            *shared |= if set >> at & 1 == 1 { set } else { 0 };
        }
    }
    shared
}

/// The first prefix of both lists.
fn common(one: Option<&[IpNet]>, other: Option<&[IpNet]>) -> Option<IpNet> {
    let other = other?;
    one?.iter().copied().find(|prefix| other.binary_search(prefix).is_ok())
}
