//! The flowtables of nftables: fast paths that forwarded connections take past much of the stack.

use rustix::{io::Errno, net::netlink};

use crate::kernel::netlink::{
    NLM_F_DUMP,
    attributes::{attributes, find, text},
    request, talk_to,
};

// linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
const NFNL_SUBSYS_NFTABLES: u16 = 10 << 8;
const NFT_MSG_NEWFLOWTABLE: u16 = NFNL_SUBSYS_NFTABLES | 22;
const NFT_MSG_GETFLOWTABLE: u16 = NFNL_SUBSYS_NFTABLES | 23;
const NFTA_FLOWTABLE_TABLE: u16 = 1;
const NFTA_FLOWTABLE_NAME: u16 = 2;
const NFTA_FLOWTABLE_HOOK: u16 = 3;
const NFTA_FLOWTABLE_FLAGS: u16 = 7;
const NFTA_FLOWTABLE_HOOK_DEVS: u16 = 3;
const NFTA_DEVICE_NAME: u16 = 1;
const NFT_FLOWTABLE_HW_OFFLOAD: u32 = 1;
/// `struct nfgenmsg`.
const HEAD: usize = 4;

/// A flowtable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flowtable {
    /// Its table and name.
    pub name: String,
    /// Its interfaces.
    pub devices: Vec<String>,
    /// Whether hardware carries it out.
    pub hardware: bool,
}

/// Lists them; none where the kernel has no nftables.
pub fn flowtables() -> Result<Vec<Flowtable>, Errno> {
    let mut found = Vec::new();
    let ask = request(NFT_MSG_GETFLOWTABLE, NLM_F_DUMP, &[0; HEAD]);
    let done = talk_to(Some(netlink::NETFILTER), &ask, |kind, body| {
        if kind == NFT_MSG_NEWFLOWTABLE {
            found.push(flowtable(body.get(HEAD..).unwrap_or_default()));
        }
    });
    match done {
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT) => Ok(found),
        Err(error) => Err(error),
    }
}

fn flowtable(facts: &[u8]) -> Flowtable {
    let named = |kind| find(facts, kind).map(text).unwrap_or_default();
    let devices = find(facts, NFTA_FLOWTABLE_HOOK).and_then(|hook| find(hook, NFTA_FLOWTABLE_HOOK_DEVS));
    let devices = attributes(devices.unwrap_or_default()).filter(|(kind, _)| *kind == NFTA_DEVICE_NAME);
    let flags = find(facts, NFTA_FLOWTABLE_FLAGS).and_then(|value| value.first_chunk::<4>());
    Flowtable {
        name: format!("{} {}", named(NFTA_FLOWTABLE_TABLE), named(NFTA_FLOWTABLE_NAME)),
        devices: devices.map(|(_, name)| text(name)).collect(),
        hardware: flags.is_some_and(|flags| u32::from_be_bytes(*flags) & NFT_FLOWTABLE_HW_OFFLOAD != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::attributes::attribute;

    #[test]
    fn a_flowtable_is_read_as_the_kernel_writes_it() {
        const NESTED: u16 = 0x8000;
        let devices = [attribute(1, b"eth0\0"), attribute(1, b"eth1\0")].concat();
        let hook = [attribute(1, &[0; 4]), attribute(2, &[0; 4]), attribute(3 | NESTED, &devices)].concat();
        let facts = [
            attribute(1, b"filter\0"),
            attribute(2, b"fast\0"),
            attribute(5, &[0; 8]),
            attribute(7, &1_u32.to_be_bytes()),
            attribute(3 | NESTED, &hook),
        ]
        .concat();
        let expected = Flowtable {
            name: "filter fast".to_owned(),
            devices: vec!["eth0".to_owned(), "eth1".to_owned()],
            hardware: true,
        };
        assert_eq!(flowtable(&facts), expected);
        assert_eq!(flowtable(&[]).devices.len(), 0);
    }
}
