//! Network namespaces: entering one, knowing one again.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, netdevice, socket},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use serde::{Deserialize, Serialize};

/// Where named namespaces lie.
const NAMED: &str = "/run/netns";
/// The calling thread's own.
const OWN: &str = "/proc/thread-self/ns/net";

/// A namespace by which it is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    device: u64,
    inode: u64,
}

impl Netns {
    /// The calling thread's.
    pub fn current() -> Result<Self> {
        Self::at(Path::new(OWN)).context("look at the network namespace")
    }

    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// Does something in this namespace; `None` where no name and no process leads to it any more.
    pub fn inside<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<Option<T>> {
        if Self::current()? == self {
            return Ok(Some(work()));
        }
        let Some(path) = self.find() else { return Ok(None) };
        let entered = thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter_path(&path)?;
                    Ok::<T, anyhow::Error>(work())
                })
                .join()
        });
        entered.map_err(|_| anyhow!("the work in {} ended early", path.display()))?.map(Some)
    }

    /// A path that leads to it: a named namespace, or a process that is in it.
    fn find(self) -> Option<PathBuf> {
        let named = entries(Path::new(NAMED));
        let of_processes = entries(Path::new("/proc")).map(|process| process.join("ns/net"));
        named.chain(of_processes).find(|path| Self::at(path).is_ok_and(|found| found == self))
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path())
}

/// Moves the calling thread into a named network namespace, or into the one at a path. Threads started later are
/// there too; mounts stay as they are.
pub fn enter(name: &str) -> Result<()> {
    let path = if name.contains('/') { PathBuf::from(name) } else { Path::new(NAMED).join(name) };
    let known = "`ip netns list` shows which there are";
    if !path.exists() {
        bail!("there is no network namespace {}: {known}", path.display());
    }
    enter_path(&path).map_err(|error| match error.downcast_ref() {
        Some(&Errno::INVAL) => anyhow!("{} is no network namespace: {known}", path.display()),
        _ => error,
    })
}

fn enter_path(path: &Path) -> Result<()> {
    let namespace = File::open(path).with_context(|| format!("open the network namespace {}", path.display()))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("enter the network namespace {}", path.display()))
}

/// The index of an interface in the calling thread's namespace.
pub fn interface_index(name: &str) -> Result<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).context("open a socket")?;
    netdevice::name_to_index(any, name)
        .map_err(|_| anyhow!("there is no interface {name:?} here: `ip link` shows which there are"))
}

/// The name of an interface in the calling thread's namespace.
pub fn interface_name(index: u32) -> Option<String> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::index_to_name(any, index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_the_first_index() {
        assert_eq!(interface_index("lo").unwrap(), 1);
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert_eq!(
            interface_index("no\u{1b}such").unwrap_err().to_string(),
            "there is no interface \"no\\u{1b}such\" here: `ip link` shows which there are"
        );
    }

    #[test]
    fn the_own_namespace_is_known_again() {
        let own = Netns::current().unwrap();
        assert_eq!(own.inside(|| 7).unwrap(), Some(7));
        assert_eq!(Netns { inode: 1, ..own }.inside(|| 7).unwrap(), None);
    }

    #[test]
    fn a_namespace_that_is_not_there_is_named() {
        assert_eq!(
            enter("no-such").unwrap_err().to_string(),
            "there is no network namespace /run/netns/no-such: `ip netns list` shows which there are"
        );
    }
}
