//! The distribution's mail software at the ends of the network: any server, any client.

use std::net::SocketAddr;

use crate::{
    AIOSMTPD, Aiosmtpd, COMMANDS_LOGGED, DMA, Dma, EXIM, Exim, Filter, MSMTP, MailSoftware, Network, OPENSMTPD,
    OpenSmtpd, PASSWORD, Postfix, Running, SERVER_V4, USER, msmtp, need,
};
use anyhow::{Context as _, Result, ensure};

use super::{SOON, begin_data, hello, is_stored, stored_as, stuffed, swaks, wait_until};

/// Server software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Postfix, which is always there.
    Postfix,
    /// Exim.
    Exim,
    /// OpenSMTPD.
    OpenSmtpd,
    /// aiosmtpd.
    Aiosmtpd,
}

impl Server {
    fn start(self, network: &Network) -> Result<Box<dyn MailSoftware>> {
        let place = &network.server;
        Ok(match self {
            Self::Postfix => {
                let settings = [&["smtpd_client_connection_rate_limit = 0"], &COMMANDS_LOGGED[..]].concat();
                Box::new(Postfix::with_login(place, &settings)?)
            }
            Self::Exim => Box::new(Exim::start(place)?),
            Self::OpenSmtpd => Box::new(OpenSmtpd::start(place)?),
            Self::Aiosmtpd => Box::new(Aiosmtpd::start(place)?),
        })
    }

    fn package(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Exim => EXIM,
            Self::OpenSmtpd => OPENSMTPD,
            Self::Aiosmtpd => AIOSMTPD,
        }
    }
}

/// Client software: all of it says EHLO first, and takes no silence for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailer {
    /// swaks.
    Swaks,
    /// curl.
    Curl,
    /// msmtp.
    Msmtp,
    /// dma, the DragonFly Mail Agent.
    Dma,
    /// Postfix, with a queue of its own.
    Postfix,
}

impl Mailer {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Swaks, Self::Curl, Self::Msmtp, Self::Dma, Self::Postfix];

    fn package(self) -> Option<&'static str> {
        match self {
            Self::Swaks | Self::Curl => None,
            Self::Msmtp => Some(MSMTP),
            Self::Dma => Some(DMA),
            Self::Postfix => Some("postfix"),
        }
    }

    /// Whether it is there. Where it is not, that is said.
    pub fn is_there(self) -> bool {
        let found = self.package().map_or(Ok(()), need::package);
        found.inspect_err(|missing| need::left_out(missing)).is_ok()
    }
}

/// What of ESMTP a mail is sent with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct With {
    /// By STARTTLS.
    pub tls: bool,
    /// By AUTH.
    pub login: bool,
}

impl With {
    /// How the server names it in the mail's header.
    pub fn protocol(self) -> &'static str {
        match (self.tls, self.login) {
            (false, false) => "ESMTP",
            (false, true) => "ESMTPA",
            (true, false) => "ESMTPS",
            (true, true) => "ESMTPSA",
        }
    }
}

/// A mail under way.
pub enum Sending {
    /// A program that ends when the mail is delivered or given up.
    Program(Running),
    /// Also its queue.
    Dma(Running, Dma),
    /// It has the mail in its queue, whatever comes.
    Postfix(Postfix),
}

impl Sending {
    /// Waits until the client is done, which is glad of it.
    pub fn is_done(&mut self) -> Result<()> {
        match self {
            Self::Program(program) | Self::Dma(program, _) => {
                let good = program.wait(SOON)?;
                ensure!(good, "{:?}", program.lines());
                if let Self::Dma(_, dma) = self {
                    ensure!(dma.queued() == 0);
                }
                Ok(())
            }
            Self::Postfix(postfix) => {
                wait_until("Postfix sends", || Ok(postfix.log().contains("status=sent"))).with_context(|| postfix.log())
            }
        }
    }

    /// Whether the client still tries.
    pub fn is_under_way(&mut self) -> bool {
        match self {
            Self::Program(program) => !program.has_ended(),
            Self::Dma(program, dma) => !program.has_ended() && dma.queued() == 1,
            Self::Postfix(postfix) => !postfix.log().contains("status=sent"),
        }
    }
}

/// Client, gateway with the filter, a server.
pub struct SoftwareLab {
    /// The filter, on `inside` of the gateway.
    pub filter: Filter,
    /// The server's software.
    pub server: Box<dyn MailSoftware>,
    /// The namespaces.
    pub network: Network,
    /// The profile keeps EHLO away: how long a client waits for a reply that does not come.
    helo_timeout: &'static str,
}

impl SoftwareLab {
    /// With the filter on. Where the server is not there, the test is skipped.
    pub fn new(server: Server, profile: &str) -> Result<Self> {
        need::package(server.package())?;
        let network = Network::new()?;
        let server = server.start(&network)?;
        if !server.has_tls() {
            need::left_out(format_args!("STARTTLS: this {} breaks it off", server.name()));
        }
        let filter = super::filter(&network.gateway)?;
        filter.up(&["--iface", "inside", "--profile", profile])?;
        let helo_timeout = if profile == "drop-esmtp" { "smtp_helo_timeout = 2s" } else { "smtp_helo_timeout = 30s" };
        Ok(Self { filter, server, network, helo_timeout })
    }

    /// A client begins to send.
    pub fn send(&self, mailer: Mailer, to: SocketAddr, with: With, mail: &[u8]) -> Result<Sending> {
        let client = &self.network.client;
        let With { tls, login } = with;
        let program = match mailer {
            Mailer::Swaks => {
                // For IPv6 it wants more of Perl than is there.
                let mut swaks = swaks(client, SERVER_V4, &["--timeout", "100", "--data", "-"]);
                if tls {
                    swaks.arg("--tls");
                }
                if login {
                    swaks.args(["--auth", "LOGIN", "--auth-user", USER, "--auth-password", PASSWORD]);
                }
                // It puts a line's end of its own behind the last line.
                Running::spawn_fed(&mut swaks, mail.strip_suffix(b"\r\n").context("a last line")?)?
            }
            Mailer::Curl => {
                let mut curl = super::curl(client, to, "-".as_ref());
                if tls {
                    curl.args(["--ssl-reqd", "--insecure"]);
                }
                if login {
                    curl.args(["--login-options", "AUTH=PLAIN", "--user", &format!("{USER}:{PASSWORD}")]);
                }
                Running::spawn_fed(&mut curl, mail)?
            }
            Mailer::Msmtp => Running::spawn_fed(&mut msmtp(client, to, tls, login, 100)?, &stored_as(mail))?,
            Mailer::Dma => {
                let dma = Dma::new(to, tls, login)?;
                return Ok(Sending::Dma(Running::spawn_fed(&mut dma.send(client), &stored_as(mail))?, dma));
            }
            Mailer::Postfix => {
                let mut settings = vec![self.helo_timeout];
                if tls {
                    settings.push("smtp_tls_security_level = encrypt");
                }
                let secret = format!("smtp_sasl_password_maps = static:{USER}:{PASSWORD}");
                if login {
                    settings.extend([
                        "smtp_sasl_auth_enable = yes",
                        "smtp_sasl_security_options = noanonymous",
                        &secret,
                    ]);
                }
                let postfix = Postfix::start_as_client(client, to, &settings)?;
                let mut session =
                    hello(client, SocketAddr::from(([127, 0, 0, 1], 25)), "HELO").with_context(|| postfix.log())?;
                begin_data(&mut session)?;
                session.write(&stuffed(mail))?;
                ensure!(session.reply()?.code == 250);
                return Ok(Sending::Postfix(postfix));
            }
        };
        Ok(Sending::Program(program))
    }

    /// A client that knows RFC 821 alone begins to send.
    pub fn send_by_helo(&self, mail: &[u8]) -> Result<Sending> {
        let mut swaks = swaks(&self.network.client, SERVER_V4, &["--protocol", "SMTP", "--data", "-"]);
        let open = mail.strip_suffix(b"\r\n").context("a last line")?;
        Ok(Sending::Program(Running::spawn_fed(&mut swaks, open)?))
    }

    /// The `number`th mail is there, bit for bit, and came by this protocol.
    pub fn has_arrived(&self, number: usize, mail: &[u8], protocol: &str) -> Result<()> {
        let mails = self.server.wait_for_mails(number, SOON)?;
        let stored = &mails[number - 1];
        is_stored(stored, mail)?;
        let text = String::from_utf8_lossy(stored).to_ascii_uppercase();
        let (text, _) = text.split_once("\n\n").context("a header")?;
        // Whoever comes first in the header has written last.
        let named = text.split_once("\tWITH ").or_else(|| text.split_once(" WITH ")).map(|(_, rest)| rest);
        let named = named.and_then(|rest| rest.split_whitespace().next());
        ensure!(named == Some(protocol), "{}: {named:?} instead of {protocol}: {text}", self.server.name());
        Ok(())
    }
}
