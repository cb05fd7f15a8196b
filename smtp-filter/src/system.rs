//! What the machine has to offer before anything is begun.

use anyhow::{Result, bail};
use rustix::{
    process::geteuid,
    system::uname,
    thread::{CapabilitySet, capabilities},
};

/// A kernel's version: major and minor.
pub type Version = (u32, u32);

/// The oldest kernel that the programs are verified on.
pub const OLDEST: Version = (6, 1);
/// The first kernel with TCX links.
pub const TCX: Version = (6, 6);

/// The running kernel's version; `None` where its name does not begin with one.
pub fn kernel() -> Option<Version> {
    version(&uname().release().to_string_lossy())
}

fn version(release: &str) -> Option<Version> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Refuses a kernel that is too old. One whose name says nothing is tried.
pub fn require_kernel() -> Result<()> {
    require_version(kernel())
}

fn require_version(found: Option<Version>) -> Result<()> {
    if let Some((major, minor)) = found
        && (major, minor) < OLDEST
    {
        bail!(
            "this kernel is {major}.{minor}: smtp-filter needs Linux {}.{} or later ({}.{} or later for TCX)",
            OLDEST.0,
            OLDEST.1,
            TCX.0,
            TCX.1
        );
    }
    Ok(())
}

/// Whether this process may use BPF and the network's hooks.
pub fn is_privileged() -> bool {
    geteuid().is_root()
        || capabilities(None).is_ok_and(|sets| {
            sets.effective.contains(CapabilitySet::SYS_ADMIN)
                || sets.effective.contains(CapabilitySet::BPF | CapabilitySet::NET_ADMIN)
        })
}

/// Refuses who may not use BPF and the network's hooks; `what` is the command.
pub fn require_privileges(what: &str) -> Result<()> {
    if !is_privileged() {
        bail!("`smtp-filter {what}` needs root (CAP_BPF and CAP_NET_ADMIN): run it with sudo");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_release_names() {
        assert_eq!(version("6.18.44-fc-v782"), Some((6, 18)));
        assert_eq!(version("6.1.0-56-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("5.4"), Some((5, 4)));
        assert_eq!(version("next"), None);
    }

    #[test]
    fn an_old_kernel_is_refused_and_told_what_is_needed() {
        assert_eq!(
            require_version(Some((5, 10))).unwrap_err().to_string(),
            "this kernel is 5.10: smtp-filter needs Linux 6.1 or later (6.6 or later for TCX)"
        );
        for version in [None, Some((6, 1)), Some((6, 18)), Some((10, 0))] {
            assert!(require_version(version).is_ok());
        }
    }
}
