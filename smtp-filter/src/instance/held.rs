//! The BPF file system unmounted under a filter: its pins are out of reach, and with whoever holds them last the links
//! go.
//!
//! Who keeps the folder of pins open holds all of that: the filter stays on, and is pinned again in a file system that
//! is mounted in the place of the other one. Connections, counters and the policy stay.

use std::{
    fs::{self, File},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::{
    maps::MapData,
    programs::{
        SchedClassifier,
        links::{FdLink, PinnedLink},
    },
};

use super::take_off::clear_all;
use crate::{
    bpffs,
    pins::{DirLock, PinDir, Side},
    record::Records,
};

/// A folder of pins that is kept open.
pub struct Held {
    pins: PinDir,
    folder: File,
    device: u64,
    /// Where its file system was mounted.
    point: PathBuf,
}

/// What became of a filter whose file system was unmounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is pinned again.
    Here,
    /// Another filter has been put on in its place, and this one is off.
    Replaced,
}

impl Held {
    /// Opens the folder of a filter that is on.
    pub fn hold(pins: &PinDir) -> Result<Self> {
        let what = || format!("hold the pin directory {}", pins.path().display());
        let folder = File::open(pins.path()).with_context(what)?;
        let device = folder.metadata().with_context(what)?.dev();
        let point = bpffs::mount_point(pins.path()).context("it is in no BPF file system").with_context(what)?;
        Ok(Self { pins: pins.clone(), folder, device, point })
    }

    /// Where the file system was mounted.
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// The pins, wherever their file system is mounted by now, or nowhere.
    fn within(&self) -> PinDir {
        PinDir::new(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))
    }

    /// Whether the file system was unmounted, or another one mounted over it, while the pins are whole.
    pub fn is_cut_off(&self) -> bool {
        let above = self.pins.path().parent().and_then(|above| fs::metadata(above).ok());
        above.is_none_or(|above| above.dev() != self.device) && self.within().in_use()
    }

    /// Pins everything again at the old path, and mounts a BPF file system there where there is none. Where another
    /// `up` has put on a filter of its own there, it gives way to that.
    pub fn restore(&self) -> Result<Restored> {
        if !bpffs::holds(&self.point) {
            bpffs::mount_at(&self.point)?;
        }
        if let Some(above) = self.pins.path().parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(bpffs::MODE)
                .create(above)
                .with_context(|| format!("make the folder {}", above.display()))?;
        }
        let lock = self.pins.claim()?;
        let old = self.within();
        if self.pins.in_use() {
            if instance_id(&self.pins).is_some_and(|there| Some(there) == instance_id(&old)) {
                return Ok(Restored::Here);
            }
            self.take_off()?;
            return Ok(Restored::Replaced);
        }
        if let Err(error) = self.pins.create_folders().and_then(|()| pin_again(&old, &self.pins)) {
            if let Err(error) = self.pins.remove(&lock) {
                log::error!("{error:#}");
            }
            return Err(error);
        }
        // Else the links would outlast `down` where the old file system is only covered by another one.
        if let Some(lock) = old.lock()? {
            old.clear(&lock)?;
        }
        Ok(Restored::Here)
    }

    /// Takes the filter off.
    pub fn take_off(&self) -> Result<()> {
        let pins = self.within();
        let lock: Option<DirLock> = pins.lock()?;
        lock.map_or(Ok(()), |lock| clear_all(&pins, &lock))
    }

    /// Whether the filter is this owner's still.
    pub fn is_of(&self, owner: u64) -> bool {
        let instance = Records::open(&self.within().maps()).and_then(|records| records.instance());
        matches!(instance, Ok(Some(instance)) if instance.owner == owner)
    }
}

/// The number of the map by which two folders are known to be of the same filter.
fn instance_id(pins: &PinDir) -> Option<u32> {
    Some(MapData::from_pin(pins.maps().join(crate::record::INSTANCE)).ok()?.info().ok()?.id())
}

/// Pins maps, programs and links of one folder in another one. The links come last: with them a filter is whole.
fn pin_again(from: &PinDir, to: &PinDir) -> Result<()> {
    let again = |from: &Path, to: &Path, pin: fn(&Path, &Path) -> Result<()>| -> Result<()> {
        pin(from, to).with_context(|| format!("pin {} again", to.display()))
    };
    let files = |folder: PathBuf| -> Result<Vec<PathBuf>> {
        let what = || format!("look into {}", folder.display());
        let entries = fs::read_dir(&folder).with_context(what)?;
        entries.map(|entry| entry.map(|entry| entry.path()).with_context(what)).collect()
    };
    for map in files(from.maps())? {
        again(&map, &to.maps().join(map.file_name().unwrap_or_default()), |from, to| {
            Ok(MapData::from_pin(from)?.pin(to)?)
        })?;
    }
    // One that an older version put on has none.
    if from.chain().exists() {
        again(&from.chain(), &to.chain(), |from, to| Ok(MapData::from_pin(from)?.pin(to)?))?;
    }
    for side in Side::BOTH {
        again(&from.program(side), &to.program(side), |from, to| Ok(SchedClassifier::from_pin(from)?.pin(to)?))?;
    }
    for link in files(from.links())? {
        again(&link, &to.links().join(link.file_name().unwrap_or_default()), |from, to| {
            FdLink::from(PinnedLink::from_pin(from)?).pin(to)?;
            Ok(())
        })?;
    }
    Ok(())
}
