//! The lock on a folder: who changes a filter holds the lock on its pins, a reader of events that on its slot.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::bpffs;

/// How long a command waits for another one to finish its change.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(5);

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

    /// Waits for the lock on a folder; `None` where there is no folder.
    pub fn wait_for(path: &Path) -> Result<Option<Self>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Self::try_on(path)? {
                Attempt::Locked(lock) => return Ok(Some(lock)),
                Attempt::Gone => return Ok(None),
                Attempt::Busy if Instant::now() > deadline => {
                    bail!("another smtp-filter command is changing {} and does not finish", path.display());
                }
                Attempt::Busy => thread::sleep(PAUSE),
            }
        }
    }

    /// Takes the folder away from everybody but its owner.
    pub(super) fn close_to_others(&self) -> Result<()> {
        let what = || format!("make {} its owner's alone", self.path.display());
        let mode = self.folder.metadata().with_context(what)?.mode();
        if mode & 0o777 & !bpffs::MODE == 0 {
            return Ok(());
        }
        self.folder.set_permissions(fs::Permissions::from_mode(bpffs::MODE)).with_context(what)
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
}
