//! Is there a BPF file system for the pins, or can it be mounted?

use super::check::Check;
use crate::{bpffs, pins::PinDir, system};

/// Looks, and mounts nothing.
pub fn check(pins: &PinDir) -> Check {
    let folder = pins.path();
    // `up` mounts it for root alone.
    let denied = std::fs::metadata(folder).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if denied && !system::is_privileged() {
        return Check::unseen("bpf_file_system", "mounted for root alone");
    }
    if let Err(error) = bpffs::require_own(folder) {
        return Check::failure("bpf_file_system", format!("{error:#}"), "do that, or give another --pin-dir");
    }
    match bpffs::look(folder) {
        Ok(bpffs::Found::Mounted) if folder.parent().is_some_and(bpffs::may_be_written) => Check::good(
            "bpf_file_system",
            format!(
                "mounted, and open to every local user (`chmod 700 {}` closes it); pins at {}",
                folder.parent().unwrap_or(folder).display(),
                folder.display()
            ),
        ),
        Ok(bpffs::Found::Mounted) => Check::good("bpf_file_system", format!("mounted; pins at {}", folder.display())),
        Ok(bpffs::Found::Mountable) if system::is_privileged() => Check::good(
            "bpf_file_system",
            format!("not mounted yet: `smtp-filter up` mounts it on {}", bpffs::MOUNT_POINT),
        ),
        Ok(bpffs::Found::Mountable) => Check::good(
            "bpf_file_system",
            format!(
                "not mounted, or not to be seen by this user: `sudo smtp-filter up` sees to {}",
                bpffs::MOUNT_POINT
            ),
        ),
        Err(error) => Check::failure(
            "bpf_file_system",
            format!("{error:#}"),
            format!("give a --pin-dir below {}, or leave it out", bpffs::MOUNT_POINT),
        ),
    }
}
