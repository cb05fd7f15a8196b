//! What this machine offers the filter, and what goes around it: one subject a file.
//!
//! A check says what it found and, where that is not well, what to do. Without the privileges for a look it says so.

mod asymmetry;
mod bridge;
mod chain;
mod check;
mod features;
mod flowtables;
mod helpers;
mod ipsec;
mod jit;
mod kernel;
mod link_layer;
mod links;
mod macvlan;
mod memory;
mod offload;
mod pin_folder;
mod privileges;
mod replies;
mod routes;
mod trial;
mod uplinks;
mod view;
mod xdp;

use anyhow::{Result, anyhow};

pub use self::check::Check;
use self::view::{Place, View};
use crate::{
    attach::best_hook,
    bpffs,
    instance::{Found, InterfaceState, Running, find_again},
    netns::Netns,
    pins::PinDir,
    record::Instance,
    system,
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    /// Interfaces, instead of those that the filter sits on.
    pub interfaces: Vec<String>,
    /// Connections that there should be memory for.
    pub connections: u32,
    /// Whether the calling thread's network namespace is meant, wherever a running filter is.
    pub here: bool,
}

/// Looks at everything.
pub fn examine(pins: &PinDir, question: &Question) -> Result<Vec<Check>> {
    let mut checks = kernel::checks();
    checks.push(privileges::check());
    if system::is_privileged() {
        checks.extend(helpers::checks());
        checks.extend(trial::checks());
    } else {
        checks.push(jit::check(None));
        let names = ["program_kind", "helpers", "maps", "programs", "hook"];
        checks.extend(names.map(|name| Check::unseen(name, "that needs root")));
    }
    checks.push(pin_folder::check(pins));
    checks.extend(memory::checks(question.connections));
    let (filter, more) = filter(pins);
    checks.extend(more);
    checks.extend(network(filter.as_ref(), question)?);
    Ok(checks)
}

/// What `up` says of the filter that it has put on, in the calling thread's network namespace: what goes around it,
/// each in one line.
pub fn warnings(instance: &Instance, programs: [Option<u32>; 2]) -> Vec<String> {
    let on: Vec<InterfaceState> =
        instance.interfaces.iter().map(|at| InterfaceState { at: at.clone(), programs }).collect();
    let checks = kernel::checks().into_iter().chain(around(&on, &[]).unwrap_or_default());
    checks.filter(|check| !check.ok && check.seen).map(|check| check.line()).collect()
}

/// A filter that is on: where, and how it was found there.
struct On {
    netns: Netns,
    interfaces: Vec<InterfaceState>,
}

/// The filter that is on, if there is one, and how it does.
fn filter(pins: &PinDir) -> (Option<On>, Vec<Check>) {
    const NAME: &str = "filter";
    let at = pins.path().display();
    if !system::is_privileged() {
        return (None, vec![Check::unseen(NAME, "that needs root")]);
    }
    if bpffs::require_own(pins.path()).is_err() {
        return (None, vec![Check::unseen(NAME, format!("{at} is not to be trusted, or not to be read"))]);
    }
    if !pins.in_use() {
        return (None, vec![Check::good(NAME, format!("none is on at {at}"))]);
    }
    let opened = Running::open(pins).and_then(|running| Ok((running.interfaces()?, running)));
    let (interfaces, running) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let remedy = "take off what is left of it: `smtp-filter down`";
            return (None, vec![Check::warning(NAME, format!("{error:#}"), remedy)]);
        }
    };
    let names =
        |states: &[&InterfaceState]| states.iter().map(|state| state.at.name.as_str()).collect::<Vec<_>>().join(", ");
    let loose: Vec<&InterfaceState> = interfaces.iter().filter(|state| state.programs.contains(&None)).collect();
    let check = if loose.is_empty() {
        let all: Vec<&InterfaceState> = interfaces.iter().collect();
        Check::good(NAME, format!("on {}, pinned at {at}", names(&all)))
    } else {
        let found = format!("pinned at {at}, but no longer attached to {}", names(&loose));
        Check::warning(NAME, found, put_on_again(&loose, running.instance().netns))
    };
    let replies = replies::check(&running);
    (Some(On { netns: running.instance().netns, interfaces }), vec![check, replies])
}

/// What puts a filter on again where it is attached no longer, with the policy that it has.
fn put_on_again(loose: &[&InterfaceState], netns: Netns) -> String {
    let is_there = |state: &&&InterfaceState| {
        netns.inside(|| find_again(&state.at) != Found::Gone).is_ok_and(|there| there == Some(true))
    };
    let (there, gone): (Vec<_>, Vec<_>) = loose.iter().partition(is_there);
    let words = |states: &[&&InterfaceState]| {
        states.iter().map(|state| format!(" --iface {}", state.at.name)).collect::<String>()
    };
    let again = (!there.is_empty())
        .then(|| format!("put it on again, its policy stays: `smtp-filter up{} --detach`", words(&there)));
    let later = gone.iter().map(|state| {
        let name = &state.at.name;
        format!("when {name} is back, `smtp-filter up --iface {name} --detach`; or take it off there: `smtp-filter down --iface {name}`")
    });
    again.into_iter().chain(later).collect::<Vec<_>>().join("; ")
}

/// The interfaces and what is around them, in the filter's network namespace or in the one that is asked for.
fn network(filter: Option<&On>, question: &Question) -> Result<Vec<Check>> {
    let Some(On { netns, interfaces }) = filter else { return around(&[], &question.interfaces) };
    if question.here {
        let same = Netns::current()? == *netns;
        return around(if same { interfaces } else { &[] }, &question.interfaces);
    }
    netns.inside(|| around(interfaces, &question.interfaces))?.unwrap_or_else(|| {
        let check =
            Check::warning("network", "the filter's network namespace is gone", "take it off: `smtp-filter down`");
        Ok(vec![check])
    })
}

/// In the calling thread's network namespace, where the filter sits on `on`.
fn around(on: &[InterfaceState], named: &[String]) -> Result<Vec<Check>> {
    let mut view = View::look()?;
    view.places = places(&view, on, named)?;
    if view.places.is_empty() {
        let remedy = "name the interface that mail passes: --iface IF";
        return Ok(vec![Check::warning("interfaces", "none is up and leads anywhere", remedy)]);
    }
    let mut checks = Vec::new();
    for place in &view.places {
        checks.extend([
            link_layer::check(place),
            offload::check(&view, place),
            xdp::check(&view, place),
            chain::check(place),
            macvlan::check(&view, place),
            bridge::check(&view, place),
        ]);
    }
    checks.extend(uplinks::checks(&view));
    checks.extend([asymmetry::check(&view), ipsec::check()]);
    Ok(checks)
}

/// Named interfaces, else the filter's, else all that lead somewhere.
fn places(view: &View, on: &[InterfaceState], named: &[String]) -> Result<Vec<Place>> {
    let indexes: Vec<u32> = if !named.is_empty() {
        let index = |name: &String| {
            let link = view.named(name).map(|link| link.index);
            link.ok_or_else(|| anyhow!("there is no interface {name:?} here: `ip link` shows which there are"))
        };
        named.iter().map(index).collect::<Result<_>>()?
    } else if !on.is_empty() {
        on.iter().map(|state| state.at.ifindex).collect()
    } else {
        view.routed().iter().map(|link| link.index).collect()
    };
    let mut places: Vec<Place> = Vec::new();
    for link in indexes.into_iter().filter_map(|index| view.link(index)) {
        if places.iter().any(|place| place.link.index == link.index) {
            continue;
        }
        let state = on.iter().find(|state| state.at.ifindex == link.index);
        places.push(match state {
            Some(InterfaceState { at, programs }) => {
                Place { link: link.clone(), hook: at.hook, handle: Some(at.handle), programs: *programs }
            }
            None => Place::planned(link.clone(), best_hook()),
        });
    }
    Ok(places)
}
