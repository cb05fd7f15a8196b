//! What cannot be derived from the maps of the datapath, in two pinned maps of the loader's own.
//!
//! INSTANCE says what is attached where. SOURCES holds for the active generation of the policy, and the one before, its
//! text and its names, written before the generation becomes the active one: whoever reads the active generation's
//! record reads a whole one, and a loader that dies on the way leaves the old one in force.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use smtp_filter_common::bounds::POLICY_SLOTS;

use crate::{clock, netns::Netns, policy::Names};

/// Name of the map with the instance's record.
pub(crate) const INSTANCE: &str = "INSTANCE";
/// Name of the map with the policies' records.
const SOURCES: &str = "SOURCES";
/// Bytes of a record that lie in one entry of a map.
const ROOM: usize = 16 * 1024;
/// Where a record's text begins; its length comes before it.
const HEAD: usize = size_of::<u32>();
/// Entries that a policy may fill: [`smtp_filter_common::bounds::PREFIXES`] prefixes, written out, take less.
const ENTRIES: usize = 4096;
/// `BPF_MAP_TYPE_HASH`.
const HASH: u32 = 1;
/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;
/// `BPF_F_NO_PREALLOC`: what is not used takes no room.
const NO_PREALLOC: u32 = 1;

/// How a program was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// By a TCX link.
    Tcx,
    /// As a filter of a clsact qdisc.
    Clsact,
}

impl Hook {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// One interface of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Its name when the filter was put on.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// How the programs were attached.
    pub hook: Hook,
    /// clsact: handle of the filters, on both sides.
    pub handle: u32,
    /// clsact: whether the qdisc was made for the filter, and goes with it.
    pub made_qdisc: bool,
}

/// What is known of an instance from its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Who put it on or took it over last: a number that no other `up` has. Only its owner takes it off when it ends.
    #[serde(default)]
    pub owner: u64,
    /// Until when it has to be confirmed, or it goes off: nanoseconds since boot.
    #[serde(default)]
    pub confirm_until: Option<u64>,
    /// When it was put on: nanoseconds since boot. The grace for connections older than the filter counts from here.
    pub up_at: u64,
    /// Since when its counters count: later takeovers, also those that come to another interface, do not change it.
    /// None: an older version put it on.
    #[serde(default)]
    pub on_since: Option<u64>,
    /// The version of smtp-filter that put it on or took it over last; none: an older one, which did not say.
    #[serde(default)]
    pub version: Option<String>,
    /// When the machine was booted by the clock on the wall then: nanoseconds after 1970.
    pub boot: u64,
    /// Its network namespace.
    pub netns: Netns,
    /// Its interfaces.
    pub interfaces: Vec<Attached>,
}

impl Instance {
    /// Since when it is on and its counters count: nanoseconds since boot.
    pub fn since(&self) -> u64 {
        self.on_since.unwrap_or(self.up_at)
    }

    /// Whether it was not confirmed in time: it does nothing any more.
    pub fn is_expired(&self) -> bool {
        self.confirm_until.is_some_and(|until| until <= clock::since_boot())
    }
}

/// A policy as it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its generation: which slot it lies in. A takeover makes a new one of the same policy.
    pub generation: u32,
    /// How many policies were in force so far, this one included; none: an older version set it, and its generation
    /// says.
    #[serde(default)]
    pub changes: Option<u32>,
    /// The effective policy as a file.
    pub text: String,
    /// Which verb and which keyword has which counter.
    #[serde(flatten)]
    pub names: Names,
}

impl Source {
    /// Counts the policies since the filter was put on, as people see it.
    pub fn shown(&self) -> u32 {
        self.changes.unwrap_or(self.generation)
    }

    /// Makes the same policy, or another one, the next to be in force.
    pub fn advance(&mut self, changed: bool) {
        self.changes = Some(self.shown().wrapping_add(u32::from(changed)));
        self.generation = self.generation.wrapping_add(1);
    }
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Blob([u8; ROOM]);

// SAFETY: bytes.
unsafe impl aya::Pod for Blob {}

/// A record in entries: its length, then its text, then zeros.
fn encode(record: &impl Serialize) -> Result<Vec<Blob>> {
    let mut bytes = vec![0; HEAD];
    serde_json::to_writer(&mut bytes, record).context("write a record")?;
    let length = u32::try_from(bytes.len() - HEAD).context("write a record")?;
    bytes[..HEAD].copy_from_slice(&length.to_le_bytes());
    let blob = |bytes: &[u8]| {
        let mut blob = Blob([0; ROOM]);
        blob.0[..bytes.len()].copy_from_slice(bytes);
        blob
    };
    Ok(bytes.chunks(ROOM).map(blob).collect())
}

/// Entries that a record of so many bytes fills.
fn entries(length: usize) -> usize {
    (HEAD + length).div_ceil(ROOM)
}

/// Bytes of the record that begins with this entry.
fn length(first: &Blob) -> usize {
    first.0.first_chunk().map_or(0, |head| u32::from_le_bytes(*head) as usize)
}

fn decode<T: DeserializeOwned>(blobs: &[Blob]) -> Result<T> {
    let bytes: Vec<u8> = blobs.iter().flat_map(|blob| blob.0).collect();
    let length = blobs.first().map_or(0, length);
    let text = bytes.get(HEAD..HEAD + length).context("a record is longer than its room")?;
    Ok(serde_json::from_slice(text)?)
}

/// The two maps.
pub struct Records {
    instance: Array<MapData, Blob>,
    /// By the generation's slot (upper 32 bits) and the number of the entry in its record.
    sources: HashMap<MapData, u64, Blob>,
}

const fn key(slot: u32, entry: usize) -> u64 {
    (slot as u64) << 32 | entry as u64
}

impl Records {
    /// Makes the maps and pins them in a folder.
    pub fn create(folder: &Path) -> Result<Self> {
        let sources = (HASH, size_of::<u64>(), POLICY_SLOTS * ENTRIES as u32, NO_PREALLOC);
        for (name, (kind, key, entries, flags)) in [(INSTANCE, (ARRAY, size_of::<u32>(), 1, 0)), (SOURCES, sources)] {
            let definition = aya_obj::Map::new_from_params(kind, key as u32, ROOM as u32, entries, flags);
            let map = MapData::create(definition, name, None).with_context(|| format!("make the map {name}"))?;
            let path = folder.join(name);
            map.pin(&path).with_context(|| format!("pin the map {}", path.display()))?;
        }
        Self::open(folder)
    }

    /// Opens the pinned maps.
    pub fn open(folder: &Path) -> Result<Self> {
        let open = |name: &str| -> Result<Map> {
            let path = folder.join(name);
            let data = MapData::from_pin(&path).with_context(|| format!("open the pinned map {}", path.display()))?;
            Ok(Map::from_map_data(data)?)
        };
        Ok(Self { instance: open(INSTANCE)?.try_into()?, sources: open(SOURCES)?.try_into()? })
    }

    /// What is attached; `None` before that was written.
    pub fn instance(&self) -> Result<Option<Instance>> {
        match self.instance.get(&0, 0) {
            Ok(blob) if length(&blob) == 0 => Ok(None),
            Ok(blob) => decode(&[blob]).map(Some).context("read what is attached"),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).context("read what is attached"),
        }
    }

    /// Writes down what is attached.
    pub fn set_instance(&mut self, instance: &Instance) -> Result<()> {
        let [blob] = encode(instance)?[..] else { bail!("too much is attached to be written down") };
        self.instance.set(0, blob, 0).context("write down what is attached")
    }

    /// The policy of a generation; `None` where its slot holds another one.
    pub fn source(&self, generation: u32) -> Result<Option<Source>> {
        let slot = generation % POLICY_SLOTS;
        let Some(first) = self.entry(slot, 0)? else { return Ok(None) };
        let mut blobs = vec![first];
        for entry in 1..entries(length(&first)) {
            // It goes, for another one was set meanwhile.
            let Some(blob) = self.entry(slot, entry)? else { return Ok(None) };
            blobs.push(blob);
        }
        let source: Source = decode(&blobs).context("read the policy's source")?;
        Ok((source.generation == generation).then_some(source))
    }

    /// Writes a policy down under its generation. Those but the one before go.
    pub fn set_source(&mut self, source: &Source) -> Result<()> {
        let blobs = encode(source)?;
        if blobs.len() > ENTRIES {
            bail!("the policy is too large to be kept: {} bytes of at most {}", blobs.len() * ROOM, ENTRIES * ROOM);
        }
        let slot = |ahead: u32| source.generation.wrapping_add(ahead) % POLICY_SLOTS;
        for older in 0..POLICY_SLOTS - 1 {
            self.remove_source(slot(older))?;
        }
        for (entry, blob) in blobs.iter().enumerate() {
            self.sources.insert(key(slot(0), entry), blob, 0).context("write the policy's source down")?;
        }
        Ok(())
    }

    fn entry(&self, slot: u32, entry: usize) -> Result<Option<Blob>> {
        match self.sources.get(&key(slot, entry), 0) {
            Ok(blob) => Ok(Some(blob)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).context("read the policy's source"),
        }
    }

    fn remove_source(&mut self, slot: u32) -> Result<()> {
        let Some(first) = self.entry(slot, 0)? else { return Ok(()) };
        // From the last one on: what is left of one that was killed half-way still says how long it is.
        for entry in (0..entries(length(&first))).rev() {
            match self.sources.remove(&key(slot, entry)) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error).context("remove the source of an older policy"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use smtp_filter_common::{action::Action, reason::FIRST_KEYWORD};

    use super::*;
    use crate::policy::{PORTS, Profile, WordName, to_toml};

    #[test]
    fn the_largest_policy_fits() {
        let mut document = Profile::Monitor.document();
        document.values.set_ports((60_000..60_000 + PORTS as u16).collect());
        let mut names = Names::default();
        for i in 0..255 {
            let verb = WordName::new(&format!("\"\"\"\"\"\"\"\"\"\"\"\"\"{i}")).unwrap();
            names.place(&verb).unwrap();
            if i < 34 {
                document.commands.named.insert(verb, document.commands.other);
            }
        }
        for i in 0..127 {
            let keyword = WordName::new(&format!("\"\"\"\"\"\"\"\"\"\"\"\"\"{i}")).unwrap();
            names.keyword_place(&keyword).unwrap();
            if i < 64 {
                document.extensions.named.insert(keyword, Action::Mask);
            }
        }
        let source = Source { generation: 9, changes: Some(7), text: to_toml(&document), names };
        let blobs = encode(&source).unwrap();
        assert_eq!((decode::<Source>(&blobs).unwrap(), blobs.len()), (source, 2));
    }

    #[test]
    fn a_text_of_any_length_comes_back() {
        for length in (0..3).chain(ROOM - 100..ROOM + 100).chain([5 * ROOM]) {
            let source = Source { generation: 1, changes: None, text: "x".repeat(length), names: Names::default() };
            let blobs = encode(&source).unwrap();
            assert_eq!((decode::<Source>(&blobs).unwrap(), blobs.len()), (source, entries(super::length(&blobs[0]))));
        }
    }

    #[test]
    fn names_are_read_from_a_version_without_keywords_and_by_it() {
        let older = serde_json::json!({ "generation": 3, "text": "", "names": ["other", "EHLO"] });
        let source: Source = serde_json::from_value(older.clone()).unwrap();
        assert_eq!(
            (source.names.reason(65), source.names.reason(FIRST_KEYWORD)),
            ("commands.ehlo".into(), "extensions.other".into())
        );
        let newer = serde_json::to_value(&source).unwrap();
        assert_eq!((&newer["names"], &newer["keywords"]), (&older["names"], &serde_json::json!(["other"])));
    }

    #[test]
    fn a_length_that_lies_is_an_error() {
        let mut blob = Blob([0; ROOM]);
        blob.0[..HEAD].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decode::<Source>(&[blob]).is_err());
    }
}
