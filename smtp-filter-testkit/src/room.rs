//! A room for programs that insist on their places: the package lies over `/usr`, and `/etc`, `/var` and `/run` are the
//! room's own, in mounts that nobody else sees; its processes end with the first of them.
//!
//! Needs `unshare` and `mount` (util-linux), and overlayfs in the kernel.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    cleanup::{self, Leftover},
    namespace::Namespace,
    process::Running,
    software::tools,
};

/// The sources are resolved before anything is hidden, for they may lie below any of the places. The shell stays, as
/// the first process: the kernel's word to end it is lost on a program that changes its user.
const MOVE_IN: &str = "\
home=$1 tools=$2; shift 2
cd \"$home\"
mount --bind \"$tools\" package
mount -t overlay -o lowerdir=package/usr:/usr overlay /usr
mount --bind etc /etc
mount --bind run /run
mount --bind var /var
cd /
\"$@\"
exit $?";

/// The room of a package that `cargo xtask setup --tests` unpacked. It goes away on drop.
///
/// Paths are those seen inside: `/etc/smtpd.conf`.
#[derive(Debug)]
pub struct Room {
    home: PathBuf,
    tools: PathBuf,
}

impl Room {
    /// Furnishes the room: `users` go to `/etc/passwd`, each with a group of its name and number.
    pub fn new(package: &str, users: &[(&str, u32)]) -> Result<Self> {
        let tools = tools(package)?;
        let home = std::env::temp_dir().join(cleanup::unique_name());
        cleanup::add(Leftover::Folder(home.clone()));
        let room = Self { home, tools };
        for folder in ["", "/package", "/etc", "/run", "/var", "/var/lib", "/var/log", "/var/spool", "/var/mail"] {
            room.folder(folder, 0, 0o755)?;
        }
        room.folder("/var/tmp", 0, 0o1777)?;
        symlink("/run", room.path("/var/run")).context("link /var/run")?;
        for name in ["ld.so.cache", "services", "protocols"] {
            let _ = fs::copy(Path::new("/etc").join(name), room.path("/etc").join(name));
        }
        room.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")?;
        room.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
        let all = || [("root", 0), ("nobody", 65534)].into_iter().chain(users.iter().copied());
        let passwd: String = all().map(|(name, id)| format!("{name}:x:{id}:{id}::/var/mail:/bin/sh\n")).collect();
        let group: String = all().map(|(name, id)| format!("{name}:x:{id}:\n")).collect();
        room.write("/etc/passwd", &passwd)?;
        room.write("/etc/group", &group)?;
        Ok(room)
    }

    /// Where something inside lies for us outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.home.join(inside.trim_start_matches('/'))
    }

    /// Makes a folder.
    pub fn folder(&self, inside: &str, owner: u32, mode: u32) -> Result<()> {
        let path = self.path(inside);
        let make = || {
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            chown(&path, Some(owner), Some(owner))
        };
        make().with_context(|| format!("make {}", path.display()))
    }

    /// Writes a file that everybody may read.
    pub fn write(&self, inside: &str, content: &str) -> Result<()> {
        let path = self.path(inside);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    }

    /// What a file holds, as far as it is there.
    pub fn read(&self, inside: &str) -> String {
        fs::read(self.path(inside)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// A command that runs inside, in a network namespace. It is to be ended by SIGKILL, and all that it started ends
    /// with it.
    pub fn command(&self, namespace: &Namespace, program: impl AsRef<OsStr>) -> Command {
        let mut command = namespace.command("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-ec", MOVE_IN, "room"]);
        command.arg(&self.home).arg(&self.tools).arg(program);
        command.env("LC_ALL", "C").env_remove("TMPDIR");
        command
    }
}

/// A process that lives in a room. On drop it is ended before the room goes, for it holds files of it.
#[derive(Debug)]
pub struct Tenant {
    pub process: Running,
    pub room: Room,
}

impl Tenant {
    /// Starts a command of [`Room::command`].
    pub fn start(room: Room, command: &mut Command) -> Result<Self> {
        Ok(Self { process: Running::spawn(command)?, room })
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill() {
            eprintln!("testkit: {error:#}");
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = cleanup::remove(&Leftover::Folder(self.home.clone())) {
            eprintln!("testkit: {error:#}");
        }
    }
}
