//! Real mail software: Postfix, from the copy that `cargo xtask setup --tests` unpacked into `.tools/postfix`.
//!
//! It runs with a configuration, a queue and a mailbox of its own below the folder for temporary files; neither a
//! Postfix of this machine nor its users `postfix` and `postdrop` are needed or touched.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::{
    cleanup::{self, Leftover},
    login::Login,
    namespace::Namespace,
    process::{Running, run},
    software::{MailSoftware, make_certificate, read_maildir, tools, wait_for_port},
};

/// Users and groups that every Debian has and that nothing else here uses: Postfix wants three of its own.
const OWNER: (&str, u32) = ("uucp", 10);
const POSTDROP: (&str, u32) = ("news", 9);
const NOBODY: u32 = 65534;

/// Settings with which a server logs every command.
pub const COMMANDS_LOGGED: [&str; 2] = ["debug_peer_list = 0.0.0.0/0, [::]/0", "debug_peer_level = 1"];

/// How long it may take to go down.
const PATIENCE: Duration = Duration::from_secs(20);

const SERVICES: &str = "\
smtp inet n - n - - smtpd
smtp unix - - n - - smtp
relay unix - - n - - smtp
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// A Postfix on port 25 of a namespace that takes mail for `server.example` from everywhere and keeps it. It offers
/// what Postfix offers: PIPELINING, SIZE, STARTTLS, CHUNKING, SMTPUTF8 and more. It stops on drop.
#[derive(Debug)]
pub struct Postfix {
    master: Option<Running>,
    home: PathBuf,
    _login: Option<Login>,
}

impl Postfix {
    /// Starts it, with settings of `main.cf` that go over the usual ones: `&["smtpd_banner = $myhostname"]`.
    pub fn start(namespace: &Namespace, settings: &[&str]) -> Result<Self> {
        let tools = tools("postfix")?;
        let home = std::env::temp_dir().join(cleanup::unique_name());
        cleanup::add(Leftover::Folder(home.clone()));
        let mut postfix = Self { master: None, home, _login: None };
        postfix.make_folders()?;
        postfix.configure(&tools, settings)?;

        // It signals its process group, so it needs one of its own.
        let mut master = namespace.command("setsid");
        master.arg(tools.join("usr/lib/postfix/sbin/master")).arg("-d");
        master.env("MAIL_CONFIG", postfix.home.join("etc")).env("LD_LIBRARY_PATH", libraries(&tools));
        postfix.master = Some(Running::spawn(&mut master)?);

        wait_for_port(namespace, postfix.name(), || postfix.log())?;
        Ok(postfix)
    }

    /// Starts it with AUTH for [`USER`](crate::USER).
    pub fn with_login(namespace: &Namespace, settings: &[&str]) -> Result<Self> {
        let login = Login::start(namespace)?;
        let path = format!("smtpd_sasl_path = inet:{}", login.address());
        let more = ["smtpd_sasl_auth_enable = yes", "smtpd_sasl_type = dovecot", &path];
        let mut postfix = Self::start(namespace, &[&more, settings].concat())?;
        postfix._login = Some(login);
        Ok(postfix)
    }

    /// Starts it as a client that sends everything it is handed on port 25 of its own namespace on to a server.
    pub fn start_as_client(namespace: &Namespace, server: SocketAddr, settings: &[&str]) -> Result<Self> {
        let relay = format!("relayhost = [{}]:{}", server.ip(), server.port());
        let sending = [
            relay.as_str(),
            "myhostname = client.example",
            "virtual_mailbox_domains =",
            "smtp_tls_security_level = none",
        ];
        Self::start(namespace, &[&sending, settings].concat())
    }

    /// Tries again to send what it has put off.
    pub fn flush(&self) -> Result<()> {
        let tools = tools("postfix")?;
        let mut flush = Command::new(tools.join("usr/sbin/postqueue"));
        flush.arg("-f").env("MAIL_CONFIG", self.home.join("etc")).env("LD_LIBRARY_PATH", libraries(&tools));
        run(&mut flush)
    }

    /// How many mails it has put off.
    pub fn deferred(&self) -> usize {
        let folders = fs::read_dir(self.home.join("spool/deferred")).into_iter().flatten().flatten();
        folders.filter_map(|folder| Some(fs::read_dir(folder.path()).ok()?.count())).sum()
    }

    /// Waits until there are `count` mails and returns them all.
    pub fn wait_for_mails(&self, count: usize, limit: Duration) -> Result<Vec<Vec<u8>>> {
        MailSoftware::wait_for_mails(self, count, limit)
    }

    fn make_folders(&self) -> Result<()> {
        let own = Some(OWNER.1);
        for (folder, owner, group, mode) in [
            ("", None, None, 0o755),
            ("etc", None, None, 0o755),
            ("data", own, None, 0o700),
            ("mail", Some(NOBODY), None, 0o700),
            ("spool", None, None, 0o755),
            ("spool/pid", None, None, 0o755),
            ("spool/maildrop", own, Some(POSTDROP.1), 0o730),
            ("spool/public", own, Some(POSTDROP.1), 0o710),
        ] {
            self.make_folder(folder, owner, group, mode)?;
        }
        let queues = [
            "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
            "trace",
        ];
        queues.into_iter().try_for_each(|queue| self.make_folder(&format!("spool/{queue}"), own, None, 0o700))
    }

    fn make_folder(&self, folder: &str, owner: Option<u32>, group: Option<u32>, mode: u32) -> Result<()> {
        let path = self.home.join(folder);
        let make = || {
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            chown(&path, owner, group)
        };
        make().with_context(|| format!("make {}", path.display()))
    }

    fn configure(&self, tools: &Path, settings: &[&str]) -> Result<()> {
        let home = self.home.display();
        let etc = self.home.join("etc");
        let chain = etc.join("chain.pem");
        make_certificate(&etc.join("cert.pem"), &chain)?;
        let certificate = fs::read(etc.join("cert.pem")).context("read the certificate")?;
        let key = fs::read(&chain).context("read the key")?;
        fs::write(&chain, [key, certificate].concat()).context("write the certificate chain")?;

        let usual = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {home}/spool\n\
             data_directory = {home}/data\n\
             meta_directory = {home}/etc\n\
             daemon_directory = {tools}/usr/lib/postfix/sbin\n\
             command_directory = {tools}/usr/sbin\n\
             shlib_directory = {libraries}\n\
             mail_owner = {owner}\n\
             setgid_group = {postdrop}\n\
             import_environment = MAIL_CONFIG LD_LIBRARY_PATH\n\
             export_environment = LD_LIBRARY_PATH\n\
             maillog_file = {home}/log\n\
             maillog_file_prefixes = {home}\n\
             myhostname = server.example\n\
             mydestination =\n\
             inet_interfaces = all\n\
             inet_protocols = all\n\
             smtpd_peername_lookup = no\n\
             mynetworks = 0.0.0.0/0 [::]/0\n\
             virtual_mailbox_domains = server.example\n\
             virtual_mailbox_base = {home}/mail\n\
             virtual_mailbox_maps = static:inbox/\n\
             virtual_uid_maps = static:{NOBODY}\n\
             virtual_gid_maps = static:{NOBODY}\n\
             virtual_mailbox_limit = 0\n\
             message_size_limit = 0\n\
             alias_maps =\n\
             alias_database =\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_chain_files = {chain}\n\
             smtpd_tls_session_cache_database =\n",
            tools = tools.display(),
            libraries = libraries(tools).display(),
            owner = OWNER.0,
            postdrop = POSTDROP.0,
            chain = chain.display()
        );
        // A name twice brings a warning from each daemon, at the same time; so many fill the log's socket, and the
        // daemon that is to empty it waits behind its own.
        let mut main: Vec<&str> = Vec::new();
        for setting in usual.lines().chain(settings.iter().copied()) {
            main.retain(|earlier| name(earlier) != name(setting));
            main.push(setting);
        }
        let main = main.join("\n") + "\n";
        fs::write(etc.join("main.cf"), main).context("write main.cf")?;
        fs::write(etc.join("master.cf"), SERVICES).context("write master.cf")
    }
}

impl MailSoftware for Postfix {
    fn name(&self) -> &'static str {
        "Postfix"
    }

    fn mails(&self) -> Result<Vec<Vec<u8>>> {
        read_maildir(&self.home.join("mail/inbox/new"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// Those of a Postfix that was started with [`COMMANDS_LOGGED`].
    fn greetings(&self) -> Vec<String> {
        let log = self.log();
        let heard = log.lines().filter_map(|line| line.split_once(": < ")?.1.split_once("]: "));
        let lines = heard.map(|(_, line)| line).filter(|line| line.starts_with("EHLO") || line.starts_with("HELO"));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            let _ = master.signal(Signal::TERM);
            let _ = master.wait(PATIENCE);
        }
        if let Err(error) = cleanup::remove(&Leftover::Folder(self.home.clone())) {
            eprintln!("testkit: {error:#}");
        }
    }
}

/// A program of Postfix's, to run in a namespace: `smtp-source`, `smtp-sink`, `posttls-finger`.
pub fn postfix_tool(namespace: &Namespace, name: &str) -> Result<Command> {
    let tools = tools("postfix")?;
    let mut command = namespace.command(tools.join("usr/sbin").join(name));
    command.env("LD_LIBRARY_PATH", libraries(&tools));
    Ok(command)
}

/// The name of a setting.
fn name(setting: &str) -> &str {
    setting.split('=').next().unwrap_or_default().trim()
}

fn libraries(tools: &Path) -> PathBuf {
    tools.join("usr/lib/postfix")
}
