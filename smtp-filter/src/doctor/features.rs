//! What an interface's hardware does by itself, as `ethtool -k` shows it.

use rustix::{io::Errno, net::netlink};

use crate::kernel::netlink::{
    NLM_F_ACK,
    attributes::{attribute, attributes, find, half, text},
    request, talk_to,
};

// linux/genetlink.h, linux/ethtool_netlink.h
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
/// The kernel's mark of an attribute that holds others.
const NESTED: u16 = 0x8000;
/// `struct genlmsghdr`.
const HEAD: usize = 4;

/// The features that are on, by name.
pub fn active(ifindex: u32) -> Result<Vec<String>, Errno> {
    let mut family = None;
    let name = attribute(CTRL_ATTR_FAMILY_NAME, b"ethtool\0");
    ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name, |facts| {
        family = find(facts, CTRL_ATTR_FAMILY_ID).and_then(|value| half(value, 0));
    })?;
    let family = family.ok_or(Errno::NOENT)?;
    let index = attribute(ETHTOOL_A_HEADER_DEV_INDEX, &ifindex.to_ne_bytes());
    let header = attribute(ETHTOOL_A_FEATURES_HEADER | NESTED, &index);
    let mut names = Vec::new();
    ask(family, ETHTOOL_MSG_FEATURES_GET, &header, |facts| names.extend(names_of(facts)))?;
    Ok(names)
}

fn ask(family: u16, command: u8, facts: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
    let body = [[command, 1, 0, 0].as_slice(), facts].concat();
    talk_to(Some(netlink::GENERIC), &request(family, NLM_F_ACK, &body), |_, body| {
        each(body.get(HEAD..).unwrap_or_default());
    })
}

fn names_of(facts: &[u8]) -> Vec<String> {
    let bits = find(facts, ETHTOOL_A_FEATURES_ACTIVE).and_then(|set| find(set, ETHTOOL_A_BITSET_BITS));
    let names = attributes(bits.unwrap_or_default()).filter_map(|(_, bit)| find(bit, ETHTOOL_A_BITSET_BIT_NAME));
    names.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopbacks_features_are_told() {
        let names = active(1).unwrap();
        assert!(
            names.iter().any(|name| name == "tx-lockless" || name == "tx-gso-partial" || name == "loopback"),
            "{names:?}"
        );
        assert!(!names.iter().any(|name| name == "hw-tc-offload"));
        assert!(active(u32::MAX).is_err());
    }
}
