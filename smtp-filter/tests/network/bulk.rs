//! Large mails through the filter, bit for bit, between real mail software in network namespaces.
//!
//! Invariants: I5.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::{
    Fate, Judge, MailServer, Network, Random, SERVER_V4, SERVER_V6,
    lab::{
        self, Far, LATER, Lab, TemporaryFile, begin_data, counted, curl, hello, is_stored, mail, payload, say,
        stored_as, straight, stuffed, succeed, swaks,
    },
    postfix_tool,
};

const LARGE: usize = 20_000_000;

#[test(root)]
fn mails_of_20_megabytes_arrive_bit_for_bit() -> Result<()> {
    let lab = Lab::new("drop-esmtp", &[])?;
    lab.network.gateway.nft(
        "add table inet sizes
         add counter inet sizes large
         add chain inet sizes forward { type filter hook forward priority 0; }
         add rule inet sizes forward tcp dport 25 meta length > 60000 counter name large",
    )?;
    let sent = mail(LARGE, 20);
    let file = TemporaryFile::new("bulk", &sent)?;
    // swaks puts a line's end of its own behind the last line, and smtp-source one more.
    let open = TemporaryFile::new("bulk-open", sent.strip_suffix(b"\r\n").context("a last line")?)?;
    let lines = TemporaryFile::new("bulk-lines", &stored_as(&sent))?;
    let longer = [&sent[..], b"\r\n"].concat();
    let client = &lab.network.client;
    let mut plain = swaks(client, SERVER_V4, &["--protocol", "SMTP", "--suppress-data", "--data"]);
    plain.arg(format!("@{}", open.0.display()));
    let mut plain_v6 = postfix_tool(client, "smtp-source")?;
    plain_v6.args(["-f", "alice@client.example", "-t", "bob@server.example", "-F"]).arg(&lines.0);
    plain_v6.arg(format!("inet:{SERVER_V6}"));
    // They say HELO, which passes.
    for (number, command, sent) in [(0, &mut plain, &sent), (1, &mut plain_v6, &longer)] {
        succeed(command)?;
        is_stored(&lab.postfix.wait_for_mails(number + 1, LATER)?[number], sent)
            .with_context(|| format!("{command:?}"))?;
    }
    // curl says EHLO.
    lab.filter.set(&["commands.ehlo=log"])?;
    for (number, server) in [(2, SERVER_V4), (3, SERVER_V6)] {
        succeed(&mut curl(client, server, &file.0))?;
        is_stored(&lab.postfix.wait_for_mails(number + 1, LATER)?[number], &sent)?;
    }
    // Plain veth, too, puts segments out of order where the sender changes its CPU.
    let (in_order, early) =
        (counted(&lab.filter, "pass.mail_data")?, counted(&lab.filter, "stream.out_of_order_data")?);
    let (segments, bytes) = (in_order.0 + early.0, in_order.1 + early.1);
    let counter = succeed(lab.network.gateway.command("nft").args(["list", "counter", "inet", "sizes", "large"]))?;
    let large =
        counter.split_whitespace().skip_while(|word| *word != "packets").nth(1).context("a count")?.parse::<u64>()?;
    println!("{bytes} bytes of mail data in {segments} segments, {large} of them above 60,000 bytes");
    ensure!(bytes > 4 * LARGE as u64 && large > 50, "{bytes} bytes, {large} large segments");
    ensure!(counted(&lab.filter, "commands.ehlo")?.0 == 2, "EHLO in the text is no command");
    ensure!(counted(&lab.filter, "commands.helo")?.0 == 2 && counted(&lab.filter, "commands.data")?.0 == 4);
    lab.nothing_was_cut()
}

/// Loses one of a hundred segments with payload, for the first time and when it comes again.
fn one_percent() -> Judge {
    let mut random = Random::new(2_026);
    Box::new(move |packet| if payload(packet).len() > 1000 && random.below(100) == 0 { Fate::Lose } else { Fate::Pass })
}

/// Of a hundred segments with payload five come behind up to three of their followers.
fn out_of_order() -> Judge {
    let mut random = Random::new(821);
    Box::new(move |packet| {
        let late = payload(packet).len() > 1000 && random.below(20) == 0;
        if late { Fate::Behind(1 + random.below(3) as u32) } else { Fate::Pass }
    })
}

/// Sends a large mail over a bad line, by either protocol.
fn over_a_bad_line(judge: fn() -> Judge, happened: impl Fn(&Far) -> Result<()>) -> Result<()> {
    let lab = Lab::new("drop-esmtp", &["commands.ehlo=log"])?;
    let far = Far::new(&lab.network, [judge(), straight()])?;
    let sent = mail(LARGE, 1);
    let file = TemporaryFile::new("bad-line", &sent)?;
    for (number, server) in [SERVER_V4, SERVER_V6].into_iter().enumerate() {
        let of = |reason| Ok::<_, anyhow::Error>(counted(&lab.filter, reason)?.0);
        let before = [of("stream.out_of_order_data")?, of("stream.out_of_order")?];
        let start = std::time::Instant::now();
        succeed(&mut curl(&far.client, server, &file.0)).with_context(|| lab::all_counters(&lab.filter))?;
        let took = start.elapsed();
        let [early, held] = [of("stream.out_of_order_data")? - before[0], of("stream.out_of_order")? - before[1]];
        println!(
            "{server}: {took:.1?}, {early} segments out of order passed and {held} waited, {:?} lost and overtaken, {} sent again",
            far.line.damage(0),
            far.retransmitted()?
        );
        let mails = lab.postfix.wait_for_mails(number + 1, LATER)?;
        is_stored(&mails[number], &sent)?;
        ensure!(early > 100, "{early} segments came before a gap");
        // One in twenty of them begins within a line's end. To its sender one that waits is one that was lost.
        ensure!(held * 100 <= early, "of the segments that came before a gap {early} passed and {held} waited");
        happened(&far)?;
    }
    ensure!(counted(&lab.filter, "commands.ehlo")?.0 == 2, "EHLO in the text is no command");
    lab.nothing_was_cut()
}

#[test(root)]
fn mails_of_20_megabytes_arrive_bit_for_bit_where_one_percent_is_lost() -> Result<()> {
    over_a_bad_line(one_percent, |far| {
        let (lost, again) = (far.line.damage(0).0, far.retransmitted()?);
        ensure!(lost > 100 && again >= lost, "{lost} lost, {again} sent again");
        Ok(())
    })
}

#[test(root)]
fn mails_of_20_megabytes_arrive_bit_for_bit_out_of_order() -> Result<()> {
    over_a_bad_line(out_of_order, |far| {
        let (lost, overtaken) = far.line.damage(0);
        ensure!(lost == 0 && overtaken > 300, "{lost} lost, {overtaken} overtaken");
        Ok(())
    })
}

/// I9: no CPU is told to anybody, so that segments of one connection are judged at the same time.
#[test(root)]
fn two_hundred_connections_at_once_are_kept_apart() -> Result<()> {
    const CONNECTIONS: usize = 200;
    const SIZE: usize = 100_000;
    let network = Network::new()?;
    let server = MailServer::start(&network.server)?;
    let filter = lab::filter(&network.gateway)?;
    filter.up(&["--iface", "inside", "--profile", "drop-esmtp"])?;
    let all_there = Arc::new(Barrier::new(CONNECTIONS));
    thread::scope(|scope| -> Result<()> {
        let sessions: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let (all_there, client) = (Arc::clone(&all_there), &network.client);
                scope.spawn(move || -> Result<()> {
                    let to = if number % 2 == 0 { SERVER_V4 } else { SERVER_V6 };
                    let greeted = hello(client, to, "HELO");
                    all_there.wait();
                    let mut session = greeted?;
                    begin_data(&mut session)?;
                    session.write(&stuffed(&mail(SIZE, number as u64)))?;
                    ensure!(session.reply()?.code == 250);
                    say(&mut session, "QUIT", 221)
                })
            })
            .collect();
        for session in sessions {
            session.join().map_err(|_| anyhow::anyhow!("a session panicked"))??;
        }
        Ok(())
    })?;
    let mails = server.wait_for_mails(CONNECTIONS, LATER)?;
    for number in 0..CONNECTIONS {
        let subject = format!("number {number}");
        let arrived = mails.iter().find(|mail| mail.subject().as_deref() == Some(&subject)).context(subject)?;
        ensure!(arrived.text == mail(SIZE, number as u64), "mail {number} is another one");
    }
    ensure!(counted(&filter, "commands.data")?.0 == CONNECTIONS as u64);
    ensure!(counted(&filter, "commands.ehlo")?.0 == 0, "EHLO in the text is no command");
    ensure!(filter.json(&["status"])?["lost_events"] == 0);
    Ok(())
}
