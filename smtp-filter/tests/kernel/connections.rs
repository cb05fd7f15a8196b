//! The live connections as they are read from the kernel's table: what each is at, its bytes, the order.
//!
//! Invariants: I7.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use smtp_filter::{
    live::Phase,
    policy::{Document, Profile, set},
};
use smtp_filter_testkit::{
    dialogue::{
        Outcome::{Drop, Pass},
        Side::{self, Client, Server},
        Talk,
    },
    kernel::{Kernel, in_private_namespace},
};

fn enforcing() -> Document {
    set(&Profile::Monitor.document(), &["mode=enforce", "guards.unknown_connection.grace=0s"]).unwrap()
}

/// A segment without payload.
fn bare(talk: &mut Talk, from: Side, flags: &str) {
    let mut tcp = talk.tcp(from);
    (tcp.fin, tcp.rst) = (flags == "fin", flags == "rst");
    talk.raw(from, tcp, b"", Pass);
    if flags == "fin" {
        let next = if from == Client { &mut talk.client_next } else { &mut talk.server_next };
        *next = next.wrapping_add(1);
    }
}

/// What one connection is at behind each of these steps.
fn phases(document: &Document, steps: &[(Talk, Phase)]) -> Result<()> {
    in_private_namespace(|| {
        for (talk, expected) in steps {
            let mut kernel = Kernel::load(document)?;
            kernel.play(&talk.steps)?;
            let live = kernel.connections()?;
            ensure!(live.len() == 1 && live[0].phase == *expected, "{live:?} instead of {expected:?}");
            remove_interfaces()?;
        }
        Ok(())
    })
}

/// So that the next one can make its own.
fn remove_interfaces() -> Result<()> {
    let status = std::process::Command::new("ip").args(["link", "delete", "inside"]).status()?;
    ensure!(status.success());
    Ok(())
}

fn said(mut talk: Talk, from: Side, bytes: &str) -> Talk {
    talk.segment(from, bytes.as_bytes(), Pass);
    talk
}

fn offering() -> Talk {
    let mut talk = Talk::greeted();
    talk.exchange("EHLO a", "250-server.example\r\n250 CHUNKING");
    talk
}

#[test(root)]
fn every_state_is_reported() -> Result<()> {
    let mut established = Talk::v6();
    established.handshake();
    let in_tls = said(said(Talk::hello(), Client, "STARTTLS\r\n"), Server, "220 Go\r\n");
    let mut closing = Talk::hello();
    bare(&mut closing, Server, "fin");
    let steps = [
        (established, Phase::Banner),
        (Talk::greeted(), Phase::Command),
        (said(Talk::hello(), Client, "NOOP\r\nNO"), Phase::Command),
        (said(Talk::hello(), Client, "DATA\r\n"), Phase::DataWait),
        (Talk::in_text(), Phase::MailData),
        (said(Talk::in_text(), Client, "text\r\n.\r\n"), Phase::Command),
        (said(offering(), Client, "BDAT 100\r\npart"), Phase::Chunk),
        (said(Talk::hello(), Client, "BDAT 100\r\n"), Phase::ChunkWait),
        (said(Talk::hello(), Client, "AUTH LOGIN\r\n"), Phase::Auth),
        (said(said(Talk::hello(), Client, "AUTH LOGIN\r\n"), Server, "334 VXNlcm5hbWU6\r\n"), Phase::Auth),
        (said(Talk::hello(), Client, "STARTTLS\r\n"), Phase::StarttlsWait),
        (in_tls, Phase::Tls),
        (closing, Phase::Closing),
    ];
    phases(&enforcing(), &steps)
}

#[test(root)]
fn what_passed_unread_is_uncertain() -> Result<()> {
    let mut talk = Talk::hello();
    talk.client_next = talk.client_next.wrapping_add(100);
    talk.client(b"NOOP\r\n");
    let uncertain = talk.clone();
    talk.server(b"250 Ok\r\n");
    let steps = [(uncertain, Phase::Uncertain), (talk, Phase::Command)];
    phases(&Profile::Monitor.document(), &steps)
}

#[test(root)]
fn what_gives_way_to_a_new_handshake_is_replaced() -> Result<()> {
    let mut talk = Talk::hello();
    (talk.client_next, talk.server_next) = (0x1234_5678, 0x8765_4321);
    let mut again = talk.clone();
    again.handshake();
    // But for the acknowledgement that makes the new one live.
    let unfinished = Talk { steps: again.steps[..again.steps.len() - 1].to_vec(), ..again.clone() };
    let steps = [(unfinished, Phase::Replaced), (again, Phase::Banner)];
    phases(&enforcing(), &steps)
}

#[test(root)]
fn what_has_ended_is_not_there_and_what_goes_on_is() -> Result<()> {
    in_private_namespace(|| {
        let mut kernel = Kernel::load(&enforcing())?;
        let mut talk = Talk::hello();
        kernel.play(&talk.steps)?;
        talk.steps.clear();
        bare(&mut talk, Client, "rst");
        kernel.play(&talk.steps)?;
        ensure!(kernel.connections()?.is_empty());
        talk.steps.clear();
        talk.exchange("NOOP", "250 Ok");
        kernel.play(&talk.steps)?;
        ensure!(kernel.connections()?.len() == 1);
        talk.steps.clear();
        bare(&mut talk, Client, "fin");
        bare(&mut talk, Server, "fin");
        kernel.play(&talk.steps)?;
        ensure!(kernel.connections()?.is_empty());
        Ok(())
    })
}

#[test(root)]
fn bytes_are_those_that_passed() -> Result<()> {
    in_private_namespace(|| {
        let document = set(&enforcing(), &["commands.vrfy=drop"]).unwrap();
        let mut kernel = Kernel::load(&document)?;
        let mut talk = Talk::hello();
        talk.segment(Client, b"VRFY root\r\n", Drop);
        talk.exchange("STARTTLS", "220 Go");
        talk.client(&[0x16; 1000]);
        talk.server(&[0x17; 700]);
        talk.acknowledge(Client);
        kernel.play(&talk.steps)?;
        let live = kernel.connections()?;
        ensure!(live.len() == 1 && live[0].bytes == [21 + 10 + 1000, 46 + 8 + 700], "{live:?}");
        Ok(())
    })
}

#[test(root)]
fn many_are_reported_each_once_in_the_order_of_their_clients() -> Result<()> {
    const MANY: u16 = 3000;
    in_private_namespace(|| {
        let mut kernel = Kernel::load_for(&enforcing(), 65_536)?;
        for number in 0..MANY {
            let mut talk = if number % 2 == 0 { Talk::v4() } else { Talk::v6() };
            // Out of order.
            talk.client_port = 1024 + (u32::from(number) * 7919 % u32::from(MANY)) as u16;
            talk.handshake();
            kernel.play(&talk.steps)?;
        }
        let live = kernel.connections()?;
        ensure!(live.len() == usize::from(MANY), "{}", live.len());
        let clients: Vec<SocketAddr> = live.iter().map(|live| live.client()).collect();
        ensure!(clients.is_sorted() && clients.windows(2).all(|two| two[0] != two[1]));
        ensure!(live.iter().all(|live| live.phase == Phase::Banner && live.bytes == [0, 0] && live.since > 0));
        Ok(())
    })
}
