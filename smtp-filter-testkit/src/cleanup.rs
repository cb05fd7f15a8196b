//! Nothing is left behind: what exists outside of this process is on a list, and whoever ends it works the list off.
//!
//! Guards take things away on drop, which also serves a panic. A signal ends the process without drops, so a thread
//! waits for it. A process that was killed leaves its things to the next one, which knows them by the dead process id
//! in their names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// Every name that this crate gives begins with this and the process id.
const PREFIX: &str = "smtpf-";

/// Where iproute2 keeps named network namespaces.
pub const NETNS: &str = "/run/netns";

/// The BPF file system.
const BPFFS: &str = "/sys/fs/bpf";

/// Something outside of this process that has to go, in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// A process: it may hold the others.
    Process(u32),
    /// A folder, of pins in the BPF file system or of temporary files.
    Folder(PathBuf),
    /// A named network namespace.
    Namespace(String),
}

impl Leftover {
    fn take_away(&self) -> Result<()> {
        match self {
            Self::Process(id) => kill(*id),
            Self::Folder(folder) => remove_folder(folder),
            Self::Namespace(name) => remove_namespace(name),
        }
    }
}

static LIST: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

fn with_list<R>(edit: impl FnOnce(&mut Vec<Leftover>) -> R) -> R {
    edit(&mut LIST.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A name of this process that no other has: `smtpf-PID-N`.
pub fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A folder for pins of this process, not yet made.
pub fn unique_pin_dir() -> PathBuf {
    Path::new(BPFFS).join(unique_name())
}

/// Puts something on the list; before it is made, so that no signal finds it unlisted.
pub fn add(leftover: Leftover) {
    static FIRST: Once = Once::new();
    FIRST.call_once(|| {
        sweep();
        if let Err(error) = watch_signals() {
            eprintln!("testkit: a signal will leave namespaces behind: {error:#}");
        }
    });
    with_list(|list| list.push(leftover));
}

/// Takes something off the list without touching it: it ended by itself.
pub fn forget(leftover: &Leftover) {
    with_list(|list| list.retain(|other| other != leftover));
}

/// Takes something away, and off the list.
pub fn remove(leftover: &Leftover) -> Result<()> {
    let result = leftover.take_away();
    forget(leftover);
    result
}

/// What is there of this process: namespaces, pins, temporary files and processes, by name. Empty after all guards
/// have gone.
pub fn leftovers() -> Vec<String> {
    let own = format!("{PREFIX}{}-", std::process::id());
    let mut found: Vec<String> =
        named_things().filter(|(_, name)| name.starts_with(&own)).map(|(dir, name)| path(&dir, &name)).collect();
    with_list(|list| {
        found.extend(list.iter().filter_map(|leftover| match leftover {
            Leftover::Process(id) => Some(format!("process {id}")),
            Leftover::Folder(_) | Leftover::Namespace(_) => None,
        }));
    });
    found
}

/// Everything, of any process, where our things lie: the folder and the name.
fn named_things() -> impl Iterator<Item = (PathBuf, String)> {
    [PathBuf::from(NETNS), PathBuf::from(BPFFS), std::env::temp_dir()].into_iter().flat_map(|dir| {
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.into_iter().map(move |name| (dir.clone(), name))
    })
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

fn kill(id: u32) -> Result<()> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id is above zero")?;
    kill_process(pid, Signal::KILL).with_context(|| format!("end process {id}"))
}

fn remove_namespace(name: &str) -> Result<()> {
    if !Path::new(NETNS).join(name).exists() {
        return Ok(());
    }
    let status = Command::new("ip").args(["netns", "delete", name]).stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("run `ip netns delete {name}`"))?;
    anyhow::ensure!(status.success(), "`ip netns delete {name}` failed ({status})");
    Ok(())
}

fn remove_folder(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Ends as the signal would have, after the list is worked off.
fn watch_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("wait for signals")?;
    thread::Builder::new()
        .name("cleanup".to_owned())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // The list stays locked: nothing new is made while this goes away.
                with_list(|list| {
                    list.sort();
                    for leftover in list.iter() {
                        let _ = leftover.take_away();
                    }
                    std::process::exit(128 + signal);
                })
            }
        })
        .context("start the thread that waits for signals")?;
    Ok(())
}

/// Removes what processes left that are no more.
fn sweep() {
    for (dir, name) in named_things().filter(|(_, name)| is_orphan(name)) {
        let _ = if dir == Path::new(NETNS) { remove_namespace(&name) } else { remove_folder(&dir.join(name)) };
    }
}

/// Whether a name is one of ours and its process is gone.
fn is_orphan(name: &str) -> bool {
    let id = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).and_then(|id| id.parse::<u32>().ok());
    id.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists())
}

#[cfg(test)]
mod tests {
    use super::is_orphan;

    #[test]
    fn only_names_of_dead_processes_are_orphans() {
        assert!(!is_orphan(&format!("smtpf-{}-0-client", std::process::id())));
        assert!(is_orphan("smtpf-4294967295-0-client"));
        assert!(!is_orphan("smtpf-x-0"));
        assert!(!is_orphan("other-4294967295-0"));
    }
}
