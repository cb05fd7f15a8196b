//! Real mail software: Exim.

use anyhow::Result;

use crate::{
    namespace::Namespace,
    room::{Room, Tenant},
    software::{MailSoftware, PASSWORD, USER, make_certificate, read_maildir, wait_for_port},
};

/// The package it comes in.
pub const EXIM: &str = "exim4-daemon-light";

/// The user that Debian's Exim is made for, here one that every Debian has and that nothing else here uses. Exim is not
/// installed, so it cannot become root again for a delivery: it delivers as this user.
const OWNER: (&str, u32) = ("Debian-exim", 10);

/// An Exim. It offers SIZE, 8BITMIME, PIPELINING, CHUNKING, STARTTLS, AUTH and what else Debian's offers.
#[derive(Debug)]
pub struct Exim {
    daemon: Tenant,
}

impl Exim {
    /// Starts it.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let room = Room::new(EXIM, &[OWNER])?;
        for folder in ["/var/spool/exim4", "/var/log/exim4", "/var/mail", "/etc/tls"] {
            room.folder(folder, OWNER.1, 0o755)?;
        }
        make_certificate(&room.path("/etc/tls/certificate"), &room.path("/etc/tls/key"))?;
        std::os::unix::fs::chown(room.path("/etc/tls/key"), Some(OWNER.1), None)?;
        room.write("/etc/exim.conf", &configuration())?;
        let mut daemon = room.command(namespace, "/usr/sbin/exim4");
        daemon.args(["-bdf", "-q1m", "-C", "/etc/exim.conf"]);
        let exim = Self { daemon: Tenant::start(room, &mut daemon)? };
        wait_for_port(namespace, exim.name(), || exim.log())?;
        Ok(exim)
    }
}

impl MailSoftware for Exim {
    fn name(&self) -> &'static str {
        "Exim"
    }

    fn mails(&self) -> Result<Vec<Vec<u8>>> {
        read_maildir(&self.daemon.room.path("/var/mail/bob/new"))
    }

    fn log(&self) -> String {
        let logs = ["mainlog", "paniclog"].map(|name| self.daemon.room.read(&format!("/var/log/exim4/{name}")));
        [&logs[..], &self.daemon.process.lines()].concat().join("\n")
    }

    fn greetings(&self) -> Vec<String> {
        let log = self.log();
        let greetings = log.lines().filter_map(|line| Some(line.split_once("greeted by ")?.1.to_owned()));
        greetings.collect()
    }
}

fn configuration() -> String {
    format!(
        "primary_hostname = server.example\n\
         domainlist local_domains = server.example\n\
         spool_directory = /var/spool/exim4\n\
         log_file_path = /var/log/exim4/%slog\n\
         log_selector = +smtp_no_mail\n\
         pid_file_path = /run/exim.pid\n\
         daemon_smtp_ports = 25\n\
         deliver_drop_privilege\n\
         never_users =\n\
         host_lookup =\n\
         rfc1413_hosts =\n\
         keep_environment =\n\
         tls_advertise_hosts = *\n\
         tls_certificate = /etc/tls/certificate\n\
         tls_privatekey = /etc/tls/key\n\
         acl_smtp_helo = helo\n\
         acl_smtp_rcpt = rcpt\n\
         begin acl\n\
         helo:\n  accept logwrite = greeted by $smtp_command\n\
         rcpt:\n  accept domains = +local_domains\n\
         begin routers\n\
         all:\n  driver = accept\n  transport = keep\n\
         begin transports\n\
         keep:\n  driver = appendfile\n  directory = /var/mail/bob\n  maildir_format\n  user = {owner}\n  \
         group = {owner}\n\
         begin authenticators\n\
         plain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n  server_set_id = $auth2\n  \
         server_condition = ${{if and{{{{eq{{$auth2}}{{{USER}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}\n\
         login:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = <| Username: | Password:\n  \
         server_set_id = $auth1\n  \
         server_condition = ${{if and{{{{eq{{$auth1}}{{{USER}}}}}{{eq{{$auth2}}{{{PASSWORD}}}}}}}}}\n",
        owner = OWNER.0
    )
}
