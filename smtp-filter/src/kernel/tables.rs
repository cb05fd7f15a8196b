//! The maps that the loader shares with the datapath, opened from a loaded object or from pins.

use std::{collections::HashMap as StdHashMap, net::IpAddr, os::fd::AsFd as _, path::Path};

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, ArrayOfMaps, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use smtp_filter_common::{
    abi::{self, Control, Lost},
    action::Action,
    bounds::{HANDSHAKE_BLOCKS, POLICY_SLOTS, POOL, READERS, SCOPES},
    entry::Connection,
    flow::{HalfOpen, Key, bloom::Block, gone::Gone},
    host::Slot,
    policy::Policy,
    reason::{COUNTERS_PER_REASON, Counter, REASONS, counter},
    scope::{Pairs, policy_index},
};

use crate::{
    live::{self, Live},
    pod::{PolicyBytes, Shared},
    policy::Compiled,
    prefixes,
};

/// Size of a reader's ring buffer: room for about 20,000 events.
const RING: u32 = 1 << 22;
/// `BPF_MAP_TYPE_RINGBUF`.
const RING_TYPE: u32 = 27;

/// Maps that outlast the loader: commands open them by their pins, and a loader that takes over goes on with them.
pub const PINNED_MAPS: [&str; 13] = [
    abi::CONTROL,
    abi::POLICIES,
    abi::PREFIXES,
    abi::PAIRS,
    abi::COUNTERS,
    abi::LOST,
    abi::READERS,
    abi::LIVE,
    abi::ROSTER,
    abi::GONE,
    abi::HANDSHAKES,
    abi::HALF,
    abi::POOL,
];

/// What is pinned is there, but of another layout: another version of smtp-filter made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherLayout(String);

impl std::fmt::Display for OtherLayout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "another version of smtp-filter put the filter on ({}): use that one, or let this one take over with \
             `smtp-filter up`",
            self.0
        )
    }
}

impl std::error::Error for OtherLayout {}

/// One counter with what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterRow {
    /// Reason number.
    pub reason: u16,
    /// What was done.
    pub action: Action,
    /// Whether it was carried out.
    pub enforced: bool,
    /// How often, and how many bytes.
    pub counter: Counter,
}

/// The maps.
pub struct Tables {
    control: Array<MapData, Shared<Control>>,
    policies: Array<MapData, PolicyBytes>,
    prefixes: MapData,
    pairs: Array<MapData, Pairs>,
    counters: PerCpuArray<MapData, Shared<Counter>>,
    lost: PerCpuArray<MapData, Shared<Lost>>,
    readers: MapData,
    live: MapData,
    half: MapData,
}

impl Tables {
    /// Opens the maps that lie in a folder of pins. Those of another layout are an [`OtherLayout`].
    pub fn open(folder: &Path) -> Result<Self> {
        let mut maps = StdHashMap::new();
        for name in PINNED_MAPS {
            let path = folder.join(name);
            let data = MapData::from_pin(&path).with_context(|| format!("open the pinned map {}", path.display()))?;
            maps.insert(name, data);
        }
        let tables = Self::new(maps)?;
        let version = tables.control.get(&0, 0).context("read the map CONTROL")?.0.version;
        if version == 0 {
            bail!("no policy has been put into it");
        }
        if version != abi::VERSION {
            bail!(OtherLayout(format!("layout {version}, not {}", abi::VERSION)));
        }
        Ok(tables)
    }

    /// Generation of the active policy of a filter of another layout. What the map CONTROL begins with is the same in
    /// all of them.
    pub fn generation_of_other(folder: &Path) -> Result<u32> {
        let path = folder.join(abi::CONTROL);
        let data = MapData::from_pin(&path).with_context(|| format!("open the pinned map {}", path.display()))?;
        let control: Array<MapData, Shared<Control>> = Map::from_map_data(data)?.try_into()?;
        Ok(control.get(&0, 0).context("read the map CONTROL")?.0.generation)
    }

    /// Opens the maps of a loaded object, which keeps its own handles.
    pub(crate) fn of(ebpf: &aya::Ebpf) -> Result<Self> {
        let mut maps = StdHashMap::new();
        for name in PINNED_MAPS {
            let map = ebpf.map(name).with_context(|| format!("the eBPF object has no map {name}"))?;
            maps.insert(name, duplicate(data(map).with_context(|| format!("map {name} is of an unexpected type"))?)?);
        }
        Self::new(maps)
    }

    fn new(mut maps: StdHashMap<&str, MapData>) -> Result<Self> {
        for (name, key, value, entries) in [
            (abi::CONTROL, 4, size_of::<Control>(), Some(1)),
            (abi::POLICIES, 4, size_of::<Policy>(), Some(POLICY_SLOTS * SCOPES as u32)),
            (abi::PREFIXES, 4, 4, Some(POLICY_SLOTS)),
            (abi::PAIRS, 4, size_of::<Pairs>(), Some(POLICY_SLOTS)),
            (abi::COUNTERS, 4, size_of::<Counter>(), Some(REASONS * COUNTERS_PER_REASON)),
            (abi::LOST, 4, size_of::<Lost>(), Some(1)),
            (abi::READERS, 4, 4, Some(READERS)),
            (abi::LIVE, size_of::<Key>(), size_of::<Connection>(), None),
            (abi::ROSTER, 4, size_of::<Key>(), None),
            (abi::GONE, size_of::<Key>(), size_of::<Gone>(), None),
            (abi::HANDSHAKES, 4, size_of::<Block>(), Some(HANDSHAKE_BLOCKS)),
            (abi::HALF, size_of::<Key>(), size_of::<HalfOpen>(), None),
            (abi::POOL, 4, size_of::<Slot>(), Some(POOL)),
        ] {
            let info = maps.get(name).context("all maps are there")?.info().context("look at a map")?;
            let found = (info.key_size() as usize, info.value_size() as usize);
            let fits = found == (key, value) && entries.is_none_or(|entries| entries == info.max_entries());
            if !fits {
                let entries = info.max_entries();
                bail!(OtherLayout(format!(
                    "map {name} has {entries} entries of {found:?} bytes, not of {:?}",
                    (key, value)
                )));
            }
        }
        let mut take = |name: &str| -> Result<MapData> { maps.remove(name).context("all maps are there") };
        let (readers, live, half) = (take(abi::READERS)?, take(abi::LIVE)?, take(abi::HALF)?);
        let prefixes = take(abi::PREFIXES)?;
        let mut typed = |name: &str| -> Result<Map> { Ok(Map::from_map_data(take(name)?)?) };
        Ok(Self {
            control: typed(abi::CONTROL)?.try_into()?,
            policies: typed(abi::POLICIES)?.try_into()?,
            prefixes,
            pairs: typed(abi::PAIRS)?.try_into()?,
            counters: typed(abi::COUNTERS)?.try_into()?,
            lost: typed(abi::LOST)?.try_into()?,
            readers,
            live,
            half,
        })
    }

    /// Generation of the active policy; 0 before there is one.
    pub fn generation(&self) -> Result<u32> {
        Ok(self.control.get(&0, 0).context("read the map CONTROL")?.0.generation)
    }

    /// Makes a policy the active one, with those of its scopes: they are written whole into slots that no segment
    /// reads, and one write of their generation makes every later segment read them.
    pub fn activate(&mut self, compiled: &Compiled) -> Result<()> {
        let generation = compiled.generation();
        // The trie of the generation before may still be read; of the older ones only their room is left. Before the
        // change: what fails here leaves the policy in force as it was.
        for older in 1..POLICY_SLOTS - 1 {
            self.empty_slot(&self.prefixes, (generation.wrapping_add(older)) % POLICY_SLOTS)?;
        }
        for (scope, policy) in (0..SCOPES as u32).zip(&compiled.policies) {
            let bytes = PolicyBytes::from(policy.as_ref());
            self.policies.set(policy_index(generation, scope), bytes, 0).context("write the policy")?;
        }
        let slot = generation % POLICY_SLOTS;
        if compiled.policies.len() > 1 {
            let scopes = &compiled.scopes;
            prefixes::put(&mut self.slots(&self.prefixes)?, slot, scopes)?;
            self.pairs.set(slot, prefixes::pairs(scopes)?, 0).context("write the pairs of the scopes")?;
        }
        let control = Shared(Control { version: abi::VERSION, generation });
        self.control.set(0, control, 0).context("make the policy the active one")
    }

    /// Every counter that is not zero, in the order of reasons.
    pub fn counters(&self) -> Result<Vec<CounterRow>> {
        let mut rows = Vec::new();
        for reason in 0..REASONS as u16 {
            for action in Action::ALL {
                for enforced in [true, false] {
                    let index = counter(reason, action as u8, enforced);
                    let values = self.counters.get(&index, 0).context("read the counters")?;
                    let mut sum = Counter::default();
                    for Shared(value) in values.iter() {
                        sum.segments += value.segments;
                        sum.bytes += value.bytes;
                    }
                    if sum != Counter::default() {
                        rows.push(CounterRow { reason, action, enforced, counter: sum });
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Events that found no room, by reader, and connections opened and closed.
    pub fn lost(&self) -> Result<Lost> {
        let mut sum = Lost::default();
        for Shared(value) in self.lost.get(&0, 0).context("read the lost events")?.iter() {
            for (slot, lost) in sum.events.iter_mut().zip(value.events) {
                *slot += lost;
            }
            sum.opened += value.opened;
            sum.closed += value.closed;
        }
        Ok(sum)
    }

    /// Connections in the live table, and how many it holds.
    pub fn live(&self) -> Result<(u64, u32)> {
        count::<{ size_of::<Connection>() }>(&self.live)
    }

    /// Half-open connections, and how many their table holds.
    pub fn half_open(&self) -> Result<(u64, u32)> {
        count::<{ size_of::<HalfOpen>() }>(&self.half)
    }

    /// The live connections of the clients that are wanted, in the order of their addresses and ports.
    pub fn connections(&self, wanted: impl Fn(IpAddr) -> bool) -> Result<Vec<Live>> {
        live::read(duplicate(&self.live)?, |key| wanted(live::address(key.client, key.client_port).ip()))
    }

    /// Puts a new ring buffer into a reader's slot. An older one there goes.
    pub(crate) fn put_ring(&mut self, slot: u32) -> Result<RingBuf<MapData>> {
        let definition = aya_obj::Map::new_from_params(RING_TYPE, 0, 0, RING, 0);
        let ring = MapData::create(definition, "smtp_events", None).context("make a ring buffer for the events")?;
        self.slots(&self.readers)?.set(slot, &ring, 0).context("register as a reader of events")?;
        Ok(Map::from_map_data(ring)?.try_into()?)
    }

    /// Whether a slot has a ring buffer.
    pub(crate) fn has_ring(&self, slot: u32) -> Result<bool> {
        self.has_map(&self.readers, slot)
    }

    /// Empties a reader's slot; nothing happens where it is empty.
    pub(crate) fn remove_ring(&mut self, slot: u32) -> Result<()> {
        self.empty_slot(&self.readers, slot)
    }

    fn slots(&self, maps: &MapData) -> Result<ArrayOfMaps<MapData, MapData>> {
        Ok(Map::ArrayOfMaps(duplicate(maps)?).try_into()?)
    }

    fn has_map(&self, maps: &MapData, slot: u32) -> Result<bool> {
        match self.slots(maps)?.get(&slot, 0) {
            Ok(_) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(error) => Err(error).context("look at a slot of an array of maps"),
        }
    }

    fn empty_slot(&self, maps: &MapData, slot: u32) -> Result<()> {
        if !self.has_map(maps, slot)? {
            return Ok(());
        }
        // aya removes nothing from an array of maps, the kernel does: the same call as for a hash of the same shape.
        let mut slots: HashMap<MapData, u32, u32> = Map::HashMap(duplicate(maps)?).try_into()?;
        slots.remove(&slot).context("empty a slot of an array of maps")
    }
}

/// How many entries a hash has, and how many it holds.
fn count<const VALUE: usize>(map: &MapData) -> Result<(u64, u32)> {
    let most = map.info().context("look at a table")?.max_entries();
    let by_key: HashMap<MapData, Shared<Key>, [u8; VALUE]> = Map::HashMap(duplicate(map)?).try_into()?;
    let mut found = 0;
    for key in by_key.keys() {
        key.context("walk through a table")?;
        found += 1;
        // The table changes meanwhile; an entry that goes starts the walk again. It ends all the same.
        if found >= u64::from(most) {
            break;
        }
    }
    Ok((found, most))
}

/// Another handle of a map.
pub(crate) fn duplicate(data: &MapData) -> Result<MapData> {
    let fd = data.fd().as_fd().try_clone_to_owned().context("duplicate a map's handle")?;
    Ok(MapData::from_fd(fd)?)
}

/// What a map of the types that are shared is made of.
fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data) => Some(data),
        _ => None,
    }
}
