//! Which scope a connection belongs to, and so whose policy applies.
//!
//! The prefixes of all scopes are kept in one trie. An address belongs to the class of its longest prefix. The classes
//! of client and server together give the scope: two look-ups, however many scopes and prefixes there are. A
//! connection's entry remembers the result until the policy changes.

use crate::{
    bounds::{POLICY_SLOTS, SCOPE_PAIRS, SCOPES},
    entry::{first, pair, second},
    event::{CLIENT, SERVER},
    flow::Key,
    host::Host,
    policy::Policy,
    work::Work,
};

/// Bits of a [`Prefix`] before the address.
pub const SIDE_BITS: u32 = 32;

/// A key of the trie of prefixes: the kernel's `struct bpf_lpm_trie_key`, whose data are the side and an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Number of bits that count: [`SIDE_BITS`] and those of the address, host byte order.
    pub length: u32,
    /// [`CLIENT`] or [`SERVER`], three zeros, and the address; IPv4 as ::ffff:a.b.c.d.
    pub data: [u8; 20],
}

impl Prefix {
    /// The first bits of an address of the client or of the server.
    #[inline(always)]
    pub fn new(side: u8, address: &[u8; 16], bits: u32) -> Self {
        let mut data = [0; 20];
        data[0] = side;
        data[4..].copy_from_slice(address);
        Self { length: SIDE_BITS + bits, data }
    }
}

/// The scope of each pair of a class of clients and a class of servers, by the sum of their numbers.
pub type Pairs = [u8; SCOPE_PAIRS];

/// The index of a scope's policy among those of all generations.
#[inline(always)]
pub const fn policy_index(generation: u32, scope: u32) -> u32 {
    (generation % POLICY_SLOTS) * SCOPES as u32 + scope
}

/// The scopes of one generation, by the classes that addresses fall into.
pub trait Scopes {
    /// What an address of the client ([`CLIENT`]) or of the server adds to the index of its pair; 0 if no prefix
    /// contains it. `None`: this generation is over.
    fn class(&self, side: u8, address: &[u8; 16]) -> Option<u32>;

    /// The number of the scope at the index of a pair.
    fn pair(&self, index: u32) -> Option<u8>;

    /// The number of the scope of a connection between these addresses; 0: none. An end that is not given counts as one
    /// that no prefix contains.
    #[inline(always)]
    fn find(&self, client: Option<&[u8; 16]>, server: Option<&[u8; 16]>) -> Option<u32> {
        let row = match client {
            Some(address) => self.class(CLIENT, address)?,
            None => 0,
        };
        let column = match server {
            Some(address) => self.class(SERVER, address)?,
            None => 0,
        };
        Some(self.pair(row.wrapping_add(column))? as u32)
    }
}

/// The policies of one generation.
pub trait Policies: Scopes {
    /// The policy of a scope, by its number; 0: the whole's own.
    fn of_scope(&self, scope: u32) -> Option<&Policy>;
}

/// A policy alone has no scopes.
impl Scopes for Policy {
    fn class(&self, _side: u8, _address: &[u8; 16]) -> Option<u32> {
        Some(0)
    }

    fn pair(&self, _index: u32) -> Option<u8> {
        Some(0)
    }
}

impl Policies for Policy {
    fn of_scope(&self, scope: u32) -> Option<&Policy> {
        (scope == 0).then_some(self)
    }
}

/// The policy for the current connection; `entry`: its entry, if it has one. `None`: this generation is over, and the
/// next one is already in force.
#[inline(always)]
pub fn choose<'p, H: Host, P: Policies>(
    host: &H,
    policies: &'p P,
    whole: &'p Policy,
    work: &mut Work,
    entry: Option<H::Entry>,
) -> Option<&'p Policy> {
    if whole.scopes == 0 {
        return Some(whole);
    }
    let scope = match entry.map(|entry| host.shared(entry)) {
        Some(shared) => {
            let known = H::load(&shared.scope);
            let ends = ends(&work.key);
            if second(known) == whole.generation && first(known) & ENDS == ends {
                first(known) & !ENDS
            } else {
                let scope = policies.find(Some(&work.key.client), Some(&work.key.server))?;
                H::store(&shared.scope, pair(ends | scope, whole.generation));
                scope
            }
        }
        None => policies.find(Some(&work.key.client), Some(&work.key.server))?,
    };
    work.scope = scope as u8;
    policies.of_scope(scope)
}

/// Bits of a remembered scope that identify its connection; the others are the scope's number.
const ENDS: u32 = !(SCOPES as u32 - 1);

/// A hash of the connection's addresses, in the bits [`ENDS`]. Between look-up and note, the entry may be given to
/// another connection, and the note must not count for that one.
#[inline(always)]
fn ends(key: &Key) -> u32 {
    let ends = fold(&key.client) ^ fold(&key.server).rotate_left(16);
    // An odd factor: the upper bits of the product depend on all bits.
    ends.wrapping_mul(0x9e37_79b1) & ENDS
}

#[inline(always)]
fn fold(address: &[u8; 16]) -> u32 {
    let address = u128::from_ne_bytes(*address);
    let half = (address as u64) ^ (address >> 64) as u64;
    (half ^ (half >> 32)) as u32
}
