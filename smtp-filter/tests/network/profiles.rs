//! The profiles that rewrite, with a real Postfix behind the filter: what a client sees of the server, what the server
//! takes, and that mail arrives.
//!
//! Invariants: I5.

use anyhow::{Result, ensure};
use smtp_filter_testkit::{
    Client, Reply, SERVER_V4, SERVER_V6,
    lab::{Lab, SOON, TemporaryFile, curl, is_stored, mail, succeed, swaks},
};

/// The banner, what EHLO is answered, and whether each of these commands is refused.
struct Seen {
    banner: String,
    ehlo: Reply,
    refused: Vec<&'static str>,
}

/// Commands that Postfix takes, all of them.
const ASKED: [&str; 5] = ["VRFY bob@server.example", "ETRN server.example", "NOOP", "RSET", "HELO client.example"];

fn look(lab: &Lab) -> Result<Seen> {
    let mut client = Client::connect(&lab.network.client, SERVER_V4)?;
    client.patience(SOON)?;
    let banner = client.greeting()?;
    ensure!(banner.code == 220, "{banner:?}");
    let ehlo = client.command("EHLO client.example")?;
    let mut refused = Vec::new();
    for command in ASKED {
        if client.command(command)?.code / 100 == 5 {
            refused.push(command);
        }
    }
    Ok(Seen { banner: banner.lines.join("\n"), ehlo, refused })
}

/// Keywords of the reply to EHLO that are not masked, in order.
fn keywords(ehlo: &Reply) -> Vec<&str> {
    let words = ehlo.lines.iter().skip(1).filter_map(|line| line.split([' ', '=']).next());
    let mut words: Vec<&str> = words.filter(|word| word.bytes().any(|byte| byte != b'X')).collect();
    words.sort_unstable();
    words
}

/// A mail by curl, which asks EHLO first, arrives as it was sent, by this protocol.
fn arrives(lab: &Lab, number: usize, protocol: &str) -> Result<()> {
    let sent = mail(5_000, number as u64);
    let file = TemporaryFile::new("profile", &sent)?;
    succeed(&mut curl(&lab.network.client, SERVER_V6, &file.0))?;
    let mails = lab.postfix.wait_for_mails(number, SOON)?;
    is_stored(&mails[number - 1], &sent)?;
    let by = format!("with {protocol} id");
    ensure!(
        String::from_utf8_lossy(&mails[number - 1]).contains(&by),
        "{:?}",
        String::from_utf8_lossy(&mails[number - 1])
    );
    lab.nothing_was_cut()
}

#[test(root)]
fn helo_only_carries_mail_as_plain_smtp() -> Result<()> {
    let lab = Lab::new("helo-only", &[])?;
    let Seen { banner, ehlo, refused } = look(&lab)?;
    ensure!(banner.contains("ESMTP"), "{banner}");
    ensure!(ehlo.code == 250 && ehlo.lines.len() == 1, "{ehlo:?}");
    ensure!(refused == ["ETRN server.example"], "{refused:?}");
    arrives(&lab, 1, "SMTP")
}

#[test(root)]
fn pix_mailguard_carries_mail_by_its_seven_commands() -> Result<()> {
    let lab = Lab::new("pix-mailguard", &[])?;
    let Seen { banner, ehlo, refused } = look(&lab)?;
    ensure!(banner.contains('*') && banner.bytes().all(|byte| b"20* ".contains(&byte)), "{banner}");
    ensure!(ehlo.code / 100 == 5, "{ehlo:?}");
    ensure!(refused == ["VRFY bob@server.example", "ETRN server.example"], "{refused:?}");
    arrives(&lab, 1, "SMTP")
}

#[test(root)]
fn asa_esmtp_offers_what_it_knows_and_carries_mail() -> Result<()> {
    let lab = Lab::new("asa-esmtp", &[])?;
    let Seen { banner, ehlo, refused } = look(&lab)?;
    ensure!(banner.contains('*') && banner.bytes().all(|byte| b"20* ".contains(&byte)), "{banner}");
    ensure!(keywords(&ehlo) == ["8BITMIME", "DSN", "ETRN", "PIPELINING", "SIZE", "VRFY"], "{ehlo:?}");
    ensure!(refused.is_empty(), "{refused:?}");
    arrives(&lab, 1, "ESMTP")
}

#[test(root)]
fn hardened_carries_mail_in_clear_and_in_tls() -> Result<()> {
    let lab = Lab::new("hardened", &[])?;
    let Seen { banner, ehlo, refused } = look(&lab)?;
    ensure!(banner.contains(" ESMTP") && !banner.contains("Postfix"), "{banner}");
    ensure!(keywords(&ehlo) == ["8BITMIME", "DSN", "PIPELINING", "SIZE", "SMTPUTF8", "STARTTLS"], "{ehlo:?}");
    ensure!(refused == ["VRFY bob@server.example", "ETRN server.example"], "{refused:?}");
    arrives(&lab, 1, "ESMTP")?;
    succeed(&mut swaks(&lab.network.client, SERVER_V4, &["--tls", "--body", "in TLS"]))?;
    let mails = lab.postfix.wait_for_mails(2, SOON)?;
    ensure!(String::from_utf8_lossy(&mails[1]).contains("with ESMTPS id"), "{:?}", String::from_utf8_lossy(&mails[1]));
    lab.nothing_was_cut()
}
