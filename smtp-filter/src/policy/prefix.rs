//! A list of prefixes of a scope.

use std::{collections::HashSet, net::IpAddr};

use ipnet::{IpNet, Ipv4Net};

use super::{
    fault::{Fault, Located, quoted},
    value::Value,
};

const EXAMPLE: &str = "192.0.2.0/24, 2001:db8::/32 or 192.0.2.25";

/// The prefixes of a list, in ascending order.
pub(super) fn prefixes(value: &Located<Value>, key: &str) -> Result<Vec<IpNet>, Fault> {
    let Value::List(items) = &value.value else {
        return Err(value.fault(format!(
            "{key}: expected a list of addresses and prefixes such as [\"192.0.2.0/24\"], found {}",
            value.value.kind()
        )));
    };
    if items.is_empty() {
        return Err(
            value.fault(format!("{key}: an empty list holds nobody; expected an address or a prefix, or no list"))
        );
    }
    let mut seen = HashSet::with_capacity(items.len());
    for item in items {
        let prefix = prefix(item, key)?;
        if !seen.insert(prefix) {
            return Err(item.fault(format!("{key}: {prefix} is listed twice; expected each prefix once")));
        }
    }
    let mut prefixes: Vec<IpNet> = seen.into_iter().collect();
    prefixes.sort_unstable();
    Ok(prefixes)
}

/// The position of a prefix in its list; that of the list if it is not found there.
pub(super) fn place(value: &Located<Value>, wanted: IpNet) -> &Located<Value> {
    let Value::List(items) = &value.value else { return value };
    items.iter().find(|item| prefix(item, "").is_ok_and(|prefix| prefix == wanted)).unwrap_or(value)
}

fn prefix(item: &Located<Value>, key: &str) -> Result<IpNet, Fault> {
    let Value::Text(text) = &item.value else {
        return Err(item.fault(format!(
            "{key}: expected an address or a prefix such as {EXAMPLE}, in quotes; found {}",
            item.value.kind()
        )));
    };
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let Ok(net) = parsed else {
        return Err(
            item.fault(format!("{key}: {} is no address and no prefix; expected one such as {EXAMPLE}", quoted(text)))
        );
    };
    let meant = net.trunc();
    if let Some(ipv4) = mapped(&meant) {
        return Err(item.fault(format!("{key}: {} is IPv4 written as IPv6; expected {ipv4}", quoted(text))));
    }
    if meant != net {
        return Err(item.fault(format!(
            "{key}: {} has bits set after its first {}; expected {meant}",
            quoted(text),
            net.prefix_len()
        )));
    }
    Ok(net)
}

/// The prefix of IPv4 that a prefix within ::ffff:0:0/96 means.
fn mapped(net: &IpNet) -> Option<IpNet> {
    let IpNet::V6(net) = net else { return None };
    let address = net.network().to_ipv4_mapped()?;
    let length = net.prefix_len().checked_sub(96)?;
    Some(Ipv4Net::new(address, length).ok()?.into())
}
