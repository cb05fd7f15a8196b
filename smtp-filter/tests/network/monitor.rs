//! Mode `monitor` in front of a real Postfix (I13): clients that wait for nothing are read as the server reads them.

use std::io::Read as _;

use anyhow::{Result, ensure};
use smtp_filter_testkit::{
    Client, SERVER_V4, SERVER_V6,
    lab::{Lab, SOON, counted, event, events},
};

const VERBS: [&str; 5] = ["ehlo", "mail", "rcpt", "data", "quit"];

/// A whole dialogue, in which a mail says RSET and VRFY.
fn dialogue(recipient: &str) -> Vec<u8> {
    let lines = format!(
        "EHLO client.example\nMAIL FROM:<a@client.example>\nRCPT TO:<{recipient}>\nDATA\n\
         Subject: x\n\nRSET\nVRFY root\n.\nQUIT\n"
    );
    lines.replace('\n', "\r\n").into_bytes()
}

#[test(root)]
fn clients_that_wait_for_nothing_are_read() -> Result<()> {
    let lab = Lab::new("monitor", &[])?;
    let events = events(&lab.filter)?;
    let mut next = 0;
    let mut dialogues = 0;
    for server in [SERVER_V4, SERVER_V6] {
        for pieces in [1_usize, 2, 10, 100] {
            let mut client = Client::connect(&lab.network.client, server)?;
            client.patience(SOON)?;
            ensure!(client.greeting()?.code == 220);
            let said = dialogue("b@server.example");
            client.stream().set_nodelay(true)?;
            for piece in said.chunks(said.len().div_ceil(pieces)) {
                client.write(piece)?;
            }
            let mut replies = String::new();
            client.stream().read_to_string(&mut replies)?;
            ensure!(replies.contains("\r\n354 ") && replies.contains("\r\n221 "), "{replies}");
            for verb in VERBS {
                let (told, line) = event(&events, next, &format!("commands.{verb}"), "log")?;
                ensure!(told["verb"] == verb.to_uppercase(), "{told}");
                next = line;
            }
            dialogues += 1;
            for verb in VERBS {
                let (segments, _) = counted(&lab.filter, &format!("commands.{verb}"))?;
                ensure!(segments == dialogues, "{verb}: {segments} of {dialogues}, {pieces} pieces");
            }
            for verb in ["rset", "vrfy", "other"] {
                ensure!(counted(&lab.filter, &format!("commands.{verb}"))?.0 == 0, "{verb} is a word of the mail");
            }
        }
    }
    let (told, _) = event(&events, 0, "guards.sync", "drop")?;
    ensure!(told["enforced"] == false, "{told}");
    // It is reported, and nothing is lost or held back by it.
    let (held, _) = counted(&lab.filter, "stream.backlog")?;
    ensure!(held == 0, "{held}");
    Ok(())
}
