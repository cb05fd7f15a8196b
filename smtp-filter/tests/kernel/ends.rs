//! What the kernel tells of a connection's beginning and end, on every CPU, over IPv4 and IPv6.
//!
//! Invariants: I7.

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use smtp_filter::policy::{Document, Profile, set};
use smtp_filter_common::event::{Ended, Event, Kind, Summary};
use smtp_filter_testkit::{
    dialogue::{
        Outcome::{Drop, Pass, Reset, ResetSender},
        Side::{self, Client, Server},
        Talk,
    },
    kernel::{Kernel, in_private_namespace},
};

fn enforcing(settings: &[&str]) -> Document {
    let settings = [&["mode=enforce", "guards.unknown_connection.grace=0s"], settings].concat();
    set(&Profile::Monitor.document(), &settings).unwrap()
}

/// Plays steps, each on the next of this machine's CPUs.
fn play_on_all_cpus(kernel: &mut Kernel, talk: &Talk) -> Result<()> {
    let allowed = sched_getaffinity(None).context("which CPUs there are")?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    for (step, cpu) in talk.steps.iter().zip(cpus.iter().cycle()) {
        let mut one = CpuSet::new();
        one.set(*cpu);
        sched_setaffinity(None, &one).context("stay on one CPU")?;
        kernel.play(std::slice::from_ref(step))?;
    }
    Ok(sched_setaffinity(None, &allowed)?)
}

/// Plays a connection, and returns its `connect` and its `close`s. The datapath in user space has told the same.
fn ends(document: &Document, talk: &Talk) -> Result<(Event, Vec<Summary>)> {
    in_private_namespace(|| {
        let mut kernel = Kernel::load(document)?;
        play_on_all_cpus(&mut kernel, talk)?;
        let events = kernel.all_events();
        kernel.agrees_with_user_space()?;
        let of = |kind| events.iter().filter(move |event| event.kind == kind);
        let (connects, closes): (Vec<&Event>, Vec<&Event>) = (of(Kind::CONNECT).collect(), of(Kind::CLOSE).collect());
        ensure!(connects.len() == 1, "{connects:?}");
        let connect = *connects[0];
        ensure!(connect.connection != 0 && events.iter().all(|event| event.connection == connect.connection));
        for close in &closes {
            ensure!(close.summary().duration == close.time - connect.time, "{close:?}");
            ensure!((close.client, close.server) == (connect.client, connect.server), "{close:?}");
        }
        Ok((connect, closes.iter().map(|event| event.summary()).collect()))
    })
}

/// A segment without payload, which passes.
fn bare(talk: &mut Talk, from: Side, flags: &str) {
    let mut tcp = talk.tcp(from);
    (tcp.fin, tcp.rst) = (flags == "fin", flags == "rst");
    talk.raw(from, tcp, b"", Pass);
}

/// The FIN of one side after the other.
fn fins(talk: &mut Talk) {
    bare(talk, Client, "fin");
    talk.client_next = talk.client_next.wrapping_add(1);
    bare(talk, Server, "fin");
    talk.server_next = talk.server_next.wrapping_add(1);
    talk.acknowledge(Client);
}

/// Plays a connection whose `close`s tell these sums, the duration aside.
fn check(document: &Document, talk: &Talk, expected: &[Summary]) -> Result<()> {
    let (_, closes) = ends(document, talk)?;
    let closes: Vec<Summary> = closes.iter().map(|close| Summary { duration: 0, ..*close }).collect();
    ensure!(closes == expected, "{closes:#?}");
    Ok(())
}

#[test(root)]
fn a_dialogue_over_both_versions_of_ip_reports_its_sums() -> Result<()> {
    for v6 in [false, true] {
        let mut talk = if v6 { Talk::v6() } else { Talk::v4() };
        talk.handshake();
        talk.server(b"220 server.example ESMTP\r\n");
        talk.exchange("EHLO a", "250-server.example\r\n250 CHUNKING");
        talk.exchange("MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nRCPT TO:<c@b>", "250 Ok\r\n250 Ok\r\n250 Ok");
        talk.exchange("BDAT 4 LAST\r\nDATARSET", "250 Taken\r\n250 Ok");
        talk.exchange("QUIT", "221 Bye");
        fins(&mut talk);
        let (connect, closes) = ends(&enforcing(&[]), &talk)?;
        let [summary] = closes.as_slice() else { panic!("{closes:#?}") };
        ensure!(summary.commands == 7 && summary.recipients == 2 && summary.messages == 1, "{summary:#?}");
        ensure!(summary.tls == 0 && summary.ended == Ended::Quit as u8 && summary.duration > 0, "{summary:#?}");
        let isns = (0xffff_fff1_u32, 0xffff_ff81_u32);
        // What the talk has sent, but for the FINs.
        let sent = [talk.client_next.wrapping_sub(isns.0) - 1, talk.server_next.wrapping_sub(isns.1) - 1];
        ensure!(summary.bytes == sent.map(u64::from), "{summary:#?} of {sent:?}");
        ensure!(std::net::Ipv6Addr::from(connect.client).to_ipv4_mapped().is_none() == v6);
    }
    Ok(())
}

#[test(root)]
fn bytes_in_tls_are_in_the_sums() -> Result<()> {
    let mut talk = Talk::greeted();
    talk.exchange("STARTTLS", "220 Go");
    for _ in 0..3 {
        talk.client(&[0x16; 1000]);
        talk.server(&[0x17; 500]);
    }
    fins(&mut talk);
    let ended = Ended::Fin as u8;
    let sums = Summary { bytes: [3010, 1534], commands: 1, tls: 1, ended, ..Summary::default() };
    check(&enforcing(&[]), &talk, &[sums])
}

#[test(root)]
fn a_reset_by_the_filter_is_an_end_and_its_rsts_are_none() -> Result<()> {
    let mut talk = Talk::hello();
    talk.segment(Client, b"VRFY root\r\n", Reset);
    bare(&mut talk, Client, "rst");
    bare(&mut talk, Server, "rst");
    let sums = Summary { bytes: [21, 46], commands: 1, ended: Ended::Reset as u8, ..Summary::default() };
    check(&enforcing(&["commands.vrfy=reset"]), &talk, &[sums])
}

#[test(root)]
fn a_rst_is_an_end_unless_the_connection_goes_on() -> Result<()> {
    let mut talk = Talk::hello();
    bare(&mut talk, Server, "rst");
    bare(&mut talk, Client, "rst");
    let first = Summary { bytes: [21, 46], commands: 1, ended: Ended::ServerReset as u8, ..Summary::default() };
    let document = enforcing(&["commands.vrfy=drop"]);
    check(&document, &talk, &[first])?;
    talk.segment(Client, b"VRFY root\r\n", Drop);
    talk.exchange("NOOP", "250 Ok");
    bare(&mut talk, Client, "rst");
    let second = Summary { bytes: [27, 54], commands: 2, ended: Ended::ClientReset as u8, ..Summary::default() };
    check(&document, &talk, &[first, second])
}

#[test(root)]
fn mode_monitor_reports_beginnings_and_ends_too() -> Result<()> {
    let document = Profile::Monitor.document();
    let document = set(&document, &["commands.vrfy=reset"]).unwrap();
    let mut talk = Talk::hello();
    talk.exchange("VRFY root", "250 Ok");
    fins(&mut talk);
    let sums = Summary { bytes: [32, 54], commands: 2, ended: Ended::Fin as u8, ..Summary::default() };
    check(&document, &talk, &[sums])
}

#[test(root)]
fn urgent_bytes_that_reset_are_an_end() -> Result<()> {
    let mut talk = Talk::hello();
    let mut tcp = talk.tcp(Client);
    tcp.urg = true;
    talk.raw(Client, tcp, b"NOOP\r\n", Reset);
    talk.segment(Client, b"NOOP\r\n", ResetSender);
    let sums = Summary { bytes: [21, 46], commands: 1, ended: Ended::Reset as u8, ..Summary::default() };
    check(&enforcing(&["guards.urgent=reset"]), &talk, &[sums])
}

#[test(root)]
fn a_port_pair_used_again_ends_what_was_there() -> Result<()> {
    in_private_namespace(|| {
        let mut kernel = Kernel::load(&enforcing(&[]))?;
        let mut talk = Talk::hello();
        kernel.play(&talk.steps)?;
        talk.steps.clear();
        (talk.client_next, talk.server_next) = (0x1234_5678, 0x8765_4321);
        talk.handshake();
        play_on_all_cpus(&mut kernel, &talk)?;
        let events = kernel.all_events();
        kernel.agrees_with_user_space()?;
        let kinds: Vec<Kind> =
            events.iter().map(|event| event.kind).filter(|kind| [Kind::CONNECT, Kind::CLOSE].contains(kind)).collect();
        ensure!(kinds == [Kind::CONNECT, Kind::CLOSE, Kind::CONNECT], "{events:#?}");
        let [.., close, connect] = events.as_slice() else { panic!("{events:#?}") };
        ensure!(close.connection == events[0].connection && connect.connection != close.connection, "{events:#?}");
        let summary = close.summary();
        ensure!((summary.ended, summary.bytes) == (Ended::Replaced as u8, [21, 46]), "{summary:#?}");
        Ok(())
    })
}
