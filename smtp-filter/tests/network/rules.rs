//! Rules and their neighbours, with a real Postfix behind the filter: what is dropped does not reach it, what is beside
//! it passes, and what is removed from the rules passes again.
//!
//! Invariants: I1, I2, I3, I6.

use std::{io::Read as _, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use smtp_filter_testkit::{
    Client, MailServer, Network, SERVER_V4, SERVER_V6,
    lab::{
        self, Lab, SOON, TemporaryFile, begin_data, counted, curl, event, events, hello, mail, say, stuffed, succeed,
        swaks,
    },
    send_by_esmtp,
};

const SERVERS: [SocketAddr; 2] = [SERVER_V4, SERVER_V6];

/// A client that has read the banner.
fn greeted(lab: &Lab, server: SocketAddr) -> Result<Client> {
    let mut client = Client::connect(&lab.network.client, server)?;
    client.patience(SOON)?;
    ensure!(client.greeting()?.code == 220);
    Ok(client)
}

/// Nothing has been received that is not read yet.
fn is_silent(client: &mut Client) -> Result<()> {
    let stream = client.stream();
    stream.set_nonblocking(true)?;
    let read = stream.read(&mut [0; 100]);
    stream.set_nonblocking(false)?;
    let silent = read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    ensure!(silent, "there is a reply: {read:?}");
    Ok(())
}

/// The main job. The dropped EHLO stays the client's to send again: once it is allowed, it passes by itself.
#[test(root)]
fn ehlo_is_dropped_helo_passes_and_removed_again_ehlo_passes() -> Result<()> {
    let lab = Lab::new("monitor", &[])?;
    let events = events(&lab.filter)?;
    let mut next = 0;
    for server in SERVERS {
        hello(&lab.network.client, server, "EHLO")?;
        (_, next) = event(&events, next, "commands.ehlo", "log")?;

        lab.filter.set(&["mode=enforce", "commands.ehlo=drop"])?;
        let mut dropped = greeted(&lab, server)?;
        dropped.write(b"EHLO client.example\r\n")?;
        let (told, line) = event(&events, next, "commands.ehlo", "drop")?;
        next = line;
        ensure!(told["enforced"] == true && told["verb"] == "EHLO" && told["arg"] == "client.example", "{told}");

        let mut plain = hello(&lab.network.client, server, "HELO")?;
        begin_data(&mut plain)?;
        plain.write(&stuffed(&mail(3000, 1)))?;
        ensure!(plain.reply()?.code == 250);
        is_silent(&mut dropped)?;

        lab.filter.set(&["commands.ehlo=pass"])?;
        let reply = dropped.reply()?;
        ensure!(reply.code == 250 && reply.lines.iter().any(|line| line == "PIPELINING"), "{reply:?}");
        lab.filter.set(&["mode=monitor", "commands.ehlo=log"])?;
    }
    ensure!(lab.postfix.wait_for_mails(2, SOON)?.len() == 2);
    Ok(())
}

/// What arrives at a server that writes every line down: not one dropped command.
#[test(root)]
fn each_dropped_command_stays_away_and_its_neighbour_arrives() -> Result<()> {
    let network = Network::new()?;
    let server = MailServer::start(&network.server)?;
    let filter = lab::filter(&network.gateway)?;
    filter.up(&["--iface", "inside", "--profile", "drop-esmtp"])?;
    let events = events(&filter)?;
    let mut next = 0;
    let pairs = [
        ("EHLO", "HELO"),
        ("LHLO", "HELO"),
        ("STARTTLS", "START"),
        ("STARTTLS", "STARTTLSX"),
        ("AUTH", "AUT"),
        ("BDAT", "BDA"),
        ("BURL", "BUR"),
        ("ETRN", "TURN"),
        ("ATRN", "ATRNN"),
        ("XCLIENT", "XCLIEN"),
        ("XFORWARD", "XFORWARDS"),
        ("VERB", "VRFY"),
        ("ONEX", "ONE"),
        ("XEXCH50", "XEXCH5"),
        ("X-LINK2STATE", "X-LINK2STATES"),
        ("X-EXPS", "X-EXP"),
        ("X-ANONYMOUSTLS", "X_ANONYMOUSTLS"),
    ];
    for (dropped, neighbour) in pairs {
        let mut client = Client::connect(&network.client, SERVER_V4)?;
        client.patience(SOON)?;
        client.greeting()?;
        client.command(&format!("{neighbour} beside-{dropped}"))?;
        // In the case that nobody expects.
        let typed = dropped.to_ascii_lowercase();
        client.write(format!("{typed} kept-away\r\n").as_bytes())?;
        let reason = format!("commands.{typed}");
        let (told, line) = event(&events, next, &reason, "drop")?;
        // What these two carry may be a password.
        let secret = matches!(dropped, "AUTH" | "X-EXPS");
        ensure!(told["arg"] == if secret { serde_json::Value::Null } else { "kept-away".into() }, "{told}");
        next = line;
        is_silent(&mut client)?;
        let lines = server.lines();
        ensure!(lines.iter().any(|line| *line == format!("{neighbour} beside-{dropped}")), "{neighbour}: {lines:?}");
    }
    ensure!(!server.lines().iter().any(|line| line.contains("kept-away")), "{:?}", server.lines());
    Ok(())
}

/// A person at a keyboard: each byte is a segment.
#[test(root)]
fn ehlo_typed_byte_by_byte_gets_no_reply_and_helo_gets_one() -> Result<()> {
    let lab = Lab::new("drop-esmtp", &[])?;
    let events = events(&lab.filter)?;
    let mut next = 0;
    for server in SERVERS {
        let before = counted(&lab.filter, "pass.commands")?;
        let mut typed = greeted(&lab, server)?;
        for byte in b"eHlO a.example\r\n" {
            typed.write(&[*byte])?;
        }
        (_, next) = event(&events, next, "commands.ehlo", "drop")?;
        is_silent(&mut typed)?;
        let after = counted(&lab.filter, "pass.commands")?;
        ensure!(after.0 - before.0 > 3, "in segments of their own: {before:?}, {after:?}");
        ensure!(after.1 - before.1 <= 15, "all but the end: {before:?}, {after:?}");

        let mut typed = greeted(&lab, server)?;
        for byte in b"hElO a.example\r\n" {
            typed.write(&[*byte])?;
        }
        ensure!(typed.reply()?.code == 250);
    }
    Ok(())
}

/// What broke the appliances: the end of data over several segments. And commands behind it are commands.
#[test(root)]
fn the_end_of_data_over_five_segments_ends_the_mail() -> Result<()> {
    let lab = Lab::new("drop-esmtp", &[])?;
    let events = events(&lab.filter)?;
    let mut next = 0;
    for (number, server) in SERVERS.into_iter().enumerate() {
        let mut client = hello(&lab.network.client, server, "HELO")?;
        begin_data(&mut client)?;
        client.write(b"Subject: five\r\n\r\nEHLO in the text\r\n.EHLO\r\nno end: \r\n..\r\n. \r\nthe last line")?;
        for byte in b"\r\n.\r\n" {
            client.write(&[*byte])?;
        }
        ensure!(client.reply()?.code == 250);
        client.write(b"EHLO behind the text\r\n")?;
        let told;
        (told, next) = event(&events, next, "commands.ehlo", "drop")?;
        ensure!(told["arg"] == "behind the text", "{told}");
        let mails = lab.postfix.wait_for_mails(number + 1, SOON)?;
        let text = String::from_utf8_lossy(&mails[number]).into_owned();
        ensure!(
            text.contains("\nEHLO in the text\nEHLO\nno end: \n.\n \n") && text.ends_with("the last line\n"),
            "{text}"
        );
    }
    lab.nothing_was_cut()?;
    Ok(())
}

#[test(root)]
fn a_whole_session_in_one_segment_a_byte_arrives_unchanged() -> Result<()> {
    let lab = Lab::new("drop-esmtp", &[])?;
    let sent = mail(1500, 7);
    let mut client = greeted(&lab, SERVER_V4)?;
    let mut speak = |bytes: &[u8], code: u16| -> Result<()> {
        bytes.iter().try_for_each(|byte| client.write(&[*byte]))?;
        let reply = client.reply()?;
        ensure!(reply.code == code, "{reply:?}");
        Ok(())
    };
    speak(b"HELO client.example\r\n", 250)?;
    speak(b"MAIL FROM:<alice@client.example>\r\n", 250)?;
    speak(b"RCPT TO:<bob@server.example>\r\n", 250)?;
    speak(b"DATA\r\n", 354)?;
    speak(&stuffed(&sent), 250)?;
    speak(b"QUIT\r\n", 221)?;
    lab::is_stored(&lab.postfix.wait_for_mails(1, SOON)?[0], &sent)?;
    lab.nothing_was_cut()
}

/// CVE-2000-1022: the client says DATA, the server says no. A filter that believed the client is open from then on.
#[test(root)]
fn data_before_rcpt_opens_no_door() -> Result<()> {
    let lab = Lab::new("drop-esmtp", &[])?;
    let events = events(&lab.filter)?;
    let mut next = 0;
    for server in SERVERS {
        let mut client = hello(&lab.network.client, server, "HELO")?;
        say(&mut client, "DATA", 503)?;
        say(&mut client, "NOOP", 250)?;
        client.write(b"EHLO through the door\r\n")?;
        let told;
        (told, next) = event(&events, next, "commands.ehlo", "drop")?;
        ensure!(told["arg"] == "through the door", "{told}");
        is_silent(&mut client)?;
    }
    Ok(())
}

#[test(root)]
fn ehlo_in_a_chunk_is_part_of_the_mail_and_after_it_a_command() -> Result<()> {
    let lab = Lab::new("drop-esmtp", &["commands.ehlo=log", "commands.bdat=pass"])?;
    let events = events(&lab.filter)?;
    let mut client = hello(&lab.network.client, SERVER_V4, "EHLO")?;
    let (_, next) = event(&events, 0, "commands.ehlo", "log")?;
    lab.filter.set(&["commands.ehlo=drop"])?;
    say(&mut client, "MAIL FROM:<alice@client.example>", 250)?;
    say(&mut client, "RCPT TO:<bob@server.example>", 250)?;
    let first = b"Subject: chunks\r\n\r\nEHLO in the first chunk\r\n.\r\nEHLO\r\n";
    let last = b"QUIT\r\nEHLO in the last chunk\r\n";
    client.write(format!("BDAT {}\r\n", first.len()).as_bytes())?;
    client.write(first)?;
    ensure!(client.reply()?.code == 250);
    // Command, chunk and the next command in one.
    client.write(&[format!("BDAT {} LAST\r\n", last.len()).as_bytes(), last].concat())?;
    ensure!(client.reply()?.code == 250);
    client.write(b"EHLO behind the chunk\r\n")?;
    let (told, _) = event(&events, next, "commands.ehlo", "drop")?;
    ensure!(told["arg"] == "behind the chunk", "{told}");
    is_silent(&mut client)?;
    lab::is_stored(&lab.postfix.wait_for_mails(1, SOON)?[0], &[&first[..], last].concat())
}

#[test(root)]
fn tls_passes_where_starttls_is_allowed_and_not_where_it_is_not() -> Result<()> {
    let lab = Lab::new("monitor", &["mode=enforce"])?;
    let events = events(&lab.filter)?;
    let body = "EHLO inside of TLS";
    succeed(&mut swaks(&lab.network.client, SERVER_V4, &["--tls", "--body", body]))?;
    let mails = lab.postfix.wait_for_mails(1, SOON)?;
    ensure!(String::from_utf8_lossy(&mails[0]).contains(body));
    ensure!(counted(&lab.filter, "pass.tls")?.0 > 4, "{}", lab::all_counters(&lab.filter));
    // What is said inside is not read: one EHLO and no MAIL in clear.
    ensure!(counted(&lab.filter, "commands.ehlo")?.0 == 1 && counted(&lab.filter, "commands.mail")?.0 == 0);
    let (_, next) = event(&events, 0, "commands.starttls", "log")?;

    let large = mail(3_000_000, 3);
    let file = TemporaryFile::new("tls", &large)?;
    succeed(curl(&lab.network.client, SERVER_V6, &file.0).args(["--ssl-reqd", "--insecure"]))?;
    lab::is_stored(&lab.postfix.wait_for_mails(2, SOON)?[1], &large)?;

    lab.filter.set(&["commands.starttls=drop"])?;
    let mut client = hello(&lab.network.client, SERVER_V4, "EHLO")?;
    client.write(b"STARTTLS\r\n")?;
    event(&events, next, "commands.starttls", "drop")?;
    is_silent(&mut client)
}

/// CVE-2011-0411.
#[test(root)]
fn a_command_after_starttls_never_reaches_the_server() -> Result<()> {
    let lab = Lab::new("monitor", &["mode=enforce"])?;
    let events = events(&lab.filter)?;
    let mut client = hello(&lab.network.client, SERVER_V4, "EHLO")?;
    client.write(b"STARTTLS\r\nRSET\r\n")?;
    event(&events, 0, "guards.starttls_injection", "reset")?;
    let error = client.reply().err();
    ensure!(error.as_ref().is_some_and(Client::was_reset), "{error:?}");
    Ok(())
}

#[test(root)]
fn pipelined_commands_of_a_real_client_pass() -> Result<()> {
    let lab = Lab::new("monitor", &["mode=enforce"])?;
    for server in SERVERS {
        let mut client = hello(&lab.network.client, server, "EHLO")?;
        let group: String = (0..300).map(|number| format!("RCPT TO:<bob{number}@server.example>\r\n")).collect();
        client.write(format!("MAIL FROM:<alice@client.example>\r\n{group}DATA\r\n").as_bytes())?;
        for _ in 0..301 {
            ensure!(client.reply()?.code == 250);
        }
        ensure!(client.reply()?.code == 354);
        client.write(&[stuffed(&mail(2000, 2)), b"QUIT\r\n".to_vec()].concat())?;
        ensure!(client.reply()?.code == 250);
        ensure!(client.reply()?.code == 221);
    }
    ensure!(counted(&lab.filter, "commands.rcpt")?.0 == 600);
    lab.nothing_was_cut()
}

/// A mark takes the session another way from its next segment on; without EHLO it goes its usual way.
#[test(root)]
fn a_marked_session_can_be_routed_elsewhere() -> Result<()> {
    let network = Network::new()?;
    let server = MailServer::start(&network.server)?;
    let filter = lab::filter(&network.gateway)?;
    filter.up(&["--iface", "inside", "--profile", "mark-esmtp"])?;
    // A counter where rules of the administrator look: behind the filter.
    network.gateway.nft(
        "add table inet marks
         add counter inet marks marked
         add chain inet marks forward { type filter hook forward priority 0; }
         add rule inet marks forward tcp dport 25 meta mark and 0xff == 0x19 counter name marked",
    )?;
    let marked = || -> Result<u64> {
        let said = succeed(network.gateway.command("nft").args(["list", "counter", "inet", "marks", "marked"]))?;
        Ok(said.split_whitespace().skip_while(|word| *word != "packets").nth(1).unwrap_or_default().parse()?)
    };
    let session = hello(&network.client, SERVER_V4, "HELO")?;
    session.send("plain")?;
    ensure!(marked()? == 0);
    send_by_esmtp(&network.client, SERVER_V4, "marked")?;
    ensure!(marked()? >= 5, "EHLO, MAIL, RCPT, DATA, the text: {}", marked()?);
    ensure!(server.wait_for_mails(2, Duration::from_secs(20))?.len() == 2);
    Ok(())
}
