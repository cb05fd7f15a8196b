//! The built-in profiles with the distribution's mail software: mail is delivered, by ESMTP, by TLS or by HELO as the
//! profile has it, and each end receives, byte for byte, what the profile says of what the other end has sent.
//!
//! Captures at both ends of the network say what was sent and what was received; `promise.rs` says what was to come of
//! it.
//!
//! Invariants: I5, I6.

use anyhow::{Context as _, Result, bail, ensure};
use smtp_filter_testkit::{
    Running, SERVER_V4, SERVER_V6,
    lab::{
        SOON, curl, event, events, mail,
        promise::Promise,
        software::{Mailer, Sending, Server, SoftwareLab, With},
        wait_until,
        wire::{Wire, both_ends},
    },
};

/// Client, gateway, server, and a look at both ends.
struct Ends {
    lab: SoftwareLab,
    profile: &'static str,
    client: Wire,
    server: Wire,
    mails: usize,
}

impl Ends {
    fn new(server: Server, profile: &'static str) -> Result<Self> {
        let lab = SoftwareLab::new(server, profile)?;
        let client = Wire::tap(&lab.network.client, "eth0")?;
        let server = Wire::tap(&lab.network.server, "eth0")?;
        Ok(Self { lab, profile, client, server, mails: 0 })
    }

    /// A mail arrives, bit for bit, by this protocol.
    fn arrives(&mut self, mailer: Mailer, tls: bool, protocol: &str) -> Result<()> {
        self.mails += 1;
        let about = || format!("{mailer:?}, {protocol}, to {} under {}", self.lab.server.name(), self.profile);
        let sent = mail(3000, self.mails as u64);
        let to = [SERVER_V4, SERVER_V6][self.mails & 1];
        self.lab.send(mailer, to, With { tls, login: false }, &sent)?.is_done().with_context(about)?;
        self.lab.has_arrived(self.mails, &sent, protocol).with_context(about)
    }

    /// dma knows EHLO alone: where that is refused, it gives its mail up at once.
    fn is_given_up(&self) -> Result<()> {
        let Sending::Dma(mut program, dma) = self.lab.send(Mailer::Dma, SERVER_V4, With::default(), &mail(3000, 99))?
        else {
            bail!("dma has a queue")
        };
        ensure!(!program.wait(SOON)? && dma.queued() == 0, "{} in the queue: {:?}", dma.queued(), program.lines());
        ensure!(self.lab.server.mails()?.len() == self.mails, "a mail that was given up arrived");
        Ok(())
    }

    /// A client that wants TLS, is offered none and keeps its mail.
    fn is_kept(&self) -> Result<()> {
        let mut curl = curl(&self.lab.network.client, SERVER_V4, "-".as_ref());
        let mut curl = Running::spawn_fed(curl.args(["--ssl-reqd", "--insecure"]), &mail(3000, 99))?;
        ensure!(!curl.wait(SOON)?, "a client that wants TLS was content without");
        ensure!(self.lab.server.mails()?.len() == self.mails, "a mail that was not to go in clear did");
        Ok(())
    }

    /// Every session is as promised at both ends. Returns how many there were, and how many went over to TLS.
    fn are_as_promised(&self) -> Result<(usize, usize)> {
        let promise = Promise::of(self.profile)?;
        let sessions = both_ends(&self.client, &self.server, &[])?;
        let mut in_tls = 0;
        for (client, [here, there]) in &sessions {
            let expected = promise.of_session(&here.client_bytes(), &there.server_bytes());
            let expected = expected.with_context(|| format!("{client} under {}", self.profile))?;
            is_same(&expected.at_server, &there.client_bytes()).context("what the server received")?;
            is_same(&expected.at_client, &here.server_bytes()).context("what the client received")?;
            in_tls += usize::from(expected.tls);
        }
        let stats = self.lab.filter.json(&["stats"])?;
        for row in stats["reasons"].as_array().context("reasons")? {
            ensure!(!row["reason"].as_str().unwrap_or_default().starts_with("guards."), "{row}");
        }
        Ok((sessions.len(), in_tls))
    }
}

fn is_same(expected: &[u8], received: &[u8]) -> Result<()> {
    if expected == received {
        return Ok(());
    }
    let at = expected.iter().zip(received).take_while(|(expected, received)| expected == received).count();
    let around =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(40)..bytes.len().min(at + 40)]).into_owned();
    bail!("byte {at}: {:?} expected, {:?} received", around(expected), around(received));
}

/// Clients of one test: with five clients and four servers, every client meets every server or profile somewhere, and
/// every profile meets all of both.
fn mailers(server: Server, profile: usize) -> Vec<Mailer> {
    let turn = server as usize + profile;
    let mut mailers = vec![Mailer::ALL[turn % 5]];
    if server == Server::Postfix {
        mailers.push(Mailer::ALL[(turn + 4) % 5]);
    }
    mailers
}

/// Mail goes by this protocol, in clear; where it is to go in TLS alone, it does not go.
fn carries(server: Server, profile: (usize, &'static str), protocol: &str) -> Result<()> {
    let mut ends = Ends::new(server, profile.1)?;
    for mailer in mailers(server, profile.0).into_iter().filter(|mailer| mailer.is_there()) {
        // A Postfix that is shown a PIX's banner does not ask for ESMTP (docs/policy.md).
        let protocol = if (profile.1, mailer) == ("asa-esmtp", Mailer::Postfix) { "SMTP" } else { protocol };
        if (profile.1, mailer) == ("pix-mailguard", Mailer::Dma) {
            ends.is_given_up()?;
        } else {
            ends.arrives(mailer, false, protocol)?;
        }
    }
    ends.is_kept()?;
    let (sessions, in_tls) = ends.are_as_promised()?;
    ensure!(sessions > ends.mails && in_tls == 0, "{sessions} sessions, {in_tls} in TLS");
    Ok(())
}

/// Mail goes by ESMTP, in clear and, where the server can, in TLS.
fn keeps_tls(server: Server, profile: (usize, &'static str)) -> Result<()> {
    let mut ends = Ends::new(server, profile.1)?;
    let has_tls = ends.lab.server.has_tls();
    let mut tls = 0;
    for mailer in mailers(server, profile.0).into_iter().filter(|mailer| mailer.is_there()) {
        ends.arrives(mailer, false, "ESMTP")?;
        if has_tls {
            ends.arrives(mailer, true, "ESMTPS")?;
            tls += 1;
        }
    }
    let (sessions, in_tls) = ends.are_as_promised()?;
    ensure!(sessions >= ends.mails && in_tls == tls, "{sessions} sessions, {in_tls} of {tls} in TLS");
    Ok(())
}

/// Not a byte of a session with EHLO comes out behind the filter; a session with HELO is untouched.
fn stops_esmtp(server: Server, profile: (usize, &'static str)) -> Result<()> {
    let mut ends = Ends::new(server, profile.1)?;
    let told = events(&ends.lab.filter)?;
    let (mut next, mut refused) = (0, 0);
    for mailer in mailers(server, profile.0).into_iter().filter(|mailer| mailer.is_there()) {
        let mut sending = ends.lab.send(mailer, SERVER_V4, With::default(), &mail(3000, 99))?;
        (_, next) = event(&told, next, "commands.ehlo", "drop").with_context(|| format!("{mailer:?}"))?;
        ensure!(sending.is_under_way(), "{mailer:?}");
        refused += 1;
    }
    let mut silent = Vec::new();
    wait_until("the capture has them, too", || {
        silent = ends.client.sessions()?.into_keys().collect();
        Ok(silent.len() >= refused)
    })?;
    let sent = mail(3000, 1);
    ends.lab.send_by_helo(&sent)?.is_done()?;
    ends.mails = 1;
    ends.lab.has_arrived(1, &sent, "SMTP")?;

    let promise = Promise::of(ends.profile)?;
    let sessions = both_ends(&ends.client, &ends.server, &silent)?;
    let mut by_helo = 0;
    for (client, [here, there]) in &sessions {
        let (said, heard) = (here.client_bytes(), there.client_bytes());
        if said.starts_with(b"EHLO ") {
            ensure!(heard.is_empty(), "{client}: {:?} came through", String::from_utf8_lossy(&heard));
            is_same(&there.server_bytes(), &here.server_bytes()).context("the banner")?;
        } else {
            let expected = promise.of_session(&said, &there.server_bytes())?;
            is_same(&expected.at_server, &heard).context("what the server received")?;
            is_same(&expected.at_client, &here.server_bytes()).context("what the client received")?;
            by_helo += 1;
        }
    }
    ensure!(by_helo == 1 && !silent.is_empty(), "{by_helo} sessions by HELO, {} without", silent.len());
    Ok(())
}

/// A test for each server under each profile.
macro_rules! tests {
    ($($name:ident: $check:ident $server:ident $number:literal $profile:literal $($protocol:literal)?;)*) => {$(
        #[test(root)]
        fn $name() -> Result<()> {
            $check(Server::$server, ($number, $profile) $(, $protocol)?)
        }
    )*};
}

tests! {
    postfix_monitored: keeps_tls Postfix 0 "monitor";
    exim_monitored: keeps_tls Exim 0 "monitor";
    opensmtpd_monitored: keeps_tls OpenSmtpd 0 "monitor";
    aiosmtpd_monitored: keeps_tls Aiosmtpd 0 "monitor";
    postfix_marked: keeps_tls Postfix 1 "mark-esmtp";
    exim_marked: keeps_tls Exim 1 "mark-esmtp";
    opensmtpd_marked: keeps_tls OpenSmtpd 1 "mark-esmtp";
    aiosmtpd_marked: keeps_tls Aiosmtpd 1 "mark-esmtp";
    postfix_without_esmtp: stops_esmtp Postfix 2 "drop-esmtp";
    exim_without_esmtp: stops_esmtp Exim 2 "drop-esmtp";
    opensmtpd_without_esmtp: stops_esmtp OpenSmtpd 2 "drop-esmtp";
    aiosmtpd_without_esmtp: stops_esmtp Aiosmtpd 2 "drop-esmtp";
    postfix_by_helo: carries Postfix 3 "helo-only" "SMTP";
    exim_by_helo: carries Exim 3 "helo-only" "SMTP";
    opensmtpd_by_helo: carries OpenSmtpd 3 "helo-only" "SMTP";
    aiosmtpd_by_helo: carries Aiosmtpd 3 "helo-only" "SMTP";
    postfix_behind_a_pix: carries Postfix 4 "pix-mailguard" "SMTP";
    exim_behind_a_pix: carries Exim 4 "pix-mailguard" "SMTP";
    opensmtpd_behind_a_pix: carries OpenSmtpd 4 "pix-mailguard" "SMTP";
    aiosmtpd_behind_a_pix: carries Aiosmtpd 4 "pix-mailguard" "SMTP";
    postfix_behind_an_asa: carries Postfix 0 "asa-esmtp" "ESMTP";
    exim_behind_an_asa: carries Exim 0 "asa-esmtp" "ESMTP";
    opensmtpd_behind_an_asa: carries OpenSmtpd 0 "asa-esmtp" "ESMTP";
    aiosmtpd_behind_an_asa: carries Aiosmtpd 0 "asa-esmtp" "ESMTP";
    postfix_hardened: keeps_tls Postfix 1 "hardened";
    exim_hardened: keeps_tls Exim 1 "hardened";
    opensmtpd_hardened: keeps_tls OpenSmtpd 1 "hardened";
    aiosmtpd_hardened: keeps_tls Aiosmtpd 1 "hardened";
}
