//! The distribution's mail software, without a filter between: every client here sends to every server, in clear and
//! by STARTTLS with AUTH.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::{
    AIOSMTPD, Aiosmtpd, COMMANDS_LOGGED, DMA, Dma, EXIM, Exim, MSMTP, MailSoftware, Network, OPENSMTPD, OpenSmtpd,
    PASSWORD, Postfix, SERVER_V4, USER, msmtp, need,
};

const LIMIT: Duration = Duration::from_secs(20);
const MAIL: &str = "From: alice@client.example\nTo: bob@server.example\nSubject: by hand\n\
                    Date: Tue, 24 Nov 2026 02:00:00 +0000\nMessage-ID: <1@client.example>\n\nHello\n.\nBob\n";

/// Whether a package is there. Where it is not, that is said.
fn is_there(package: &str) -> bool {
    need::package(package).inspect_err(|missing| need::left_out(missing)).is_ok()
}

fn succeeds(command: &mut Command, server: &dyn MailSoftware) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{command:?}: {said}; {} said: {}", server.name(), server.log());
    Ok(())
}

/// The input of a client.
fn input(mail: &str) -> Result<Stdio> {
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(mail.as_bytes())?;
    Ok(reader.into())
}

fn every_client_reaches(network: &Network, server: &dyn MailSoftware) -> Result<()> {
    let client = &network.client;
    let mut expected = Vec::new();
    let mut came = |protocol: &'static str| -> Result<()> {
        expected.push(protocol);
        let mails = server.wait_for_mails(expected.len(), LIMIT)?;
        let mail = String::from_utf8_lossy(&mails[expected.len() - 1]).to_ascii_uppercase();
        ensure!(mail.ends_with(&MAIL.to_ascii_uppercase()), "{}: {mail}", server.name());
        ensure!(mail.contains(&format!("WITH {protocol}")), "{}: {protocol}: {mail}", server.name());
        Ok(())
    };
    for (tls, login) in [(false, false), (true, true), (false, true)] {
        if tls && !server.has_tls() {
            need::left_out(format_args!("STARTTLS at {}: this version breaks it off", server.name()));
            continue;
        }
        if login && !tls && !server.has_login_in_clear() {
            continue;
        }
        let protocol = match (tls, login) {
            (true, _) => "ESMTPSA",
            (false, true) => "ESMTPA",
            _ => "ESMTP",
        };
        let mut swaks = client.command("swaks");
        swaks.args(["--server", "198.51.100.25", "--helo", "client.example", "--from", "alice@client.example"]);
        swaks.args(["--to", "bob@server.example", "--data", "-"]);
        if tls {
            swaks.arg("--tls");
        }
        if login {
            swaks.args(["--auth", "LOGIN", "--auth-user", USER, "--auth-password", PASSWORD]);
        }
        // swaks puts a line's end of its own behind the last line.
        succeeds(swaks.stdin(input(MAIL.trim_end())?), server)?;
        came(protocol)?;
        if is_there(MSMTP) {
            succeeds(msmtp(client, SERVER_V4, tls, login, 20)?.stdin(input(MAIL)?), server)?;
            came(protocol)?;
        }
        if is_there(DMA) {
            let dma = Dma::new(SERVER_V4, tls, login)?;
            succeeds(dma.send(client).stdin(input(MAIL)?), server)?;
            ensure!(dma.queued() == 0);
            came(protocol)?;
        }
    }
    let greetings = server.greetings();
    ensure!(greetings.iter().all(|line| line == "EHLO client.example") && !greetings.is_empty(), "{greetings:?}");
    let mut plain = client.command("swaks");
    plain.args(["--server", "198.51.100.25", "--helo", "old.example", "--from", "alice@client.example"]);
    succeeds(plain.args(["--to", "bob@server.example", "--protocol", "SMTP", "--quit-after", "HELO"]), server)?;
    // What a server logs may come a moment later.
    let start = Instant::now();
    while server.greetings().last().is_none_or(|line| line != "HELO old.example") {
        ensure!(start.elapsed() < LIMIT, "{:?}", server.greetings());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test(root)]
fn every_client_reaches_postfix() -> Result<()> {
    let network = Network::new()?;
    let postfix = Postfix::with_login(&network.server, &COMMANDS_LOGGED)?;
    every_client_reaches(&network, &postfix)
}

#[test(root)]
fn every_client_reaches_exim() -> Result<()> {
    need::package(EXIM)?;
    let network = Network::new()?;
    let exim = Exim::start(&network.server)?;
    every_client_reaches(&network, &exim)
}

#[test(root)]
fn every_client_reaches_opensmtpd() -> Result<()> {
    need::package(OPENSMTPD)?;
    let network = Network::new()?;
    let opensmtpd = OpenSmtpd::start(&network.server)?;
    every_client_reaches(&network, &opensmtpd)
}

#[test(root)]
fn every_client_reaches_aiosmtpd() -> Result<()> {
    need::package(AIOSMTPD)?;
    let network = Network::new()?;
    let aiosmtpd = Aiosmtpd::start(&network.server)?;
    every_client_reaches(&network, &aiosmtpd)
}
