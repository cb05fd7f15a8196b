//! Real mail software: OpenSMTPD.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{
    namespace::Namespace,
    process::output,
    room::{Room, Tenant},
    software::{MailSoftware, PASSWORD, USER, make_certificate, read_maildir, wait_for_port},
};

/// The package it comes in.
pub const OPENSMTPD: &str = "opensmtpd";

/// Users that Debian's OpenSMTPD is made for and its recipient, here such as every Debian has and nothing else uses.
const DAEMON: (&str, u32) = ("opensmtpd", 10);
const QUEUE: (&str, u32) = ("opensmtpq", 9);
const BOB: (&str, u32) = ("bob", 13);

const CONFIGURATION: &str = r#"
pki server.example cert "/etc/tls/certificate"
pki server.example key "/etc/tls/key"
table secrets file:/etc/secrets
listen on 0.0.0.0 port 25 tls pki server.example auth-optional <secrets> hostname server.example
listen on :: port 25 tls pki server.example auth-optional <secrets> hostname server.example
action "keep" maildir "/var/mail/bob"
match from any for domain "server.example" action "keep"
"#;

/// An OpenSMTPD. It offers 8BITMIME, ENHANCEDSTATUSCODES, SIZE, DSN and STARTTLS; AUTH inside of TLS alone.
#[derive(Debug)]
pub struct OpenSmtpd {
    daemon: Tenant,
}

impl OpenSmtpd {
    /// Starts it.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let room = Room::new(OPENSMTPD, &[DAEMON, QUEUE, BOB])?;
        for folder in ["/var/lib/opensmtpd", "/var/lib/opensmtpd/empty", "/etc/tls"] {
            room.folder(folder, 0, 0o755)?;
        }
        room.folder("/var/spool/smtpd", 0, 0o711)?;
        room.folder("/var/mail/bob", BOB.1, 0o700)?;
        make_certificate(&room.path("/etc/tls/certificate"), &room.path("/etc/tls/key"))?;
        let secret = output(Command::new("openssl").args(["passwd", "-6", PASSWORD])).context("hash the password")?;
        room.write("/etc/secrets", &format!("{USER} {secret}"))?;
        room.write("/etc/mailname", "server.example\n")?;
        room.write("/etc/smtpd.conf", CONFIGURATION)?;
        let mut daemon = room.command(namespace, "/usr/sbin/smtpd");
        daemon.args(["-d", "-T", "smtp", "-f", "/etc/smtpd.conf"]);
        let opensmtpd = Self { daemon: Tenant::start(room, &mut daemon)? };
        wait_for_port(namespace, opensmtpd.name(), || opensmtpd.log())?;
        Ok(opensmtpd)
    }
}

impl MailSoftware for OpenSmtpd {
    fn name(&self) -> &'static str {
        "OpenSMTPD"
    }

    fn mails(&self) -> Result<Vec<Vec<u8>>> {
        read_maildir(&self.daemon.room.path("/var/mail/bob/new"))
    }

    fn log(&self) -> String {
        self.daemon.process.lines().join("\n")
    }

    /// Version 6 and OpenSSL 3, which Debian 12 has together, break off every handshake
    /// (<https://github.com/OpenSMTPD/OpenSMTPD/issues/1171>).
    fn has_tls(&self) -> bool {
        !self.log().contains("info: OpenSMTPD 6.")
    }

    fn has_login_in_clear(&self) -> bool {
        false
    }

    fn greetings(&self) -> Vec<String> {
        let lines = self.daemon.process.lines();
        let heard = lines.iter().filter_map(|line| Some(line.split_once("<<< ")?.1.to_owned()));
        heard.filter(|line| line.starts_with("EHLO") || line.starts_with("HELO")).collect()
    }
}
