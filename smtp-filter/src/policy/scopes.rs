//! Who is judged by which scope, as the datapath looks it up.

use smtp_filter_common::event::CLIENT;

/// The first bits of addresses, IPv4 as ::ffff:a.b.c.d, and how many they are.
pub type Bits = ([u8; 16], u32);

/// The prefixes of all scopes, by the classes that they fall into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// Prefixes of clients, each with the row of its class among the pairs.
    pub clients: Vec<(Bits, u32)>,
    /// Prefixes of servers, each with the column of its class.
    pub servers: Vec<(Bits, u32)>,
    /// The number of the scope of each pair of classes, by row plus column.
    pub pairs: Vec<u8>,
}

impl Scopes {
    /// The row of a client's address, or the column of a server's; 0 where no prefix holds it.
    pub fn class(&self, side: u8, address: &[u8; 16]) -> u32 {
        let prefixes = if side == CLIENT { &self.clients } else { &self.servers };
        let address = u128::from_be_bytes(*address);
        let holds = |(bits, length): Bits| {
            length == 0 || (u128::from_be_bytes(bits) ^ address).checked_shr(128 - length).unwrap_or(0) == 0
        };
        prefixes
            .iter()
            .filter(|(bits, _)| holds(*bits))
            .max_by_key(|((_, length), _)| *length)
            .map_or(0, |(_, class)| *class)
    }
}
