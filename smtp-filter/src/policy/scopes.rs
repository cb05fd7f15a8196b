//! Who is judged by which scope, as the datapath looks it up.

use smtp_filter_common::{event::CLIENT, scope};

/// The first bits of addresses, IPv4 as ::ffff:a.b.c.d, and how many they are.
pub type Bits = ([u8; 16], u32);

/// The prefixes of all scopes, by the classes that they fall into. An address falls into the class of the longest
/// prefix that holds it; the class of the client and that of the server together say the scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// Prefixes of clients in ascending order, each with the row of its class among the pairs.
    pub clients: Vec<(Bits, u32)>,
    /// Prefixes of servers in ascending order, each with the column of its class.
    pub servers: Vec<(Bits, u32)>,
    /// The number of the scope of each pair of classes, by row plus column; 0: the whole's own policy.
    pub pairs: Vec<u8>,
}

impl Scopes {
    /// The number of the scope that a connection between these addresses falls into; 0: none. An end that is not given
    /// is one that no prefix holds.
    pub fn number(&self, client: Option<&[u8; 16]>, server: Option<&[u8; 16]>) -> usize {
        // Without scopes there are no pairs.
        scope::Scopes::find(self, client, server).map_or(0, |number| number as usize)
    }
}

impl scope::Scopes for Scopes {
    fn class(&self, side: u8, address: &[u8; 16]) -> Option<u32> {
        Some(longest(if side == CLIENT { &self.clients } else { &self.servers }, address).unwrap_or(0))
    }

    fn pair(&self, index: u32) -> Option<u8> {
        self.pairs.get(index as usize).copied()
    }
}

/// The value of the longest of the prefixes, in ascending order, that hold an address.
fn longest(prefixes: &[(Bits, u32)], address: &[u8; 16]) -> Option<u32> {
    let mut length = 128;
    loop {
        // A prefix that holds the address and is not longer does not come after this one.
        let last = (first_bits(address, length), length);
        let at = prefixes.partition_point(|(bits, _)| *bits <= last);
        let ((bits, bits_length), class) = prefixes.get(at.checked_sub(1)?)?;
        let common = common_bits(bits, address);
        if common >= *bits_length {
            return Some(*class);
        }
        // Between a prefix that holds the address and the address, all share the prefix.
        length = common;
    }
}

/// The first bits of an address, then zeros.
pub(super) fn first_bits(address: &[u8; 16], length: u32) -> [u8; 16] {
    let rest = u128::MAX.checked_shr(length).unwrap_or(0);
    (u128::from_be_bytes(*address) & !rest).to_be_bytes()
}

/// How many of their first bits two addresses share.
fn common_bits(one: &[u8; 16], other: &[u8; 16]) -> u32 {
    (u128::from_be_bytes(*one) ^ u128::from_be_bytes(*other)).leading_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Prefixes that often hold one another.
    fn prefixes() -> impl Strategy<Value = Vec<Bits>> {
        let prefix = (any::<u16>(), 0..=128_u32)
            .prop_map(|(bits, length)| (first_bits(&(u128::from(bits) << 112 | 0x55).to_be_bytes(), length), length));
        let short = (0..4_u8, 0..6_u32).prop_map(|(bits, length)| {
            let mut address = [0; 16];
            address[0] = bits << 5;
            (first_bits(&address, length), length)
        });
        proptest::collection::btree_set(prop_oneof![prefix, short], 0..40)
            .prop_map(|prefixes| prefixes.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_longest_prefix_is_found(prefixes in prefixes(), place in any::<prop::sample::Index>(), low in any::<u16>()) {
            let entries: Vec<(Bits, u32)> = prefixes.iter().zip(1..).map(|(bits, class)| (*bits, class)).collect();
            let mut addresses = vec![[0; 16], [0xff; 16], (u128::from(low) << 109).to_be_bytes()];
            if !prefixes.is_empty() {
                let (inside, length) = prefixes[place.index(prefixes.len())];
                let rest = u128::MAX.checked_shr(length).unwrap_or(0) & u128::from(low) << 64;
                addresses.push((u128::from_be_bytes(inside) | rest).to_be_bytes());
                addresses.push((u128::from_be_bytes(inside).wrapping_sub(1)).to_be_bytes());
            }
            for address in addresses {
                let holding = entries.iter().filter(|((bits, length), _)| first_bits(&address, *length) == *bits);
                let expected = holding.max_by_key(|((_, length), _)| *length).map(|(_, class)| *class);
                prop_assert_eq!(longest(&entries, &address), expected);
            }
        }
    }

    #[test]
    fn without_scopes_nobody_falls_into_one() {
        assert_eq!(Scopes::default().number(Some(&[1; 16]), Some(&[2; 16])), 0);
    }
}
