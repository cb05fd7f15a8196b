//! What real mail software has in common, whichever it is.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{namespace::Namespace, process::run};

/// Who may log in at every server here.
pub const USER: &str = "alice";
/// With this password.
pub const PASSWORD: &str = "sesame";

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mail server of the distribution on port 25 of a namespace, with STARTTLS and AUTH for [`USER`], that takes mail
/// for `bob@server.example` from everywhere and keeps it. It stops on drop.
pub trait MailSoftware {
    /// What people call it.
    fn name(&self) -> &'static str;

    /// The mails so far, in the order of their arrival: behind the header lines that the server puts before them, every
    /// byte, with LF for CRLF.
    fn mails(&self) -> Result<Vec<Vec<u8>>>;

    /// What it has logged.
    fn log(&self) -> String;

    /// The greetings that reached it, by its own log: `EHLO client.example`.
    fn greetings(&self) -> Vec<String>;

    /// Whether its STARTTLS works; it offers it in any case.
    fn has_tls(&self) -> bool {
        true
    }

    /// Whether it offers AUTH outside of TLS, too.
    fn has_login_in_clear(&self) -> bool {
        true
    }

    /// Waits until there are `count` mails and returns them all.
    fn wait_for_mails(&self, count: usize, limit: Duration) -> Result<Vec<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        loop {
            let mails = self.mails()?;
            if mails.len() >= count {
                return Ok(mails);
            }
            if Instant::now() > deadline {
                bail!("{}: {} of {count} mails arrived within {limit:?}: {}", self.name(), mails.len(), self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Where `cargo xtask setup --tests` unpacks a package.
pub fn unpacked(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(".tools").join(package)
}

/// The same, where it is there.
pub(crate) fn tools(package: &str) -> Result<PathBuf> {
    let tools = unpacked(package);
    ensure!(tools.is_dir(), "{} is not there: run `cargo xtask setup --tests`", tools.display());
    Ok(tools)
}

/// Waits until somebody listens on port 25 of a namespace.
pub(crate) fn wait_for_port(namespace: &Namespace, name: &str, said: impl Fn() -> String) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while namespace.enter(|| TcpStream::connect((Ipv4Addr::LOCALHOST, 25)))?.is_err() {
        ensure!(Instant::now() < deadline, "{name} does not listen after {PATIENCE:?}: {}", said());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The files of a folder in the order of their times, where the folder is there.
pub(crate) fn read_maildir(folder: &Path) -> Result<Vec<Vec<u8>>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut files: Vec<_> =
        entries.flatten().filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    files.sort();
    files.iter().map(|(_, file)| fs::read(file).with_context(|| format!("read {}", file.display()))).collect()
}

/// Makes a self-signed certificate for `server.example` and its key, in files of their own.
pub(crate) fn make_certificate(certificate: &Path, key: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"]);
    openssl.args(["-days", "30", "-subj", "/CN=server.example", "-keyout"]).arg(key).arg("-out").arg(certificate);
    run(&mut openssl).context("make a certificate (`cargo xtask setup --tests` installs openssl)")
}
