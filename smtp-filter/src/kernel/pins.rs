//! The folder of pins: where what lies, who may change it, and how it goes.
//!
//! ```text
//! DIR/maps/NAME            the maps that are shared, and the loader's own INSTANCE and SOURCES
//! DIR/programs/NAME        the two programs at the hooks, and CHAIN, the array of those that follow them
//! DIR/programs/NAME_next   while a loader takes over: those that come in their place
//! DIR/links/INDEX-HOOK     TCX links, by interface index: removing one detaches
//! DIR/readers/SLOT/        empty: a reader of events holds a lock on the folder of its slot
//! DIR/building/            while another layout takes over: its maps, programs and readers, not whole yet
//! DIR/next/                the same, whole: what is at the hooks may come from there already
//! ```
//!
//! A lock on DIR itself is held by the command that changes something. Locks go with the process, so nobody has to
//! clean up after one that was killed.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use aya::{maps::MapData, programs::ProgramInfo};
use rustix::thread::{MembarrierCommand, membarrier};
use smtp_filter_common::{abi, bounds::READERS};

use super::lock::PATIENCE;
pub use super::lock::{Attempt, DirLock};
use crate::bpffs;

/// The side of an interface that a program sits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What comes in.
    Ingress,
    /// What goes out.
    Egress,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// Name of the program that sits there.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Ingress => abi::INGRESS,
            Self::Egress => abi::EGRESS,
        }
    }
}

/// A folder of pins, whether it is there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir(PathBuf);

impl PinDir {
    /// The folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where maps lie.
    pub fn maps(&self) -> PathBuf {
        self.0.join("maps")
    }

    /// Where programs lie.
    pub fn programs(&self) -> PathBuf {
        self.0.join("programs")
    }

    /// Where links lie.
    pub fn links(&self) -> PathBuf {
        self.0.join("links")
    }

    /// The link of a side of an interface.
    pub fn link(&self, ifindex: u32, side: Side) -> PathBuf {
        self.links().join(format!("{ifindex}-{}", side.name()))
    }

    /// Where readers' folders lie.
    pub fn readers(&self) -> PathBuf {
        self.0.join("readers")
    }

    /// The folder of a reader's slot.
    pub fn reader(&self, slot: u32) -> PathBuf {
        self.readers().join(slot.to_string())
    }

    /// The program of a side.
    pub fn program(&self, side: Side) -> PathBuf {
        self.programs().join(side.program())
    }

    /// The program that comes in its place.
    pub fn next_program(&self, side: Side) -> PathBuf {
        self.programs().join(format!("{}_next", side.program()))
    }

    /// The array of the programs that follow. It loses them where it is not pinned.
    pub fn chain(&self) -> PathBuf {
        self.programs().join(abi::CHAIN)
    }

    /// That of the programs that come in the place of the others.
    pub fn next_chain(&self) -> PathBuf {
        self.programs().join(format!("{}_next", abi::CHAIN))
    }

    /// All arrays of programs that follow that there may be.
    pub fn chains(&self) -> [PathBuf; 3] {
        [self.chain(), self.next_chain(), self.next().chain()]
    }

    /// Where another layout is made.
    pub fn building(&self) -> Self {
        Self(self.0.join("building"))
    }

    /// Where another layout lies that is whole and comes in the place of this one.
    pub fn next(&self) -> Self {
        Self(self.0.join("next"))
    }

    /// Whether programs may be at hooks: they are pinned until they are detached. What `down` removes comes after that,
    /// in the order programs, maps.
    pub fn has_programs(&self) -> bool {
        fs::read_dir(self.programs()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Whether a loader is taking over, or was killed while it did.
    pub fn is_unsettled(&self) -> bool {
        let next = Side::BOTH.map(|side| self.next_program(side));
        next.iter().chain([&self.next_chain(), &self.building().0, &self.next().0]).any(|path| path.exists())
    }

    /// Whether the folder is there with something in it.
    pub fn in_use(&self) -> bool {
        fs::read_dir(&self.0).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Refuses a folder that is there and cannot be a filter's: what lies in it is not the loader's to remove.
    pub fn require_pins(&self) -> Result<()> {
        let (folder, remedy) = (self.0.display(), "give the --pin-dir that it was put on with");
        if fs::symlink_metadata(&self.0).is_err() {
            return bpffs::require_own(&self.0);
        }
        if !bpffs::holds(&self.0) {
            bail!("{folder} is not in a BPF file system, so no filter is there: {remedy}");
        }
        if !self.0.parent().is_some_and(bpffs::holds) {
            bail!("{folder} is the BPF file system itself, and no filter's folder in it: {remedy}");
        }
        bpffs::require_own(&self.0)
    }

    /// Makes the folder where it is not there, and locks it. It is root's alone; an older version left it open for
    /// reading.
    pub fn claim(&self) -> Result<DirLock> {
        bpffs::ensure(&self.0)?;
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        if name.contains('.') {
            bail!(
                "the pin directory {} has a dot in its name, which the BPF file system refuses: take another \
                 name",
                self.0.display()
            );
        }
        // Another command that has just taken the filter off removes the folder while this waits for the lock.
        for _ in 0..PATIENCE.as_millis() {
            match make_folder(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("make the pin directory {}", self.0.display()));
                }
                _ => {}
            }
            bpffs::require_own(&self.0)?;
            if let Some(lock) = self.lock()? {
                lock.close_to_others()?;
                return Ok(lock);
            }
        }
        bail!("the pin directory {} is removed by others all the time", self.0.display())
    }

    /// Makes the folders within, but that of the links.
    pub fn create_set(&self) -> Result<()> {
        let slots = (0..READERS).map(|slot| self.reader(slot));
        for folder in [self.maps(), self.programs(), self.readers()].into_iter().chain(slots) {
            make_folder(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
        }
        Ok(())
    }

    /// Makes the folders within.
    pub fn create_folders(&self) -> Result<()> {
        self.create_set()?;
        self.create_links()
    }

    /// Makes the folder of links where it is not there: what removes a filter removes that one first.
    pub fn create_links(&self) -> Result<()> {
        match make_folder(&self.links()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("make the folder {}", self.links().display()))
            }
            _ => Ok(()),
        }
    }

    /// Makes a folder where another layout is made.
    pub fn create_building(&self) -> Result<Self> {
        let building = self.building();
        make_folder(&building.0).with_context(|| format!("make the folder {}", building.0.display()))?;
        building.create_set()?;
        Ok(building)
    }

    /// Says that what was built is whole.
    pub fn building_is_whole(&self) -> Result<()> {
        rename(&self.building().0, &self.next().0)
    }

    /// Puts the other layout that is whole in the place of this one. Where it was begun before, it goes on from there.
    pub fn swap(&self) -> Result<()> {
        let next = self.next();
        wait_for_segments();
        for folder in [Self::maps, Self::readers, Self::programs] {
            if folder(&next).exists() {
                // A reader of events ends when the folder of its slot goes.
                self.remove_part(&folder(self))?;
                rename(&folder(&next), &folder(self))?;
            }
        }
        remove_folder(&next.0)
    }

    /// Puts the programs that take over in the place of the others, which are at no hook any more.
    pub fn swap_programs(&self) -> Result<()> {
        for side in Side::BOTH {
            if self.next_program(side).exists() {
                rename(&self.next_program(side), &self.program(side))?;
            }
        }
        self.settle_chain()
    }

    /// Puts the chain that is to take over in the place of the other one if its programs are in theirs, and removes it
    /// else.
    pub fn settle_chain(&self) -> Result<()> {
        let next = self.next_chain();
        if !next.exists() {
            return Ok(());
        }
        let chain = MapData::from_pin(&next).and_then(|map| Ok(map.info()?.id()));
        let chain = chain.with_context(|| format!("open {}", next.display()))?;
        let program = self.program(Side::Ingress);
        let maps = if program.exists() { ProgramInfo::from_pin(&program)?.map_ids()? } else { None };
        if maps.is_some_and(|maps| maps.contains(&chain)) {
            wait_for_segments();
            rename(&next, &self.chain())
        } else {
            remove_file(&next)
        }
    }

    /// Removes another layout that is not whole.
    pub fn remove_building(&self) -> Result<()> {
        self.building().remove_set()
    }

    /// Removes another layout that is whole, and nowhere at a hook.
    pub fn remove_next(&self) -> Result<()> {
        self.next().remove_set()
    }

    /// Removes programs that were to take over, and are nowhere at a hook.
    pub fn remove_next_programs(&self) -> Result<()> {
        Side::BOTH.into_iter().try_for_each(|side| remove_file(&self.next_program(side)))?;
        self.settle_chain()
    }

    fn remove_set(&self) -> Result<()> {
        self.remove_set_within()?;
        remove_folder(&self.0)
    }

    fn remove_set_within(&self) -> Result<()> {
        [self.programs(), self.maps(), self.readers()].iter().try_for_each(|folder| self.remove_part(folder))
    }

    /// Removes one of the folders within, with what the loader puts there.
    fn remove_part(&self, folder: &Path) -> Result<()> {
        if *folder == self.readers() {
            for slot in 0..READERS {
                remove_folder(&self.reader(slot))?;
            }
        } else {
            remove_files(folder)?;
        }
        remove_folder(folder)
    }

    /// Waits for the lock on the folder; `None` where there is no folder.
    pub fn lock(&self) -> Result<Option<DirLock>> {
        DirLock::wait_for(&self.0)
    }

    /// Removes everything that the loader puts there, and the folder. What is not the loader's stays, with an error.
    pub fn remove(&self, lock: &DirLock) -> Result<()> {
        self.clear(lock)?;
        remove_folder(&self.0)
    }

    /// The same, but the folder itself stays. What was about to take over goes first: if this is interrupted, no
    /// command finishes that takeover without the maps that belong to it.
    pub fn clear(&self, _lock: &DirLock) -> Result<()> {
        self.remove_part(&self.links())?;
        self.building().remove_set()?;
        self.next().remove_set()?;
        self.remove_set_within()
    }
}

/// Waits until no segment is on its way any more that a program has begun with which was at a hook before: its chain
/// may go then. Where the kernel does not offer that, such a segment is dropped, and its sender sends it again.
pub(crate) fn wait_for_segments() {
    if let Err(error) = membarrier(MembarrierCommand::Global) {
        log::debug!("the kernel does not wait for segments on their way: {error}");
    }
}

/// Makes a folder that is its owner's alone.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(bpffs::MODE).create(path)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("rename {} to {}", from.display(), to.display()))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn remove_files(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("look into {}", folder.display()))?,
    };
    for entry in entries {
        let path = entry.with_context(|| format!("look into {}", folder.display()))?.path();
        if path.is_dir() {
            continue;
        }
        remove_file(&path)?;
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            bail!("{} stays: there are things in it that are not smtp-filter's", folder.display())
        }
        other => other.with_context(|| format!("remove {}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("smtp-filter-pins-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn what_is_not_the_loaders_stays() {
        let path = folder("foreign");
        fs::create_dir(path.join("maps")).unwrap();
        fs::write(path.join("maps/LIVE"), "").unwrap();
        fs::create_dir(path.join("mine")).unwrap();
        let pins = PinDir::new(&path);
        let lock = pins.lock().unwrap().unwrap();
        assert!(pins.remove(&lock).unwrap_err().to_string().ends_with("that are not smtp-filter's"));
        assert!(!path.join("maps").exists() && path.join("mine").exists());
        fs::remove_dir(path.join("mine")).unwrap();
        pins.remove(&lock).unwrap();
        assert!(!path.exists());
    }
}
