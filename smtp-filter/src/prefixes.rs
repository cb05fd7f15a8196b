//! The prefixes of a policy's scopes as maps: a trie of their own for each generation, and the pairs of their classes.

use anyhow::{Context as _, Result, ensure};
use aya::maps::{
    ArrayOfMaps, Map, MapData,
    lpm_trie::{Key, LpmTrie},
};
use smtp_filter_common::{
    bounds::SCOPE_PAIRS,
    event::{CLIENT, SERVER},
    scope::{Pairs, Prefix},
};

use crate::{policy::Scopes, tables::duplicate};

/// `BPF_MAP_TYPE_LPM_TRIE`.
const TRIE: u32 = 11;
/// `BPF_F_NO_PREALLOC`: the kernel makes no trie without it.
const NO_PREALLOC: u32 = 1;

/// Makes a trie of the prefixes, and puts it into a slot once it is whole.
pub(crate) fn put(slots: &mut ArrayOfMaps<MapData, MapData>, slot: u32, scopes: &Scopes) -> Result<()> {
    let entries = u32::try_from(scopes.clients.len() + scopes.servers.len()).context("count the prefixes")?;
    let (key, value) = (size_of::<Prefix>() as u32, size_of::<u32>() as u32);
    let definition = aya_obj::Map::new_from_params(TRIE, key, value, entries.max(1), NO_PREALLOC);
    let trie = MapData::create(definition, "smtp_prefixes", None).context("make a trie for the scopes' prefixes")?;
    let held = duplicate(&trie)?;
    let mut trie: LpmTrie<MapData, [u8; 20], u32> = Map::from_map_data(trie)?.try_into()?;
    for (side, prefixes) in [(CLIENT, &scopes.clients), (SERVER, &scopes.servers)] {
        for ((bits, length), class) in prefixes {
            let Prefix { length, data } = Prefix::new(side, bits, *length);
            trie.insert(&Key::new(length, data), class, 0).context("write a prefix of a scope")?;
        }
    }
    slots.set(slot, &held, 0).context("put the scopes' prefixes into their slot")
}

/// The pairs of classes, as the map holds them.
pub(crate) fn pairs(scopes: &Scopes) -> Result<Pairs> {
    let mut pairs = [0; SCOPE_PAIRS];
    ensure!(scopes.pairs.len() <= SCOPE_PAIRS, "the scopes come to {} pairs of classes", scopes.pairs.len());
    pairs[..scopes.pairs.len()].copy_from_slice(&scopes.pairs);
    Ok(pairs)
}
