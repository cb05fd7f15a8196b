//! A real mail client: DragonFly's mail agent, a sendmail that hands everything to one server.

use std::{net::SocketAddr, process::Command};

use anyhow::Result;

use crate::{
    namespace::Namespace,
    room::Room,
    software::{PASSWORD, USER},
};

/// The package it comes in.
pub const DMA: &str = "dma";

/// The user that it becomes.
const MAIL: (&str, u32) = ("mail", 8);

/// A dma with a configuration and a queue of its own.
#[derive(Debug)]
pub struct Dma {
    room: Room,
}

impl Dma {
    /// For mails to this server.
    pub fn new(server: SocketAddr, tls: bool, login: bool) -> Result<Self> {
        let room = Room::new(DMA, &[MAIL])?;
        room.folder("/etc/dma", 0, 0o755)?;
        room.folder("/var/spool/dma", MAIL.1, 0o770)?;
        room.folder("/var/mail", MAIL.1, 0o770)?;
        // In its list of passwords a colon ends the server's name.
        room.write("/etc/hosts", &format!("{} server.example\n", server.ip()))?;
        let port = server.port();
        let mut configuration = format!(
            "SMARTHOST server.example\nPORT {port}\nSPOOLDIR /var/spool/dma\nMAILNAME client.example\n\
             AUTHPATH /etc/dma/auth.conf\nALIASES /etc/aliases\n"
        );
        if tls {
            configuration.push_str("SECURETRANSFER\nSTARTTLS\n");
        } else {
            // Else it keeps its password to itself.
            configuration.push_str("INSECURE\n");
        }
        let secret = if login { format!("{USER}|server.example:{PASSWORD}\n") } else { String::new() };
        room.write("/etc/dma/dma.conf", &configuration)?;
        room.write("/etc/dma/auth.conf", &secret)?;
        room.write("/etc/aliases", "")?;
        Ok(Self { room })
    }

    /// Sends the mail on its stdin, and stays until that is done: EHLO first.
    pub fn send(&self, from: &Namespace) -> Command {
        let mut dma = self.room.command(from, "/usr/sbin/dma");
        dma.args(["-D", "-i", "-f", "alice@client.example", "bob@server.example"]);
        dma
    }

    /// Sends what lies in the queue.
    pub fn send_queue(&self, from: &Namespace) -> Command {
        let mut dma = self.room.command(from, "/usr/sbin/dma");
        dma.args(["-D", "-q1"]);
        dma
    }

    /// How many mails lie in the queue.
    pub fn queued(&self) -> usize {
        let entries = std::fs::read_dir(self.room.path("/var/spool/dma")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with('Q')).count()
    }
}
