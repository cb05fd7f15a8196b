//! The BPF file system, in which everything lives that outlasts a process.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::statfs,
    mount::{MountFlags, mount},
};

/// Where it is mounted by convention.
pub const MOUNT_POINT: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of the kernel.
const MAGIC: i64 = 0xcafe_4a11;
/// The file systems that the kernel knows.
const FILE_SYSTEMS: &str = "/proc/filesystems";

/// Whether this folder lies in a BPF file system.
pub fn holds(folder: &Path) -> bool {
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between architectures")]
    statfs(folder).is_ok_and(|found| found.f_type as i64 & 0xffff_ffff == MAGIC)
}

/// How a folder for pins stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It lies in a BPF file system.
    Mounted,
    /// It will, once the file system is mounted at its usual place.
    Mountable,
}

/// Looks whether a folder for pins can be made there, and changes nothing.
pub fn look(pin_dir: &Path) -> Result<Found> {
    if pin_dir.starts_with(MOUNT_POINT) && !holds(Path::new(MOUNT_POINT)) {
        let known = fs::read_to_string(FILE_SYSTEMS);
        if known.is_ok_and(|known| !known.split_whitespace().any(|name| name == "bpf")) {
            bail!("this kernel has no BPF file system: boot one with CONFIG_BPF_SYSCALL");
        }
        return Ok(Found::Mountable);
    }
    require_folder(pin_dir).map(|()| Found::Mounted)
}

/// Sees to it that a folder for pins can be made there: below the usual mount point the file system is mounted if it
/// is not yet.
pub fn ensure(pin_dir: &Path) -> Result<()> {
    if look(pin_dir)? == Found::Mountable {
        mount_bpffs()?;
    }
    require_folder(pin_dir)
}

fn require_folder(pin_dir: &Path) -> Result<()> {
    let parent = pin_dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Some(parent) = parent else {
        bail!(
            "the pin directory {} has no folder above it: give its whole path, such as {MOUNT_POINT}/smtp-filter",
            pin_dir.display()
        );
    };
    if !parent.is_dir() {
        bail!("there is no folder {} for the pin directory {}: make it first", parent.display(), pin_dir.display());
    }
    if !holds(parent) && holds(pin_dir) {
        bail!("{0} is the BPF file system itself: name a folder in it, such as {0}/smtp-filter", pin_dir.display());
    }
    if !holds(parent) {
        bail!(
            "the pin directory {} is not in a BPF file system: take one below {MOUNT_POINT}, or mount one there: \
             `mount -t bpf bpffs {}`",
            pin_dir.display(),
            parent.display()
        );
    }
    Ok(())
}

fn mount_bpffs() -> Result<()> {
    let how = format!("mount it with `mount -t bpf bpffs {MOUNT_POINT}`");
    if !Path::new(MOUNT_POINT).is_dir() {
        fs::create_dir_all(MOUNT_POINT)
            .with_context(|| format!("there is no {MOUNT_POINT} to mount the BPF file system on: {how}"))?;
    }
    mount("bpffs", MOUNT_POINT, "bpf", MountFlags::empty(), None).with_context(|| {
        format!("the BPF file system is not mounted, and mounting it on {MOUNT_POINT} failed: {how}")
    })?;
    log::info!("mounted the BPF file system on {MOUNT_POINT}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_elsewhere_is_refused_with_the_remedy() {
        let error = ensure(Path::new("/tmp/smtp-filter-pins")).unwrap_err().to_string();
        assert_eq!(
            error,
            "the pin directory /tmp/smtp-filter-pins is not in a BPF file system: take one below /sys/fs/bpf, or mount \
             one there: `mount -t bpf bpffs /tmp`"
        );
        assert!(!holds(Path::new("/proc")));
    }
}
