//! The folder of pins: where what lies, who may change it, and how it goes.
//!
//! ```text
//! DIR/maps/NAME            the maps of the object, and the loader's own INSTANCE and SOURCES
//! DIR/programs/NAME        the two programs
//! DIR/links/INDEX-HOOK     TCX links, by interface index: removing one detaches
//! DIR/readers/SLOT/        empty: a reader of events holds a lock on the folder of its slot
//! ```
//!
//! A lock on DIR itself is held by whoever changes something. Locks go with the process, so nobody has to clean up
//! after one that was killed.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use smtp_filter_common::limits::READERS;

use crate::bpffs;

/// How long a command waits for another one to finish its change.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(5);

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

    /// Whether the folder is there with something in it.
    pub fn in_use(&self) -> bool {
        fs::read_dir(&self.0).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Makes the folder, locks it, and refuses one that has something in it.
    pub fn create(&self) -> Result<DirLock> {
        bpffs::ensure(&self.0)?;
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        if name.contains('.') {
            bail!("the pin directory {} has a dot in its name, which the BPF file system refuses", self.0.display());
        }
        match fs::create_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("make the pin directory {}", self.0.display()));
            }
            _ => {}
        }
        let lock = self.lock()?.with_context(|| format!("the pin directory {} went at once", self.0.display()))?;
        if self.in_use() {
            bail!(
                "another instance is there: {} is in use: `smtp-filter down` takes it off, another --pin-dir lets both \
                 live side by side",
                self.0.display()
            );
        }
        Ok(lock)
    }

    /// Makes the folders within.
    pub fn create_folders(&self) -> Result<()> {
        let slots = (0..READERS).map(|slot| self.reader(slot));
        for folder in [self.maps(), self.programs(), self.links(), self.readers()].into_iter().chain(slots) {
            fs::create_dir(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
        }
        Ok(())
    }

    /// Waits for the lock on the folder; `None` where there is no folder.
    pub fn lock(&self) -> Result<Option<DirLock>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match DirLock::try_on(&self.0)? {
                Attempt::Locked(lock) => return Ok(Some(lock)),
                Attempt::Gone => return Ok(None),
                Attempt::Busy if Instant::now() > deadline => {
                    bail!("another smtp-filter command is changing {} and does not finish", self.0.display());
                }
                Attempt::Busy => thread::sleep(PAUSE),
            }
        }
    }

    /// Removes everything that the loader puts there, and the folder. What is not the loader's stays, with an error.
    pub fn remove(&self, _lock: &DirLock) -> Result<()> {
        for folder in [self.links(), self.programs(), self.maps()] {
            remove_files(&folder)?;
            remove_folder(&folder)?;
        }
        for slot in 0..READERS {
            remove_folder(&self.reader(slot))?;
        }
        remove_folder(&self.readers())?;
        remove_folder(&self.0)
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
        fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
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

/// A lock on a folder, held while this lives.
#[derive(Debug)]
pub struct DirLock {
    folder: File,
    path: PathBuf,
}

/// What became of a try for a lock.
#[derive(Debug)]
pub enum Attempt {
    /// It is held now.
    Locked(DirLock),
    /// Another process holds it.
    Busy,
    /// There is no such folder.
    Gone,
}

impl DirLock {
    /// Tries to lock a folder, without waiting.
    pub fn try_on(path: &Path) -> Result<Attempt> {
        let folder = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Attempt::Gone),
            folder => folder.with_context(|| format!("open {}", path.display()))?,
        };
        match flock(folder.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(Attempt::Busy),
            other => other.with_context(|| format!("lock {}", path.display()))?,
        }
        let lock = Self { folder, path: path.to_owned() };
        // The folder may have been removed, and another made in its place, between opening and locking.
        Ok(if lock.is_there() { Attempt::Locked(lock) } else { Attempt::Busy })
    }

    /// Whether the locked folder is still the one at its path.
    pub fn is_there(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let now = fs::metadata(&self.path).map(identity);
        let own = self.folder.metadata().map(identity);
        matches!((now, own), (Ok(now), Ok(own)) if now == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("smtp-filter-lock-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn a_lock_is_held_by_one_and_goes_with_it() {
        let path = folder("one");
        let Attempt::Locked(lock) = DirLock::try_on(&path).unwrap() else { panic!("free") };
        assert!(matches!(DirLock::try_on(&path).unwrap(), Attempt::Busy));
        drop(lock);
        assert!(matches!(DirLock::try_on(&path).unwrap(), Attempt::Locked(_)));
        fs::remove_dir(&path).unwrap();
    }

    #[test]
    fn a_lock_notices_that_its_folder_went() {
        let path = folder("gone");
        let Attempt::Locked(lock) = DirLock::try_on(&path).unwrap() else { panic!("free") };
        assert!(lock.is_there());
        fs::remove_dir(&path).unwrap();
        assert!(!lock.is_there());
        fs::create_dir(&path).unwrap();
        assert!(!lock.is_there());
        fs::remove_dir(&path).unwrap();
        assert!(matches!(DirLock::try_on(&path).unwrap(), Attempt::Gone));
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
