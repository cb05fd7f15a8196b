//! Handshakes, forged segments and late ones in the programs in the kernel, and the same in user space.
//!
//! Invariants: I3, I8.

use std::time::Duration;

use anyhow::{Result, ensure};
use smtp_filter::policy::{Document, Profile, set};
use smtp_filter_testkit::{
    dialogue::{
        Outcome::{Drop, Pass},
        Side::{self, Client, Server},
        Talk,
    },
    kernel::{Kernel, in_private_namespace},
};

fn hardened(grace: Duration) -> Document {
    let grace = format!("guards.unknown_connection.grace={}ns", grace.as_nanos());
    set(&Profile::Hardened.document(), &["commands.vrfy=drop", &grace]).unwrap()
}

fn check(document: &Document, talk: &Talk, counted: &[&str]) -> Result<()> {
    in_private_namespace(|| {
        let mut kernel = Kernel::load(document)?;
        kernel.play(&talk.steps)?;
        let counters = kernel.counters()?;
        for counter in counted {
            ensure!(counters.iter().any(|line| line == counter), "{counter} is not among {counters:#?}");
        }
        kernel.agrees_with_user_space()
    })
}

/// A FIN in its place.
fn fin(talk: &mut Talk, from: Side) {
    let mut tcp = talk.tcp(from);
    tcp.fin = true;
    talk.raw(from, tcp, b"", Pass);
    let next = if from == Client { &mut talk.client_next } else { &mut talk.server_next };
    *next = next.wrapping_add(1);
}

#[test(root)]
fn a_handshake_may_end_with_a_later_sequence_number() -> Result<()> {
    let mut talk = Talk::v4();
    talk.handshake();
    // All but the client's acknowledgement, which comes with the next sequence number instead.
    talk.steps.pop();
    let mut tcp = talk.tcp(Client);
    tcp.sequence_number = tcp.sequence_number.wrapping_add(1);
    talk.raw(Client, tcp, b"", Pass);
    talk.server(b"220 server.example ESMTP\r\n");
    talk.segment(Client, b"VRFY root\r\n", Drop);
    talk.exchange("NOOP", "250 Ok");
    check(
        &hardened(Duration::from_secs(600)),
        &talk,
        &["commands.vrfy drop: 1, 11 bytes", "pass.handshake pass: 2, 0 bytes"],
    )
}

#[test(root)]
fn what_does_not_end_the_handshake_is_held_back_in_the_grace() -> Result<()> {
    let mut talk = Talk::v4();
    talk.handshake();
    talk.steps.pop();
    let mut tcp = talk.tcp(Client);
    tcp.acknowledgment_number = tcp.acknowledgment_number.wrapping_sub(1);
    talk.raw(Client, tcp, b"VRFY root\r\n", Drop);
    talk.server(b"220 server.example ESMTP\r\n");
    talk.segment(Client, b"VRFY root\r\n", Drop);
    check(
        &hardened(Duration::from_secs(600)),
        &talk,
        &["stream.handshake drop: 1, 11 bytes", "commands.vrfy drop: 1, 11 bytes"],
    )
}

#[test(root)]
fn forged_urgent_segments_end_no_tls() -> Result<()> {
    let mut talk = Talk::greeted();
    talk.exchange("EHLO client.example", "250-server.example\r\n250 STARTTLS");
    talk.exchange("STARTTLS", "220 Go");
    let record = [&[0x16, 3, 3, 0, 100][..], &[7; 100]].concat();
    for _ in 0..2 {
        talk.client(&record);
        talk.server(&record);
    }
    talk.acknowledge(Client);
    for from in [Client, Server] {
        for (sequence, acknowledged) in [(1 << 28, 0), (1 << 30, 0), (1 << 31, 0), (3 << 30, 0), (0, 1 << 30)] {
            let mut tcp = talk.tcp(from);
            (tcp.urg, tcp.urgent_pointer) = (true, 1);
            tcp.sequence_number = tcp.sequence_number.wrapping_add(sequence);
            tcp.acknowledgment_number = tcp.acknowledgment_number.wrapping_add(acknowledged);
            talk.raw(from, tcp, b"x", Drop);
        }
        talk.client(&record);
        talk.server(&record);
    }
    check(&hardened(Duration::ZERO), &talk, &["stream.beyond_window drop: 6, 6 bytes"])
}

#[test(root)]
fn late_segments_of_a_closed_connection() -> Result<()> {
    let mut talk = Talk::hello();
    talk.exchange("QUIT", "221 Bye");
    fin(&mut talk, Server);
    fin(&mut talk, Client);
    talk.acknowledge(Server);
    // The last acknowledgement was lost after the filter: the FIN comes once more.
    let mut again = talk.tcp(Client);
    (again.fin, again.sequence_number) = (true, again.sequence_number.wrapping_sub(1));
    talk.raw(Client, again, b"", Pass);
    talk.acknowledge(Server);
    talk.segment(Client, b"NOOP\r\n", Drop);
    // The next connection of the same port.
    talk.client_next = talk.client_next.wrapping_add(70_000);
    talk.server_next = talk.server_next.wrapping_add(90_000);
    talk.handshake();
    talk.server(b"220 server.example ESMTP\r\n");
    talk.exchange("NOOP", "250 Ok");
    check(
        &hardened(Duration::from_secs(600)),
        &talk,
        &["pass.late pass: 2, 0 bytes", "guards.unknown_connection drop: 1, 6 bytes"],
    )
}
