//! Is there room for the tables, which are allocated in full?

use std::{fs, path::Path};

use aya::util::KernelVersion;
use smtp_filter_common::{
    bounds::{self, HALF_OPEN, HANDSHAKE_BLOCKS, POLICY_SLOTS, POOL, SCOPES},
    entry::Connection,
    flow::{HalfOpen, bloom::Block, gone::Gone},
    host::Slot,
    policy::Policy,
    scope::Pairs,
};

use super::check::Check;
use crate::system;

/// What the kernel adds to an entry of a hash table, and the key.
const ENTRY: u64 = 48 + 40;
/// A half-open connection.
const HALF_ENTRY: u64 = size_of::<HalfOpen>() as u64;
/// A key, on its place in an array.
const ROSTER_ENTRY: u64 = 40;
/// A slot of the shared pool.
const SLOT: u64 = size_of::<Slot>() as u64;
/// The first kernel that charges maps to the control group.
const CHARGED: KernelVersion = KernelVersion::new(5, 11, 0);
const MIB: u64 = 1 << 20;

/// The limit of locked memory, and what is free.
pub fn checks(connections: u32) -> Vec<Check> {
    let free = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    vec![lock(system::kernel()), room(connections, free, group_room())]
}

fn lock(kernel: Option<KernelVersion>) -> Check {
    match kernel {
        Some(version) if version < CHARGED => Check::warning(
            "memory_lock",
            "before Linux 5.11 maps count as locked memory",
            "raise the limit before `smtp-filter up`: `ulimit -l unlimited`",
        ),
        _ => Check::good(
            "memory_lock",
            "no limit to raise: maps are charged to the control group (Linux 5.11 and later)",
        ),
    }
}

/// Bytes that all tables take together, about.
fn needed(connections: u32) -> u64 {
    u64::from(connections) * (size_of::<Connection>() as u64 + ENTRY)
        + u64::from(bounds::roster(connections)) * ROSTER_ENTRY
        + u64::from(HALF_OPEN) * (HALF_ENTRY + ENTRY)
        + u64::from(bounds::GONE) * (size_of::<Gone>() as u64 + ENTRY)
        + u64::from(HANDSHAKE_BLOCKS) * size_of::<Block>() as u64
        + u64::from(POOL) * SLOT
        + u64::from(POLICY_SLOTS) * (SCOPES * size_of::<Policy>() + size_of::<Pairs>()) as u64
}

fn room(connections: u32, free: Option<u64>, group: Option<u64>) -> Check {
    let needed = needed(connections);
    let what = format!("about {} MiB for {connections} connections", needed.div_ceil(MIB));
    let Some(free) = free.into_iter().chain(group).min() else {
        return Check::unseen("memory", "neither /proc/meminfo nor a control group says what is free");
    };
    if free < needed {
        return Check::warning(
            "memory",
            format!("{what}, of which {} MiB are free", free / MIB),
            "give `up` a smaller --connections, or the machine or control group more memory",
        );
    }
    Check::good("memory", format!("{what}; {} MiB are free", free / MIB))
}

/// `MemAvailable` of /proc/meminfo, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What the control groups of this process leave, where one of them has a limit.
fn group_room() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let number = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let left = |folder: &Path| Some(number(folder, "memory.max")?.saturating_sub(number(folder, "memory.current")?));
    Path::new("/sys/fs/cgroup").join(path).ancestors().filter_map(left).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_warned_of_with_both_figures() {
        let check = room(65_536, Some(10 * MIB), None);
        assert_eq!(check.found, "about 89 MiB for 65536 connections, of which 10 MiB are free");
        assert!(check.remedy.is_some_and(|remedy| remedy.contains("--connections")));
        assert!(!room(65_536, Some(1 << 40), Some(MIB)).ok, "the smaller room counts");
        assert!(room(65_536, Some(1 << 40), None).ok);
        assert!(room(16, None, None).found.starts_with("not looked at"));
    }

    #[test]
    fn meminfo_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 * MIB));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn locked_memory_matters_before_5_11() {
        assert!(!lock(Some(KernelVersion::new(5, 10, 0))).ok);
        assert!(lock(Some(KernelVersion::new(5, 11, 0))).ok && lock(None).ok);
    }
}
