//! The BPF file system, in which everything lives that outlasts a process.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::{
    fs::statfs,
    mount::{MountFlags, mount},
    process::geteuid,
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

/// For root alone.
pub const MODE: u32 = 0o700;
/// Group and others may write.
const WRITABLE: u32 = 0o022;
/// Only the owner removes and renames.
const STICKY: u32 = 0o1000;

/// Where the file system is mounted that this folder lies in or would lie in; none where it is no BPF file system.
pub fn mount_point(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().filter(|above| holds(above)).last().map(Path::to_path_buf)
}

/// Refuses a folder in which others than root can put their pins in the place of a filter's, or that nobody but root
/// may look into. One that is not there is good.
pub fn require_own(folder: &Path) -> Result<()> {
    let shown = folder.display();
    let metadata = match fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(only_root(folder)),
        Err(_) => return Ok(()),
    };
    if metadata.is_symlink() {
        bail!("the pin directory {shown} is a symbolic link: name the folder itself");
    }
    let own = geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != own {
        bail!(
            "the pin directory {shown} belongs to user {}, who can change what is pinned there: remove it, or take another \
             --pin-dir",
            metadata.uid()
        );
    }
    if metadata.mode() & WRITABLE != 0 {
        bail!(
            "the pin directory {shown} may be written by others (mode {:04o}), who can change what is pinned there: look \
             who made it, then `chmod 700 {shown}`",
            metadata.mode() & 0o7777
        );
    }
    let above = folder.parent().and_then(|parent| fs::metadata(parent).ok());
    if let Some((parent, above)) = folder.parent().zip(above)
        && above.mode() & WRITABLE != 0
        && above.mode() & STICKY == 0
    {
        bail!(
            "{0} may be written by others (mode {1:04o}), who can put another folder in the place of {shown}: `chmod 700 {0}`",
            parent.display(),
            above.mode() & 0o7777
        );
    }
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(only_root(folder)),
        _ => Ok(()),
    }
}

/// Whether group or others may write to this folder.
pub fn may_be_written(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & WRITABLE != 0)
}

fn only_root(folder: &Path) -> anyhow::Error {
    anyhow!("the pin directory {} is root's, and nobody else may look into it: run this with sudo", folder.display())
}

/// The state of a folder for pins.
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
        mount_at(Path::new(MOUNT_POINT))?;
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
             `mount -t bpf -o mode=0700 bpffs {}`",
            pin_dir.display(),
            parent.display()
        );
    }
    Ok(())
}

/// Mounts the file system at a folder, for root alone.
pub fn mount_at(point: &Path) -> Result<()> {
    let shown = point.display();
    let how = format!("mount it with `mount -t bpf -o mode=0700 bpffs {shown}`");
    if !point.is_dir() {
        fs::create_dir_all(point)
            .with_context(|| format!("there is no {shown} to mount the BPF file system on: {how}"))?;
    }
    mount("bpffs", point, "bpf", MountFlags::empty(), Some(c"mode=0700"))
        .with_context(|| format!("the BPF file system is not mounted, and mounting it on {shown} failed: {how}"))?;
    log::info!("mounted the BPF file system on {shown}");
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
             one there: `mount -t bpf -o mode=0700 bpffs /tmp`"
        );
        assert!(!holds(Path::new("/proc")));
    }
}
