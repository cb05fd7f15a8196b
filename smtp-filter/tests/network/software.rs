//! The distribution's mail software through the filter: each server, each client, under each profile.
//!
//! Invariants: I5, I6, I7.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smtp_filter_testkit::{
    Namespace, SERVER_V4, SERVER_V6,
    lab::{
        self, SOON, event, events, mail,
        software::{Mailer, Sending, Server, SoftwareLab, With},
        succeed,
    },
};

const SERVERS: [std::net::SocketAddr; 2] = [SERVER_V4, SERVER_V6];

/// Everything arrives, bit for bit, STARTTLS and AUTH work, and every command in clear is told, passwords apart.
fn monitor(server: Server) -> Result<()> {
    let lab = SoftwareLab::new(server, "monitor")?;
    let events = events(&lab.filter)?;
    let (mut next, mut number) = (0, 0);
    for (at, mailer) in Mailer::ALL.into_iter().enumerate() {
        if !mailer.is_there() {
            continue;
        }
        // In clear, and one of the others, so that both AUTH in clear and STARTTLS come from several clients.
        let more = [With { tls: false, login: true }, With { tls: true, login: at % 4 != 0 }];
        for (turn, with) in [With::default(), more[at % 2], more[(at + 1) % 2]].into_iter().enumerate() {
            if (with.tls && !lab.server.has_tls()) || (with.login && !with.tls && !lab.server.has_login_in_clear()) {
                continue;
            }
            number += 1;
            let sent = mail(3000, number as u64);
            let about = || format!("{mailer:?} {with:?} to {}", lab.server.name());
            lab.send(mailer, SERVERS[(at + turn) % 2], with, &sent)?.is_done().with_context(about)?;
            lab.has_arrived(number, &sent, with.protocol()).with_context(about)?;

            let told;
            (told, next) = event(&events, next, "commands.ehlo", "log").with_context(about)?;
            ensure!(told["enforced"] == true && told["verb"] == "EHLO", "{told}");
            if with.tls {
                (_, next) = event(&events, next, "commands.starttls", "log").with_context(about)?;
            } else {
                if with.login {
                    let told;
                    (told, next) = event(&events, next, "commands.auth", "log").with_context(about)?;
                    ensure!(told["verb"] == "AUTH" && told["arg"] == Value::Null, "{told}");
                }
                (_, next) = event(&events, next, "commands.mail", "log").with_context(about)?;
            }
        }
    }
    // What would be dropped passes and is told.
    lab.filter.set(&["commands.ehlo=drop", "commands.mail=reset"])?;
    let sent = mail(3000, 99);
    lab.send(Mailer::Swaks, SERVER_V4, With::default(), &sent)?.is_done()?;
    lab.has_arrived(number + 1, &sent, "ESMTP")?;
    let (told, next) = event(&events, next, "commands.ehlo", "drop")?;
    ensure!(told["enforced"] == false, "{told}");
    let (told, _) = event(&events, next, "commands.mail", "reset")?;
    ensure!(told["enforced"] == false, "{told}");

    let said = events.lines().join("\n");
    for secret in ["sesame", "AGFsaWNlAHNlc2FtZQ", "c2VzYW1l", "YWxpY2U"] {
        ensure!(!said.contains(secret), "an event tells a password: {said}");
    }
    let lines: Vec<Value> = events.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let unasked =
        |told: &&Value| told["kind"] == "guard" || told["reason"].as_str().is_some_and(|r| r.starts_with("stream."));
    ensure!(!lines.iter().any(|told| unasked(&told)), "{:?}", lines.iter().find(unasked));
    Ok(())
}

/// Counters of the administrator's, behind the filter: client segments with payload, with the mark and without.
struct Counters<'a>(&'a Namespace);

impl<'a> Counters<'a> {
    fn new(gateway: &'a Namespace) -> Result<Self> {
        gateway.nft(
            "add table inet marks
             add counter inet marks marked
             add counter inet marks plain
             add chain inet marks said
             add rule inet marks said meta mark and 0xff == 0x19 counter name marked
             add rule inet marks said meta mark and 0xff != 0x19 counter name plain
             add chain inet marks forward { type filter hook forward priority 0; }
             add rule inet marks forward tcp dport 25 tcp flags & syn == 0 ip length > 52 goto said
             add rule inet marks forward tcp dport 25 tcp flags & syn == 0 ip6 length > 32 goto said",
        )?;
        Ok(Self(gateway))
    }

    fn read(&self, name: &str) -> Result<u64> {
        let said = succeed(self.0.command("nft").args(["list", "counter", "inet", "marks", name]))?;
        Ok(said.split_whitespace().skip_while(|word| *word != "packets").nth(1).context("a count")?.parse()?)
    }
}

/// Everything arrives; from EHLO on, every segment of the client carries the mark.
fn mark_esmtp(server: Server) -> Result<()> {
    let lab = SoftwareLab::new(server, "mark-esmtp")?;
    let events = events(&lab.filter)?;
    let counters = Counters::new(&lab.network.gateway)?;
    // The neighbour: RFC 821 alone is not marked.
    let sent = mail(3000, 99);
    lab.send_by_helo(&sent)?.is_done()?;
    lab.has_arrived(1, &sent, "SMTP")?;
    let plain = counters.read("plain")?;
    ensure!(plain >= 6 && counters.read("marked")? == 0, "HELO, MAIL, RCPT, DATA, the text, QUIT: {plain}");

    let (mut next, mut number) = (0, 1);
    for (at, mailer) in Mailer::ALL.into_iter().enumerate() {
        if !mailer.is_there() {
            continue;
        }
        let tls = at % 2 == 0 && lab.server.has_tls();
        let with = With { tls, login: tls || lab.server.has_login_in_clear() };
        let before = counters.read("marked")?;
        number += 1;
        let sent = mail(3000, number as u64);
        let about = || format!("{mailer:?} {with:?} to {}", lab.server.name());
        lab.send(mailer, SERVERS[at % 2], with, &sent)?.is_done().with_context(about)?;
        lab.has_arrived(number, &sent, with.protocol()).with_context(about)?;
        let told;
        (told, next) = event(&events, next, "commands.ehlo", "mark").with_context(about)?;
        ensure!(told["enforced"] == true, "{told}");
        ensure!(counters.read("marked")? >= before + 4, "{}", about());
        ensure!(counters.read("plain")? == plain, "{}: a segment without the mark", about());
    }
    Ok(())
}

/// No EHLO reaches the server, and no mail of those that insist on it, until it is allowed: then all go through, by
/// retransmission or when the client tries again. Who says HELO is not held up.
fn drop_esmtp(server: Server) -> Result<()> {
    let lab = SoftwareLab::new(server, "drop-esmtp")?;
    let events = events(&lab.filter)?;
    let mut next = 0;
    let mut under_way: Vec<(Mailer, Sending)> = Vec::new();
    let mut mails: Vec<Vec<u8>> = Vec::new();
    for (at, mailer) in Mailer::ALL.into_iter().enumerate() {
        if !mailer.is_there() {
            continue;
        }
        mails.push(mail(3000, at as u64));
        let sending = lab.send(mailer, SERVERS[at % 2], With::default(), &mails[mails.len() - 1])?;
        under_way.push((mailer, sending));
        let told;
        (told, next) = event(&events, next, "commands.ehlo", "drop").with_context(|| format!("{mailer:?}"))?;
        ensure!(told["enforced"] == true && told["verb"] == "EHLO", "{told}");
    }
    for (mailer, sending) in &mut under_way {
        ensure!(sending.is_under_way(), "{mailer:?}");
        if let Sending::Postfix(postfix) = sending {
            lab::wait_until("Postfix puts it off", || Ok(postfix.deferred() == 1))?;
        }
    }
    let sent = mail(3000, 99);
    lab.send_by_helo(&sent)?.is_done()?;
    lab.has_arrived(1, &sent, "SMTP")?;
    ensure!(lab.server.greetings() == ["HELO client.example"], "{:?}", lab.server.greetings());

    lab.filter.set(&["commands.ehlo=pass"])?;
    for (mailer, sending) in &mut under_way {
        if let Sending::Postfix(postfix) = sending {
            postfix.flush()?;
        }
        sending.is_done().with_context(|| format!("{mailer:?}"))?;
    }
    let stored = lab.server.wait_for_mails(1 + mails.len(), SOON)?;
    ensure!(stored.len() == 1 + mails.len(), "{} mails", stored.len());
    for (sent, (mailer, _)) in mails.iter().zip(&under_way) {
        let arrived = stored.iter().filter(|stored| lab::is_stored(stored, sent).is_ok()).count();
        ensure!(arrived == 1, "{mailer:?}'s mail arrived {arrived} times");
    }
    ensure!(lab.server.greetings().iter().any(|line| line == "EHLO client.example"), "{:?}", lab.server.greetings());
    Ok(())
}

/// A test for each server under each profile.
macro_rules! tests {
    ($($name:ident: $profile:ident $server:ident;)*) => {$(
        #[test(root)]
        fn $name() -> Result<()> {
            $profile(Server::$server)
        }
    )*};
}

tests! {
    postfix_gets_everything_that_is_monitored: monitor Postfix;
    exim_gets_everything_that_is_monitored: monitor Exim;
    opensmtpd_gets_everything_that_is_monitored: monitor OpenSmtpd;
    aiosmtpd_gets_everything_that_is_monitored: monitor Aiosmtpd;
    postfix_gets_everything_and_esmtp_is_marked: mark_esmtp Postfix;
    exim_gets_everything_and_esmtp_is_marked: mark_esmtp Exim;
    opensmtpd_gets_everything_and_esmtp_is_marked: mark_esmtp OpenSmtpd;
    aiosmtpd_gets_everything_and_esmtp_is_marked: mark_esmtp Aiosmtpd;
    postfix_hears_no_ehlo_until_it_is_allowed: drop_esmtp Postfix;
    exim_hears_no_ehlo_until_it_is_allowed: drop_esmtp Exim;
    opensmtpd_hears_no_ehlo_until_it_is_allowed: drop_esmtp OpenSmtpd;
    aiosmtpd_hears_no_ehlo_until_it_is_allowed: drop_esmtp Aiosmtpd;
}
