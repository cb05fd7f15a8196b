//! What the machine has to offer before anything is begun.

use anyhow::{Result, bail};
use aya::util::KernelVersion;
use rustix::{
    process::geteuid,
    thread::{CapabilitySet, capabilities},
};

/// The oldest kernel that the programs are verified on.
pub const OLDEST: KernelVersion = KernelVersion::new(6, 1, 0);
/// The first kernel with TCX links.
pub const TCX: KernelVersion = KernelVersion::new(6, 6, 0);

/// The running kernel's version; `None` where it does not say one.
pub fn kernel() -> Option<KernelVersion> {
    KernelVersion::current().ok()
}

/// A version as people write it, without its patch level.
pub fn written(version: KernelVersion) -> String {
    // As in KERNEL_VERSION of linux/version.h.
    let code = version.code();
    format!("{}.{}", code >> 16, code >> 8 & 0xff)
}

/// Refuses a kernel that is too old. One whose name says nothing is tried.
pub fn require_kernel() -> Result<()> {
    require_version(kernel())
}

fn require_version(found: Option<KernelVersion>) -> Result<()> {
    match found {
        Some(version) if version < OLDEST => bail!(
            "this kernel is {}: smtp-filter needs Linux {} or later ({} or later for TCX)",
            written(version),
            written(OLDEST),
            written(TCX)
        ),
        _ => Ok(()),
    }
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
    fn the_running_kernel_says_its_version() {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        assert!(release.starts_with(&format!("{}.", written(kernel().unwrap()))), "{release}");
        assert_eq!(written(KernelVersion::new(6, 18, 44)), "6.18");
    }

    #[test]
    fn an_old_kernel_is_refused_and_told_what_is_needed() {
        assert_eq!(
            require_version(Some(KernelVersion::new(5, 10, 0))).unwrap_err().to_string(),
            "this kernel is 5.10: smtp-filter needs Linux 6.1 or later (6.6 or later for TCX)"
        );
        for version in [None, Some((6, 1)), Some((6, 18)), Some((10, 0))] {
            let version = version.map(|(major, minor)| KernelVersion::new(major, minor, 0));
            assert!(require_version(version).is_ok());
        }
    }
}
