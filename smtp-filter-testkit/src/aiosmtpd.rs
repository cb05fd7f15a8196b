//! Real mail software: aiosmtpd, Python's.

use anyhow::Result;

use crate::{
    namespace::Namespace,
    room::{Room, Tenant},
    software::{MailSoftware, PASSWORD, USER, make_certificate, read_maildir, wait_for_port},
};

/// The package it comes in.
pub const AIOSMTPD: &str = "python3-aiosmtpd";

/// aiosmtpd is a library; this is the server.
const SERVER: &str = include_str!("aiosmtpd.py");

/// An aiosmtpd. It offers SIZE, 8BITMIME, SMTPUTF8, STARTTLS and AUTH.
#[derive(Debug)]
pub struct Aiosmtpd {
    server: Tenant,
}

impl Aiosmtpd {
    /// Starts it.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let room = Room::new(AIOSMTPD, &[])?;
        for folder in ["/var/mail/tmp", "/var/mail/new", "/etc/tls"] {
            room.folder(folder, 0, 0o700)?;
        }
        make_certificate(&room.path("/etc/tls/certificate"), &room.path("/etc/tls/key"))?;
        room.write("/etc/server.py", SERVER)?;
        let mut server = room.command(namespace, "/usr/bin/python3");
        server.env_remove("PYTHONPATH").env("PYTHONDONTWRITEBYTECODE", "1");
        server.args(["/etc/server.py", "/var/mail", "/etc/tls/certificate", "/etc/tls/key", USER, PASSWORD]);
        let aiosmtpd = Self { server: Tenant::start(room, &mut server)? };
        wait_for_port(namespace, aiosmtpd.name(), || aiosmtpd.log())?;
        Ok(aiosmtpd)
    }
}

impl MailSoftware for Aiosmtpd {
    fn name(&self) -> &'static str {
        "aiosmtpd"
    }

    fn mails(&self) -> Result<Vec<Vec<u8>>> {
        read_maildir(&self.server.room.path("/var/mail/new"))
    }

    fn log(&self) -> String {
        self.server.process.lines().join("\n")
    }

    fn greetings(&self) -> Vec<String> {
        let lines = self.server.process.lines();
        let heard = lines.iter().filter_map(|line| line.split_once(">> b'")?.1.strip_suffix('\''));
        heard.filter(|line| line.starts_with("EHLO") || line.starts_with("HELO")).map(str::to_owned).collect()
    }
}
