//! What cannot be derived from the maps of the datapath, in two pinned maps of the loader's own.
//!
//! INSTANCE says what is attached where. SOURCES holds for each generation of the policy its text and its names, in
//! the slot of that generation, written before the generation becomes the active one: whoever reads the active
//! generation's record reads a whole one, and a loader that dies on the way leaves the old one in force.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, Map, MapData, MapError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use smtp_filter_common::limits::POLICY_SLOTS;

use crate::{clock, netns::Netns, policy::Names};

/// Name of the map with the instance's record.
const INSTANCE: &str = "INSTANCE";
/// Name of the map with the policies' records.
const SOURCES: &str = "SOURCES";
/// Room for one record: a policy of 64 verbs, 64 keywords and 1,024 ports with 384 names takes less than half.
const ROOM: usize = 64 * 1024;
/// Where a record's text begins; before it stands its length.
const HEAD: usize = size_of::<u32>();
/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;

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
    /// When the machine was booted by the clock on the wall then: nanoseconds after 1970.
    pub boot: u64,
    /// Its network namespace.
    pub netns: Netns,
    /// Its interfaces.
    pub interfaces: Vec<Attached>,
}

impl Instance {
    /// Whether it was not confirmed in time: it does nothing any more.
    pub fn is_expired(&self) -> bool {
        self.confirm_until.is_some_and(|until| until <= clock::since_boot())
    }
}

/// A policy as it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its generation.
    pub generation: u32,
    /// The effective policy as a file.
    pub text: String,
    /// Which verb and which keyword has which counter.
    #[serde(flatten)]
    pub names: Names,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Blob([u8; ROOM]);

// SAFETY: bytes.
unsafe impl aya::Pod for Blob {}

fn encode(record: &impl Serialize) -> Result<Blob> {
    let text = serde_json::to_vec(record).context("write a record")?;
    let mut blob = Blob([0; ROOM]);
    if text.len() > ROOM - HEAD {
        bail!("the policy is too large to be kept: {} bytes of at most {}", text.len(), ROOM - HEAD);
    }
    blob.0[..HEAD].copy_from_slice(&(text.len() as u32).to_le_bytes());
    blob.0[HEAD..HEAD + text.len()].copy_from_slice(&text);
    Ok(blob)
}

fn decode<T: DeserializeOwned>(blob: &Blob) -> Result<T> {
    let (head, text) = blob.0.split_at(HEAD);
    let length = u32::from_le_bytes(head.try_into()?) as usize;
    let text = text.get(..length).context("a record is longer than its room")?;
    Ok(serde_json::from_slice(text)?)
}

/// The two maps.
pub struct Records {
    instance: Array<MapData, Blob>,
    sources: Array<MapData, Blob>,
}

impl Records {
    /// Makes the maps and pins them in a folder.
    pub fn create(folder: &Path) -> Result<Self> {
        for (name, entries) in [(INSTANCE, 1), (SOURCES, POLICY_SLOTS)] {
            let definition = aya_obj::Map::new_from_params(ARRAY, HEAD as u32, ROOM as u32, entries, 0);
            let map = MapData::create(definition, name, None).with_context(|| format!("make the map {name}"))?;
            let path = folder.join(name);
            map.pin(&path).with_context(|| format!("pin the map {}", path.display()))?;
        }
        Self::open(folder)
    }

    /// Opens the pinned maps.
    pub fn open(folder: &Path) -> Result<Self> {
        let open = |name: &str| -> Result<Array<MapData, Blob>> {
            let path = folder.join(name);
            let data = MapData::from_pin(&path).with_context(|| format!("open the pinned map {}", path.display()))?;
            Ok(Map::from_map_data(data)?.try_into()?)
        };
        Ok(Self { instance: open(INSTANCE)?, sources: open(SOURCES)? })
    }

    /// What is attached; `None` before that was written.
    pub fn instance(&self) -> Result<Option<Instance>> {
        match self.instance.get(&0, 0) {
            Ok(blob) if blob.0[..HEAD] == [0; HEAD] => Ok(None),
            Ok(blob) => decode(&blob).map(Some).context("read what is attached"),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).context("read what is attached"),
        }
    }

    /// Writes down what is attached.
    pub fn set_instance(&mut self, instance: &Instance) -> Result<()> {
        self.instance.set(0, encode(instance)?, 0).context("write down what is attached")
    }

    /// The policy of a generation; `None` where its slot holds another one.
    pub fn source(&self, generation: u32) -> Result<Option<Source>> {
        let blob = self.sources.get(&(generation % POLICY_SLOTS), 0).context("read the policy's source")?;
        if blob.0[..HEAD] == [0; HEAD] {
            return Ok(None);
        }
        let source: Source = decode(&blob).context("read the policy's source")?;
        Ok((source.generation == generation).then_some(source))
    }

    /// Writes a policy down under its generation.
    pub fn set_source(&mut self, source: &Source) -> Result<()> {
        let slot = source.generation % POLICY_SLOTS;
        self.sources.set(slot, encode(source)?, 0).context("write the policy's source down")
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
        document.ports = (60_000..60_000 + PORTS as u16).collect();
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
        let source = Source { generation: 9, text: to_toml(&document), names };
        let blob = encode(&source).unwrap();
        assert_eq!(decode::<Source>(&blob).unwrap(), source);
        assert!(u32::from_le_bytes(blob.0[..HEAD].try_into().unwrap()) < ROOM as u32 / 2);
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
        assert!(decode::<Source>(&blob).is_err());
    }
}
