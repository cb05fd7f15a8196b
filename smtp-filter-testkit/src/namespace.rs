//! A named network namespace.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    cleanup::{self, Leftover, NETNS},
    process::{run, run_with_input},
};

/// A network namespace with its loopback up. It goes away on drop, with the interfaces in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes `smtpf-PID-N-ROLE`.
    pub fn new(role: &str) -> Result<Self> {
        Self::named(format!("{}-{role}", cleanup::unique_name()))
    }

    pub(crate) fn named(name: String) -> Result<Self> {
        let namespace = Self { name };
        cleanup::add(namespace.leftover());
        run(Command::new("ip").args(["netns", "add", &namespace.name]))
            .context("make a network namespace (needs root)")?;
        namespace.ip(&["link set lo up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` and `smtp-filter up --netns` take it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        Path::new(NETNS).join(&self.name)
    }

    fn leftover(&self) -> Leftover {
        Leftover::Namespace(self.name.clone())
    }

    /// A command that runs inside. Mounts stay those of the machine, so that pins in the BPF file system last; `ip
    /// netns exec` would hide them.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program).stdin(Stdio::null());
        command
    }

    /// Runs `work` on a thread of its own inside, and returns what it returns. A socket belongs to the namespace it was
    /// made in: it may be taken out and used anywhere.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R> {
        let file = File::open(self.path()).with_context(|| format!("open {}", self.path().display()))?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .with_context(|| format!("enter the network namespace {}", self.name))
                    .map(|()| work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs commands of `ip` inside, all in one go: `link set lo up`.
    pub fn ip(&self, commands: &[&str]) -> Result<()> {
        let mut ip = Command::new("ip");
        ip.args(["-netns", &self.name, "-batch", "-"]);
        run_with_input(&mut ip, commands.join("\n").as_bytes()).with_context(|| commands.join("; "))
    }

    /// Sets a kernel parameter of the network, by its path below `/proc/sys/net`: `ipv4/ip_forward`.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let file = Path::new("/proc/sys/net").join(path);
        self.enter(|| fs::write(&file, value))?.with_context(|| format!("write {value} to {}", file.display()))
    }

    /// Reads a kernel parameter of the network.
    pub fn read_sysctl(&self, path: &str) -> Result<String> {
        let file = Path::new("/proc/sys/net").join(path);
        let value = self.enter(|| fs::read_to_string(&file))?.with_context(|| format!("read {}", file.display()))?;
        Ok(value.trim().to_owned())
    }

    /// Loads rules of nftables inside. Needs `nft`.
    pub fn nft(&self, rules: &str) -> Result<()> {
        run_with_input(self.command("nft").args(["-f", "-"]), rules.as_bytes())
    }

    /// Switches offloads of an interface: `&[("gro", false), ("tx", false)]`. Needs `ethtool`.
    pub fn offloads(&self, iface: &str, switches: &[(&str, bool)]) -> Result<()> {
        let words = switches.iter().flat_map(|(feature, on)| [*feature, if *on { "on" } else { "off" }]);
        run(self.command("ethtool").args(["-K", iface]).args(words))
    }

    /// How many packets an interface has received.
    pub fn received_packets(&self, iface: &str) -> Result<u64> {
        let table = self.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))?.context("read net/dev")?;
        let counters = table.lines().find_map(|line| line.trim_start().strip_prefix(iface)?.strip_prefix(':'));
        let packets = counters.and_then(|counters| counters.split_whitespace().nth(1));
        packets
            .and_then(|packets| packets.parse().ok())
            .with_context(|| format!("no interface {iface} in {}", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = cleanup::remove(&self.leftover()) {
            eprintln!("testkit: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_belongs_to_the_namespace_it_was_made_in() -> Result<()> {
        let one = Namespace::new("one")?;
        let other = Namespace::new("other")?;
        let bind = || std::net::TcpListener::bind("127.0.0.1:25");
        let _first = one.enter(bind)??;
        let _second = other.enter(bind)??;
        assert!(one.enter(bind)?.is_err(), "the port is taken in there");
        Ok(())
    }

    #[test]
    fn a_namespace_is_gone_after_drop_and_after_a_panic() -> Result<()> {
        let path = Namespace::new("short")?.path();
        assert!(!path.exists());
        let path = std::sync::Mutex::new(PathBuf::new());
        let panic = std::panic::catch_unwind(|| {
            let namespace = Namespace::new("panic").unwrap_or_else(|error| panic!("{error:#}"));
            path.lock().unwrap_or_else(|e| e.into_inner()).clone_from(&namespace.path());
            assert!(namespace.path().exists());
            panic!("on purpose");
        });
        assert!(panic.is_err());
        assert!(!path.into_inner().unwrap_or_else(|e| e.into_inner()).exists());
        Ok(())
    }
}
